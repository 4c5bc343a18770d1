"""What one run reads from its bucket and writes to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from botocore.exceptions import ClientError

from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from contract.published import PublishedReport
from contract.typed_json import DocumentError
from contract.verdict import FileVerdict, Verdict
from delivery.storage import Bucket

from .errors import RunError
from .ledger.ledger import Ledger
from .ledger.merge import DeliveredFile, Delivery

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SCHEME: Final = "s3://"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStore:
    """The bucket of one run, and the run's manifest."""

    s3: "S3Client"
    bucket: str
    manifest: Manifest

    @classmethod
    def open(cls, uri: str, s3: "S3Client") -> Self:
        """Open the run of ``s3://bucket/runs/<run>/manifest.json``.

        Raises:
            RunError: there is no manifest, or it cannot be read.
        """
        bucket, key = split_uri(uri)
        try:
            manifest = Manifest.from_json(_get(s3, bucket, key))
        except DocumentError as error:
            raise RunError(f"{uri}: {error}") from error
        return cls(s3=s3, bucket=bucket, manifest=manifest)

    def ledger(self, prefix: str, scratch: Path, *, first_version: int = 1) -> Ledger:
        storage = Bucket(self.s3, self.bucket, prefix, scratch)
        return Ledger(storage, first_version=first_version)

    def delivery(self, folder: Path) -> Delivery:
        """Fetch the accepted rows and the lines held back, with the files that they are from.

        Raises:
            RunError: the run has no verdict, or a file that the verdict names is missing.
        """
        verdict = self._verdict()
        rows: dict[str, list[Path]] = {}
        for kind, keys in (("accepted", verdict.accepted), ("held", verdict.held)):
            for dataset, key in keys.items():
                path = folder / f"{kind}_{dataset}.parquet"
                path.write_bytes(_get(self.s3, self.bucket, key))
                rows.setdefault(dataset, []).append(path)
        versions = {file.key: file for file in self.manifest.files}
        return Delivery(
            run_id=self.manifest.run_id,
            rows=rows,
            files=[
                _delivered(file, versions[file.key])
                for file in verdict.files
                if file.status != "rejected"
            ],
        )

    def _verdict(self) -> Verdict:
        key = self._keys.verdict
        try:
            return Verdict.from_json(_get(self.s3, self.bucket, key))
        except DocumentError as error:
            raise RunError(f"{SCHEME}{self.bucket}/{key}: {error}") from error

    def write(self, report: PublishedReport) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self._keys.published,
            Body=report.to_json().encode(),
            ContentType="application/json",
        )

    @property
    def _keys(self) -> RunKeys:
        return RunKeys(self.manifest.run_id)


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://BUCKET/KEY``.

    Raises:
        RunError: it is not of that form.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not key:
        raise RunError(f"{uri}: not of the form s3://BUCKET/KEY")
    return bucket, key


def _delivered(file: FileVerdict, version: FileVersion) -> DeliveredFile:
    if file.sha256 is None:
        raise RunError(f"{file.key}: the verdict has no sha256 of it; run the validator again")
    return DeliveredFile(
        label=file.name,
        name=version.name,
        dataset=file.dataset,
        sha256=file.sha256,
        landed_at=version.landed_at,
        size=version.size,
    )


def _get(s3: "S3Client", bucket: str, key: str) -> bytes:
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        details = error.response.get("Error", {})
        reason = details.get("Message") or details.get("Code") or error
        raise RunError(
            f"{SCHEME}{bucket}/{key}: {reason}; check that the validator of this run has succeeded"
        ) from error
