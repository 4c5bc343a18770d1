"""The JSON documents of the bucket: manifests, verdicts, notes. Each is one object."""

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from contract.keys import RunKeys
from contract.manifest import Manifest

from .executions import LOST_THE_RACE, error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Documents:
    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def manifest(self, run_id: str) -> Manifest | None:
        return self._manifest(RunKeys(run_id).manifest)

    def kept_manifest(self, run_id: str) -> Manifest | None:
        """Return what stands beside the run's processed files, or else its manifest."""
        return self._manifest(RunKeys(run_id).kept_manifest) or self.manifest(run_id)

    def keep_manifest(self, manifest: Manifest) -> None:
        """Put a copy beside the processed files: it says when each of them had landed."""
        self._write(RunKeys(manifest.run_id).kept_manifest, manifest.to_json(), only_new=True)

    def write_manifest(self, manifest: Manifest) -> Manifest:
        """Write a run's manifest once; return the one that stands there.

        A manifest that exists already is another starter's for the same versions, because
        they make the run's name. It may be in use, so it stays as it is.
        """
        if self._write(RunKeys(manifest.run_id).manifest, manifest.to_json(), only_new=True):
            return manifest
        return self.manifest(manifest.run_id) or manifest

    def read(self, key: str) -> Any:
        """Return what the document holds, numbers with a point as floats; None without one.

        Raises ValueError when it is not JSON.
        """
        body = self._read(key)
        return None if body is None else json.loads(body)

    def write(self, key: str, document: Any) -> None:
        self._write(key, json.dumps(document), only_new=False)

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=key)

    def exists(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "404"}:
                return False
            raise
        return True

    def _manifest(self, key: str) -> Manifest | None:
        body = self._read(key)
        return None if body is None else Manifest.from_json(body)

    def _read(self, key: str) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "404"}:
                return None
            raise

    def _write(self, key: str, text: str, *, only_new: bool) -> bool:
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=text.encode(),
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if only_new and error_code(error) in LOST_THE_RACE:
                return False
            raise
        return True
