"""The JSON documents of the bucket. Each is one object."""

import json
from typing import TYPE_CHECKING, Any

from contract.keys import RunKeys
from contract.manifest import Manifest
from contract.notice import Notice
from contract.published import PublishedReport
from contract.verdict import Verdict

from .bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Documents:
    """Readers return None for a document that does not exist.

    They raise contract.typed_json.DocumentError for one that is not of its type.
    """

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._bucket = Bucket(s3, bucket)

    def manifest(self, run_id: str) -> Manifest | None:
        return self._manifest(RunKeys(run_id).manifest)

    def kept_manifest(self, run_id: str) -> Manifest | None:
        """Return the copy beside the run's processed files, or else the run's own manifest."""
        return self._manifest(RunKeys(run_id).kept_manifest) or self.manifest(run_id)

    def keep_manifest(self, manifest: Manifest) -> None:
        """Put a copy beside the processed files: it has the time at which each of them landed."""
        key = RunKeys(manifest.run_id).kept_manifest
        self._bucket.put_json(key, manifest.to_json(), only_new=True)

    def write_manifest(self, manifest: Manifest) -> Manifest:
        """Write a run's manifest unless it exists; return the one that is there.

        A manifest that exists already was written for the same versions, because the run's id is
        made of them. It may be in use, so it stays as it is.
        """
        key = RunKeys(manifest.run_id).manifest
        if self._bucket.put_json(key, manifest.to_json(), only_new=True):
            return manifest
        return self.manifest(manifest.run_id) or manifest

    def verdict(self, run_id: str) -> Verdict | None:
        body = self._read(RunKeys(run_id).verdict)
        return None if body is None else Verdict.from_json(body)

    def published(self, run_id: str) -> PublishedReport | None:
        body = self._read(RunKeys(run_id).published)
        return None if body is None else PublishedReport.from_json(body)

    def write_verdict(self, verdict: Verdict) -> None:
        self._bucket.put_json(RunKeys(verdict.run_id).verdict, verdict.to_json())

    def notice(self, run_id: str) -> Notice | None:
        body = self._read(RunKeys(run_id).notice)
        return None if body is None else Notice.from_json(body)

    def write_notice(self, run_id: str, notice: Notice) -> None:
        self._bucket.put_json(RunKeys(run_id).notice, notice.to_json())

    def read(self, key: str) -> Any:
        """Return what a small document holds that has no record in contract/.

        Raises ValueError when it is not JSON.
        """
        body = self._read(key)
        return None if body is None else json.loads(body)

    def write(self, key: str, document: Any) -> None:
        self._bucket.put_json(key, json.dumps(document))

    def text(self, key: str) -> bytes | None:
        return self._read(key)

    def write_text(self, key: str, text: str) -> None:
        self._bucket.put_json(key, text)

    def replace(self, key: str, document: Any) -> None:
        """Write a small document, None to delete it, and keep no earlier version of it."""
        earlier = self._bucket.get(key)
        version_id = None if earlier is None else earlier.version_id
        if document is None:
            self._bucket.forget(key, version_id=version_id)
        else:
            self._bucket.put_json(key, json.dumps(document))
            self._bucket.forget_version(key, version_id)

    def exists(self, key: str) -> bool:
        return self._bucket.exists(key)

    def _manifest(self, key: str) -> Manifest | None:
        body = self._read(key)
        return None if body is None else Manifest.from_json(body)

    def _read(self, key: str) -> bytes | None:
        found = self._bucket.get(key)
        return None if found is None else found.body
