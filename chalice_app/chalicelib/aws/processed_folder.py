"""The processed files: processed/RUN/ holds those of each run, and nothing moves them.

A run that reads them again (a replay, a rebuild) claims their versions with the name and the
landing time of their delivery, because the ledger's rules depend on both.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from contract.keys import PROCESSED, RunKeys, dataset_of
from contract.manifest import FileVersion, Manifest
from contract.typed_json import DocumentError

from .bucket import Bucket
from .documents import Documents
from .landing_folder import pinned_id

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_READS_AT_ONCE: Final = 16


class ProcessedFolder:
    def __init__(self, s3: "S3Client", bucket: str, documents: Documents) -> None:
        self._bucket = Bucket(s3, bucket)
        self._documents = documents

    def of_run(self, run_id: str) -> tuple[FileVersion, ...]:
        """Return the processed files of one run, in the order of their keys."""
        return self._pin(RunKeys(run_id).processed(""))[0]

    def all(self) -> tuple[tuple[FileVersion, ...], Mapping[str, str]]:
        """Return all files that were ever processed, by key, and the texts of their mappings."""
        return self._pin(PROCESSED)

    def _pin(self, prefix: str) -> tuple[tuple[FileVersion, ...], Mapping[str, str]]:
        found = [
            version
            for version in self._bucket.versions(prefix)
            if version["IsLatest"] and not _is_manifest(version["Key"])
        ]
        runs = sorted({_run_and_name(version["Key"])[0] for version in found})
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            manifests = dict(zip(runs, pool.map(self._manifest, runs), strict=True))
        claimed = {
            run_id: {file.name: file for file in manifest.files} if manifest else {}
            for run_id, manifest in manifests.items()
        }
        files = (_file(version, claimed) for version in found)
        mappings: dict[str, str] = {}
        for manifest in manifests.values():
            mappings.update(manifest.mappings if manifest else {})
        known = (file for file in files if file is not None)
        return tuple(sorted(known, key=lambda file: file.key)), mappings

    def _manifest(self, run_id: str) -> Manifest | None:
        """Return the manifest of a run; None if it is not there or cannot be read."""
        try:
            return self._documents.kept_manifest(run_id)
        except DocumentError as error:
            log.warning("unreadable manifest", extra={"run_id": run_id, "cause": str(error)})
            return None


def _file(version: Any, claimed: Mapping[str, Mapping[str, FileVersion]]) -> FileVersion | None:
    """Return a listed version as its run claimed it.

    A file in no manifest counts as landed when it was put here; None if its name is of no dataset.
    """
    run_id, name = _run_and_name(version["Key"])
    before = claimed[run_id].get(name)
    put_at: datetime = version["LastModified"]
    if before is None and dataset_of(name) is None:
        return None
    return FileVersion(
        key=version["Key"],
        name=name,
        version_id=pinned_id(version),
        etag=version["ETag"].strip('"'),
        size=version["Size"],
        landed_at=before.landed_at if before else put_at.astimezone(UTC),
        mapping=before.mapping if before else None,
        mapped_dataset=before.mapped_dataset if before else None,
    )


def _is_manifest(key: str) -> bool:
    return key == RunKeys(_run_and_name(key)[0]).kept_manifest


def _run_and_name(key: str) -> tuple[str, str]:
    run_id, _, name = key.removeprefix(PROCESSED).partition("/")
    return run_id, name
