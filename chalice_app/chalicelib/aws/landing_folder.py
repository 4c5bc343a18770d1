"""The landing folder: what is in it, and how a claimed version is moved out of it.

A version is copied, then deleted by its version id. A newer version under the same key stays, and
the next run claims it.
"""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from contract.keys import dataset_of
from contract.manifest import FileVersion

from ..settings import Settings
from .executions import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_NOT_THERE: Final = frozenset(
    {"NoSuchKey", "NoSuchVersion", "404", "PreconditionFailed", "412", "InvalidVersion"}
)
# CopyObject takes objects of up to 5 GiB; larger ones are copied in parts.
_MAX_COPY_OBJECT: Final = 5 * 1024**3
_MOVES_AT_ONCE: Final = 16


class MoveError(RuntimeError):
    """A claimed version is neither in the landing folder nor where it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The current versions of the datasets' files, and which of the trigger's own keys exist."""

    files: tuple[FileVersion, ...]
    unrecognised: tuple[str, ...] = ()
    has_lock: bool = False
    has_waiting: bool = False


class LandingFolder:
    def __init__(self, s3: "S3Client", settings: Settings) -> None:
        self._s3 = s3
        self._settings = settings

    @property
    def prefix(self) -> str:
        return self._settings.prefix

    def list(self) -> Listing:
        """List the landing folder, all pages of it, with version ids."""
        own = {self._settings.lock_key, self._settings.waiting_key}
        files, others = [], []
        for version in self._versions():
            if not version["IsLatest"]:
                continue
            if version["Key"] not in own and dataset_of(version["Key"]):
                files.append(_file_version(version, self._settings.prefix))
            elif not version["Key"].endswith("/"):
                others.append(version["Key"])
        return Listing(
            files=tuple(files),
            unrecognised=tuple(key for key in others if key not in own),
            has_lock=self._settings.lock_key in others,
            has_waiting=self._settings.waiting_key in others,
        )

    def remaining(self, files: Iterable[FileVersion]) -> tuple[FileVersion, ...]:
        """Return those versions that are still in the folder, overwritten ones included."""
        here = {
            (version["Key"], version["VersionId"], version["ETag"].strip('"'))
            for version in self._versions()
        }
        return tuple(
            file for file in files if (file.key, file.version_id or "null", file.etag) in here
        )

    def _versions(self) -> Iterator[Any]:
        return object_versions(self._s3, self._settings.bucket, self._settings.prefix)

    def move(self, run_id: str, moves: Iterable[tuple[FileVersion, str]]) -> int:
        """Move each version to its key; return how many there were. Repeating it is harmless."""
        with ThreadPoolExecutor(_MOVES_AT_ONCE) as pool:
            return sum(pool.map(lambda move: self._move(run_id, *move), moves))

    def _move(self, run_id: str, file: FileVersion, to: str) -> bool:
        try:
            self._copy(file, to)
        except ClientError as error:
            if error_code(error) not in _NOT_THERE:
                raise
            if not self._exists(to):
                raise MoveError(
                    f"{file.key} (version {file.version_id}) is gone and {to} does not exist: "
                    "restore the object from its backup, then start the pipeline again"
                ) from error
            return False
        if not self._delete(file):
            fields = {"run_id": run_id, "key": file.key}
            log.warning("overwritten while it was moved, stays", extra=fields)
        return True

    def _copy(self, file: FileVersion, to: str) -> None:
        source: Any = {"Bucket": self._settings.bucket, "Key": file.key}
        if file.version_id:
            source["VersionId"] = file.version_id
        if file.size >= _MAX_COPY_OBJECT:
            self._s3.copy(source, self._settings.bucket, to)
        else:
            self._s3.copy_object(
                Bucket=self._settings.bucket,
                Key=to,
                CopySource=source,
                CopySourceIfMatch=file.etag,
            )

    def _delete(self, file: FileVersion) -> bool:
        """Delete a version; return False if another one has replaced it."""
        bucket = self._settings.bucket
        if file.version_id:
            self._s3.delete_object(Bucket=bucket, Key=file.key, VersionId=file.version_id)
            return True
        try:
            self._s3.delete_object(Bucket=bucket, Key=file.key, IfMatch=f'"{file.etag}"')
        except ClientError as error:
            if error_code(error) not in _NOT_THERE:
                raise
            return False
        return True

    def _exists(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._settings.bucket, Key=key)
        except ClientError as error:
            if error_code(error) in _NOT_THERE:
                return False
            raise
        return True


def object_versions(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Any]:
    """Yield every version under a prefix, all pages, as S3 lists them."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        yield from page.get("Versions", [])


def pinned_id(version: Any) -> str | None:
    """Return a listed version's id; "null" is what S3 lists in a bucket without versioning."""
    return None if version["VersionId"] == "null" else str(version["VersionId"])


def _file_version(version: Any, prefix: str) -> FileVersion:
    return FileVersion(
        key=version["Key"],
        name=version["Key"].removeprefix(prefix),
        version_id=pinned_id(version),
        etag=version["ETag"].strip('"'),
        size=version["Size"],
        landed_at=version["LastModified"].astimezone(UTC),
    )
