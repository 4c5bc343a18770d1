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
        return self._pin(RunKeys(run_id).processed(""))

    def all(self) -> tuple[FileVersion, ...]:
        """Return all files that were ever processed, in the order of their keys."""
        return self._pin(PROCESSED)

    def _pin(self, prefix: str) -> tuple[FileVersion, ...]:
        found = [
            version
            for version in self._bucket.versions(prefix)
            if version["IsLatest"] and dataset_of(version["Key"])
        ]
        runs = sorted({_run_and_name(version["Key"])[0] for version in found})
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            landed = dict(zip(runs, pool.map(self._landing_times, runs), strict=True))
        files = (_file(version, landed) for version in found)
        return tuple(sorted(files, key=lambda file: file.key))

    def _landing_times(self, run_id: str) -> dict[str, datetime]:
        """Return the landing times of a run's files by name; empty without a readable manifest."""
        manifest: Manifest | None = None
        try:
            manifest = self._documents.kept_manifest(run_id)
        except DocumentError as error:
            log.warning("unreadable manifest", extra={"run_id": run_id, "cause": str(error)})
        return {file.name: file.landed_at for file in manifest.files} if manifest else {}


def _file(version: Any, landed: Mapping[str, Mapping[str, datetime]]) -> FileVersion:
    """Return a listed version; a file in no manifest counts as landed when it was put here."""
    run_id, name = _run_and_name(version["Key"])
    put_at: datetime = version["LastModified"]
    return FileVersion(
        key=version["Key"],
        name=name,
        version_id=pinned_id(version),
        etag=version["ETag"].strip('"'),
        size=version["Size"],
        landed_at=landed[run_id].get(name) or put_at.astimezone(UTC),
    )


def _run_and_name(key: str) -> tuple[str, str]:
    run_id, _, name = key.removeprefix(PROCESSED).partition("/")
    return run_id, name
