"""Files under keys such as ``runs/RUN/verdict.json``: in a folder, or in a bucket in S3."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from .landed_files import DeliveryError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL: Final = 16

_CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Storage(Protocol):
    def put(self, source: Path, key: str) -> None:
        """Store a file under a key: whole, or not at all."""

    def put_all(self, files: Sequence[tuple[Path, str]]) -> None:
        """Store several files, in no particular order."""

    def get(self, key: str) -> bytes | None:
        """Return the content of a key, or None."""

    def fetch(self, keys: Sequence[str]) -> list[Path]:
        """Return local paths of the files of keys.

        Raises:
            FileNotFoundError: a file is missing.
        """

    def key_of_delivered(self, folder: str, name: str, number: int) -> str:
        """Return the key in ``folder/`` of a file that a shop has named; numbers are unique."""

    def uri(self, key: str) -> str:
        """Return the path or s3:// address of a key."""


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path, key: str) -> None:
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as scratch:
            unfinished = Path(scratch.name)
        try:
            shutil.copyfile(source, unfinished)
            unfinished.chmod(0o644)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def put_all(self, files: Sequence[tuple[Path, str]]) -> None:
        for source, key in files:
            self.put(source, key)

    def get(self, key: str) -> bytes | None:
        path = self._root / key
        return path.read_bytes() if path.is_file() else None

    def fetch(self, keys: Sequence[str]) -> list[Path]:
        found = [self._root / key for key in keys]
        if missing := next((path for path in found if not path.exists()), None):
            raise FileNotFoundError(missing)
        return found

    def key_of_delivered(self, folder: str, name: str, number: int) -> str:  # noqa: ARG002
        # A shop's name may be too long for a disk, or lead out of the folder.
        return f"{folder}{number}.csv"

    def uri(self, key: str) -> str:
        return str(self._root / key)


class Bucket:
    """Files under a prefix of a bucket; each is fetched once, into ``scratch``."""

    def __init__(self, s3: "S3Client", bucket: str, prefix: str, scratch: Path) -> None:
        self._s3, self._bucket, self._scratch = s3, bucket, scratch
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, source: Path, key: str) -> None:
        kind = _CONTENT_TYPES.get(source.suffix, "application/octet-stream")
        self._s3.upload_file(
            str(source), self._bucket, self._prefix + key, ExtraArgs={"ContentType": kind}
        )

    def put_all(self, files: Sequence[tuple[Path, str]]) -> None:
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            for done in [pool.submit(self.put, source, key) for source, key in files]:
                done.result()

    def get(self, key: str) -> bytes | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
        except self._s3.exceptions.NoSuchKey:
            return None
        return found["Body"].read()

    def fetch(self, keys: Sequence[str]) -> list[Path]:
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            return list(pool.map(self._fetch, keys))

    def _fetch(self, key: str) -> Path:
        target = self._scratch / self._prefix / key
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._s3.download_file(self._bucket, self._prefix + key, str(target))
            except self._s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    raise FileNotFoundError(self.uri(key)) from error
                raise
        return target

    def key_of_delivered(self, folder: str, name: str, number: int) -> str:  # noqa: ARG002
        return f"{folder}{name}"

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"


def open_storage(uri: str, scratch: Path) -> Storage:
    """Return the folder or bucket that an argument names; ``scratch`` is for fetched files.

    Raises:
        DeliveryError: the argument is an address, but not of a bucket in S3.
    """
    if "://" not in uri:
        return Folder(Path(uri))
    bucket, prefix = _bucket_and_key(uri)
    return Bucket(s3_client(), bucket, prefix, scratch)


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise DeliveryError(f"{uri}: neither a folder nor s3://bucket/key; check the argument")
    return parts.netloc, parts.path.lstrip("/")


def s3_client() -> "S3Client":
    # A run over a local folder does not pay for the import (0.3 s).
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", config=Config(max_pool_connections=PARALLEL * 2, retries={"mode": "standard"})
    )
