"""Copies of the driver's files that the executors of a cluster can read.

SPARK_STAGING is a folder that all machines share, or ``s3://BUCKET/PREFIX``. Where it is not set,
the engine is on this machine and reads the files themselves.
"""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def in_reach(files: Sequence[Path]) -> Iterator[list[str]]:
    """Yield an address of each file that every executor can read, and delete copies afterwards."""
    staging = os.environ.get("SPARK_STAGING", "").rstrip("/")
    # Two runs at the same time (one that was thought dead) must not read each other's files.
    name = uuid.uuid4().hex
    if not staging:
        yield [str(file) for file in files]
    elif "://" in staging:
        with _in_s3(files, f"{staging}/{name}") as addresses:
            yield addresses
    else:
        folder = Path(staging, name)
        folder.mkdir(parents=True)
        try:
            yield [str(shutil.copy(file, folder)) for file in files]
        finally:
            shutil.rmtree(folder)


@contextmanager
def _in_s3(files: Sequence[Path], prefix: str) -> Iterator[list[str]]:
    import boto3  # as in transform.py: only a pipeline needs it

    s3 = boto3.client("s3")
    bucket, _, folder = prefix.partition("://")[2].partition("/")
    keys = [f"{folder}/{file.name}" for file in files]
    try:
        for file, key in zip(files, keys, strict=True):
            s3.upload_file(str(file), bucket, key)
        yield [f"{prefix}/{file.name}" for file in files]
    finally:
        for key in keys:
            s3.delete_object(Bucket=bucket, Key=key)
