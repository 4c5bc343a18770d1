"""What one run reads from its bucket and writes to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from contract.published import PublishedReport
from contract.typed_json import DocumentError
from contract.verdict import FileVerdict, Verdict
from delivery.storage import Bucket

from . import known_ids
from .errors import RunError
from .ledger.ledger import Ledger
from .ledger.merge import DeliveredFile, Delivery
from .ledger.snapshot import Snapshot

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStore:
    """The bucket of one run and the run's manifest; ``scratch`` is for local files."""

    s3: "S3Client"
    bucket: str
    manifest: Manifest
    scratch: Path

    @classmethod
    def open(cls, uri: str, s3: "S3Client", scratch: Path) -> Self:
        """Open the run of ``s3://BUCKET/runs/RUN/manifest.json``.

        Raises:
            RunError: there is no manifest, or it cannot be read.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not key:
            raise RunError(f"{uri}: not of the form s3://BUCKET/KEY")
        text = _get(Bucket(s3, bucket, "", scratch), key)
        try:
            manifest = Manifest.from_json(text)
        except DocumentError as error:
            raise RunError(f"{uri}: {error}") from error
        return cls(s3=s3, bucket=bucket, manifest=manifest, scratch=scratch)

    def ledger(self, prefix: str, *, first_version: int = 1) -> Ledger:
        storage = Bucket(self.s3, self.bucket, prefix, self.scratch)
        return Ledger(storage, first_version=first_version)

    def delivery(self) -> Delivery:
        """Fetch the accepted rows and the lines held back, with the files that they are from.

        Raises:
            RunError: the run has no verdict, or a file that the verdict names is missing.
        """
        storage = Bucket(self.s3, self.bucket, "", self.scratch)
        key = self._keys.verdict
        try:
            verdict = Verdict.from_json(_get(storage, key))
            rows = {
                dataset: storage.fetch(
                    [keys[dataset] for keys in (verdict.accepted, verdict.held) if dataset in keys]
                )
                for dataset in {*verdict.accepted, *verdict.held}
            }
        except DocumentError as error:
            raise RunError(f"{storage.uri(key)}: {error}") from error
        except FileNotFoundError as error:
            raise RunError(f"{error}: the verdict names it, but it is missing") from error
        versions = {file.key: file for file in self.manifest.files}
        return Delivery(
            run_id=self.manifest.run_id,
            rows=rows,
            files=[
                _delivered(file, versions[file.key])
                for file in verdict.files
                if file.status in ("accepted", "duplicate")
            ],
        )

    def write(self, report: PublishedReport) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self._keys.published,
            Body=report.to_json().encode(),
            ContentType="application/json",
        )

    def write_known_ids(self, head: Snapshot, ledger: str) -> None:
        known_ids.write(head, ledger, self.s3, self.bucket, self.scratch)

    @property
    def _keys(self) -> RunKeys:
        return RunKeys(self.manifest.run_id)


def _delivered(file: FileVerdict, version: FileVersion) -> DeliveredFile:
    if file.sha256 is None or file.dataset is None:
        raise RunError(f"{file.key}: the verdict has no sha256 of it; run the validator again")
    return DeliveredFile(
        label=file.name,
        name=version.name,
        dataset=file.dataset,
        sha256=file.sha256,
        landed_at=version.landed_at,
        size=version.size,
    )


def _get(storage: Bucket, key: str) -> bytes:
    content = storage.get(key)
    if content is None:
        raise RunError(
            f"{storage.uri(key)}: there is no such object; check that the trigger and the validator"
            " of this run have succeeded"
        )
    return content
