"""One S3 bucket: objects, conditional writes and versions. Only this module calls S3."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from contract.manifest import FileVersion

from .client_errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "InvalidVersion", "404"})
# The condition of a request does not hold. 409: it met another conditional write to the same key.
_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
# CopyObject takes objects of up to 5 GiB; larger ones are copied in parts.
_MAX_COPY_OBJECT: Final = 5 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """``etag`` is with its quotes, as conditional requests take it."""

    body: bytes
    etag: str


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
        return StoredObject(body=found["Body"].read(), etag=found["ETag"])

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
    ) -> str | None:
        """Write an object and return its ETag; None if its condition does not hold.

        ``only_new``: the key does not exist. ``if_match``: its object has this ETag.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        if if_match:
            condition = {"IfMatch": if_match}
        try:
            written = self._s3.put_object(
                Bucket=self._name,
                Key=key,
                Body=text.encode(),
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            # If-Match on a key that has just been deleted is a 404.
            if condition and error_code(error) in _REFUSED | _MISSING:
                return None
            raise
        return written["ETag"]

    def delete(self, key: str, *, version_id: str | None = None, if_match: str = "") -> bool:
        """Delete an object or one version of it; return False if ``if_match`` does not hold."""
        request: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        if if_match:
            request["IfMatch"] = if_match
        try:
            self._s3.delete_object(Bucket=self._name, Key=key, **request)
        except ClientError as error:
            if if_match and error_code(error) in _REFUSED | _MISSING:
                return False
            raise
        return True

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
