"""The first step: a run's files, fetched and read into DuckDB tables."""

import hashlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb

from contract.keys import MAPPING
from contract.manifest import FileVersion, Manifest
from delivery import reader
from delivery.landed_files import (
    DeliveryError,
    LandedFile,
    files_in,
    in_order_of_landing,
    not_recognised_in,
)
from delivery.mapping import STANDARD, FileMapping
from delivery.reader import FileReading
from delivery.storage import PARALLEL, open_storage, s3_client
from delivery.words import null_words

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

THREADS: Final = 2
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The files of a run in the order of their landing, and the keys they were claimed under.

    ``not_recognised`` are the keys and names of files whose names no dataset has. ``mappings`` are
    those that files name; both these and ``manifest`` are empty for a folder.
    """

    run_id: str
    files: Sequence[LandedFile]
    keys: Sequence[str]
    not_recognised: Sequence[tuple[str, str]] = ()
    manifest: Manifest | None = None
    mappings: Mapping[str, FileMapping] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path, run_id: str, mapping: FileMapping = STANDARD) -> Self:
        """Raise DeliveryError when the folder does not exist or has no files."""
        files = files_in(folder, mapping.dataset_of)
        return cls(
            run_id=run_id,
            files=files,
            keys=[file.name for file in files],
            not_recognised=[(name, name) for name in not_recognised_in(folder, files)],
        )

    @classmethod
    def of_manifest(cls, uri: str, folder: Path) -> Self:
        """Download the files of a run's manifest, which is in S3 or a local file, to ``folder``.

        Raises:
            typed_json.DocumentError: the object is not a manifest.
            DeliveryError: the manifest or a version is gone, or is not what the manifest says.
            MappingError: a mapping of the manifest cannot be used.
        """
        manifest = _fetch_manifest(uri, folder)
        mappings = {
            key: replace(FileMapping.parse(text, MAPPING), null_words=null_words(os.environ))
            for key, text in manifest.mappings.items()
        }
        fetched = _fetch_files(manifest, folder)
        pairs = sorted(
            zip(fetched, (file.key for file in manifest.files), strict=True),
            key=lambda pair: in_order_of_landing(pair[0]),
        )
        return cls(
            run_id=manifest.run_id,
            files=[file for file, _ in pairs],
            keys=[key for _, key in pairs],
            not_recognised=[(file.key, file.name) for file in manifest.not_recognised],
            manifest=manifest,
            mappings=mappings,
        )


def read(
    delivery: Delivery, connection: duckdb.DuckDBPyConnection, mapping: FileMapping
) -> tuple[list[FileReading], Any]:
    """Read the files into the tables of :mod:`delivery.reader`, and import Great Expectations.

    The import takes seconds, a part of which the reading hides. Returns the result of each file,
    and the module :mod:`expectations.gx`.
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        imported = beside.submit(_import_gx)
        readings = reader.read(
            delivery.files,
            connection,
            threads=THREADS,
            mapping=mapping,
            mappings=delivery.mappings,
        )
        gx = imported.result()
    # Only now: the reader takes a row's line from the order of rows.
    connection.execute("SET preserve_insertion_order = false")
    log.info(
        "read %(rows)d rows",
        {"rows": sum(reading.rows for reading in readings), "files": len(readings)},
    )
    return readings, gx


def _import_gx() -> Any:
    """Import what runs the suites as if there were no pyspark, as in the validator's image.

    Great Expectations imports pyspark where it is installed, which takes 0.9 of 6.6 s, and does
    not need it here.
    """
    if "pyspark" in sys.modules or "great_expectations" in sys.modules:
        return import_module("expectations.gx")
    sys.modules["pyspark"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        return import_module("expectations.gx")
    finally:
        del sys.modules["pyspark"]


def _fetch_manifest(uri: str, folder: Path) -> Manifest:
    name = uri.rpartition("/")[2]
    text = open_storage(uri.removesuffix(name), folder).get(name)
    if text is None:
        raise DeliveryError(f"{uri}: there is no such manifest; check --manifest")
    return Manifest.from_json(text)


def _fetch_files(manifest: Manifest, folder: Path) -> list[LandedFile]:
    """Download exactly the versions that a manifest pins, in its order, several at a time."""
    s3 = s3_client()
    folder.mkdir(parents=True, exist_ok=True)
    versions = Counter(file.name for file in manifest.files)
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        pending = [
            pool.submit(
                _fetch,
                s3,
                manifest.bucket,
                file,
                # A rebuild reads every version of a name: only their keys differ.
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
        version_of=file.name,
        mapping=file.mapping,
    )
