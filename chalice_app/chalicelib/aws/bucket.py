"""One S3 bucket: objects, conditional writes and versions. Only this module calls S3."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from contract.manifest import FileVersion

from .client_errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteObjectOutputTypeDef

_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "InvalidVersion", "404"})
# The condition of a request does not hold. 409: it met another conditional write to the same key.
_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
# CopyObject takes objects of up to 5 GiB; larger ones are copied in parts.
_MAX_COPY_OBJECT: Final = 5 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """``etag`` is with its quotes, as conditional requests take it.

    ``version_id`` is None in a bucket without versioning.
    """

    body: bytes
    etag: str
    version_id: str | None = None


class Bucket:
    def __init__(self, s3: "S3Client", name: str) -> None:
        self._s3 = s3
        self._name = name

    def get(self, key: str) -> StoredObject | None:
        try:
            found = self._s3.get_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise
        return StoredObject(
            body=found["Body"].read(), etag=found["ETag"], version_id=found.get("VersionId")
        )

    def exists(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if error_code(error) in _MISSING:
                return False
            raise
        return True

    def put_json(
        self, key: str, text: str, *, only_new: bool = False, if_match: str = ""
    ) -> StoredObject | None:
        """Write an object and return it; None if its condition does not hold.

        ``only_new``: the key does not exist. ``if_match``: its object has this ETag.
        """
        body = text.encode()
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        if if_match:
            condition = {"IfMatch": if_match}
        try:
            written = self._s3.put_object(
                Bucket=self._name,
                Key=key,
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            # If-Match on a key that has just been deleted is a 404.
            if condition and error_code(error) in _REFUSED | _MISSING:
                return None
            raise
        return StoredObject(body=body, etag=written["ETag"], version_id=written.get("VersionId"))

    def delete(self, key: str, *, version_id: str | None = None, if_match: str = "") -> bool:
        """Delete an object or one version of it; return False if ``if_match`` does not hold."""
        return self._delete(key, version_id=version_id, if_match=if_match) is not None

    def forget(self, key: str, *, version_id: str | None, if_match: str = "") -> bool:
        """Delete an object with its version and its delete marker: a listing has neither.

        Returns False if ``if_match`` does not hold. A process that dies in between leaves versions
        that the bucket's lifecycle rules delete after a day.
        """
        deleted = self._delete(key, if_match=if_match)
        if deleted is None:
            return False
        # The marker goes last: without it, the version would be the current one again.
        for old in (version_id, deleted.get("VersionId")):
            self.forget_version(key, old)
        return True

    def forget_version(self, key: str, version_id: str | None) -> None:
        """Delete a version that has been replaced; None is a bucket that keeps no versions."""
        if version_id is not None:
            self._delete(key, version_id=version_id)

    def _delete(
        self, key: str, *, version_id: str | None = None, if_match: str = ""
    ) -> "DeleteObjectOutputTypeDef | None":
        request: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        if if_match:
            request["IfMatch"] = if_match
        try:
            return self._s3.delete_object(Bucket=self._name, Key=key, **request)
        except ClientError as error:
            if if_match and error_code(error) in _REFUSED | _MISSING:
                return None
            raise

    def copy(self, file: FileVersion, to: str) -> bool:
        """Copy exactly this version to another key; return False if it is not there."""
        source: Any = {"Bucket": self._name, "Key": file.key}
        if file.version_id:
            source["VersionId"] = file.version_id
        try:
            if file.size >= _MAX_COPY_OBJECT:
                self._s3.copy(source, self._name, to)
            else:
                self._s3.copy_object(
                    Bucket=self._name, Key=to, CopySource=source, CopySourceIfMatch=file.etag
                )
        except ClientError as error:
            if error_code(error) in _REFUSED | _MISSING:
                return False
            raise
        return True

    def versions(self, prefix: str) -> Iterator[Any]:
        """Yield every version under a prefix, all pages, as S3 lists them."""
        pages = self._s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._name, Prefix=prefix):
            yield from page.get("Versions", [])
