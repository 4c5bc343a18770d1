"""Where a delivery comes from and where results go: a folder, or a bucket in S3."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from contract.manifest import FileVersion, Manifest
from delivery.landed_files import DeliveryError, LandedFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PARALLEL: Final = 8
_CHUNK: Final = 1024 * 1024

_CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Place(Protocol):
    """Somewhere to keep files under keys such as ``runs/RUN/verdict.json``."""

    def put(self, source: Path, key: str) -> None:
        """Store a file under a key: whole, or not at all."""

    def put_all(self, files: Sequence[tuple[Path, str]]) -> None:
        """Store several files, in no particular order."""

    def get(self, key: str) -> bytes | None:
        """Return what a key holds, or None."""

    def has(self, key: str) -> bool: ...

    def where(self, key: str) -> str:
        """Return what a person can open to see a key."""


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

    def has(self, key: str) -> bool:
        return (self._root / key).is_file()

    def where(self, key: str) -> str:
        return str(self._root / key)


class Bucket:
    def __init__(self, s3: "S3Client", bucket: str, prefix: str = "") -> None:
        self._s3, self._bucket = s3, bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, source: Path, key: str) -> None:
        kind = _CONTENT_TYPES.get(source.suffix, "application/octet-stream")
        self._s3.upload_file(
            str(source), self._bucket, self._prefix + key, ExtraArgs={"ContentType": kind}
        )

    def put_all(self, files: Sequence[tuple[Path, str]]) -> None:
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            for done in [pool.submit(self.put, source, key) for source, key in files]:
                done.result()

    def get(self, key: str) -> bytes | None:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
        except self._s3.exceptions.NoSuchKey:
            return None
        return found["Body"].read()

    def has(self, key: str) -> bool:
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix + key, MaxKeys=1)
        return any(found["Key"] == self._prefix + key for found in listed.get("Contents", []))

    def where(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"


def place(uri: str) -> Place:
    """Return the folder or bucket that an argument names."""
    if "://" not in uri:
        return Folder(Path(uri))
    bucket, prefix = _bucket_and_key(uri)
    return Bucket(_s3(), bucket, prefix)


def fetch_manifest(uri: str) -> Manifest:
    """Read a run's manifest from S3 or from a local file.

    Raises:
        typed_json.DocumentError: the object is not a manifest.
        DeliveryError: nothing is there.
    """
    if "://" in uri:
        bucket, key = _bucket_and_key(uri)
        text = Bucket(_s3(), bucket).get(key)
    else:
        text = Path(uri).read_bytes() if Path(uri).is_file() else None
    if text is None:
        raise DeliveryError(f"{uri}: there is no such manifest; check --manifest")
    return Manifest.from_json(text)


def fetch_files(manifest: Manifest, folder: Path) -> list[LandedFile]:
    """Download exactly the versions that a manifest pins, in its order, several at a time.

    Raises:
        DeliveryError: a version is gone, or is not what the manifest says.
    """
    s3 = _s3()
    folder.mkdir(parents=True, exist_ok=True)
    versions = Counter(file.name for file in manifest.files)
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        pending = [
            pool.submit(
                _fetch,
                s3,
                manifest.bucket,
                file,
                # A rebuild reads all that ever came under one name: only their keys differ.
                label=file.name if versions[file.name] == 1 else file.key,
                target=folder / f"{number}.csv",
            )
            for number, file in enumerate(manifest.files)
        ]
        return [done.result() for done in pending]


def _fetch(
    s3: "S3Client", bucket: str, file: FileVersion, *, label: str, target: Path
) -> LandedFile:
    subject = f"s3://{bucket}/{file.key} (version {file.version_id})"
    try:
        if file.version_id is None:
            found = s3.get_object(Bucket=bucket, Key=file.key)
        else:
            found = s3.get_object(Bucket=bucket, Key=file.key, VersionId=file.version_id)
    except s3.exceptions.ClientError as error:
        raise DeliveryError(
            f"{subject}: the manifest claims it but it can't be read: {error}"
        ) from error
    with closing(found["Body"]) as body:
        etag, size = found["ETag"].strip('"'), found["ContentLength"]
        if (etag, size) != (file.etag, file.size):
            raise DeliveryError(
                f"{subject}: is {size} bytes with the etag {etag}, but the manifest claims"
                f" {file.size} bytes with the etag {file.etag}; it was overwritten: start a new run"
            )
        digest = hashlib.sha256()
        with target.open("wb") as sink:
            for chunk in body.iter_chunks(_CHUNK):
                digest.update(chunk)
                sink.write(chunk)
    return LandedFile(
        name=label,
        path=target,
        dataset=file.dataset,
        landed_at=file.landed_at,
        sha256=digest.hexdigest(),
    )


def fetch_known(uri: str, folder: Path) -> Path:
    """Return a local folder with the orders.parquet and products.parquet of a folder or prefix."""
    if "://" not in uri:
        return Path(uri)
    bucket, prefix = _bucket_and_key(uri)
    source = Bucket(_s3(), bucket, prefix)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("orders.parquet", "products.parquet"):
        if (content := source.get(name)) is not None:
            (folder / name).write_bytes(content)
    return folder


def _bucket_and_key(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise DeliveryError(f"{uri}: neither a folder nor s3://bucket/key; check the argument")
    return parts.netloc, parts.path.lstrip("/")


def _s3() -> "S3Client":
    # A run over a local folder never pays for the import (0.3 s).
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", config=Config(max_pool_connections=_PARALLEL * 2, retries={"mode": "standard"})
    )
