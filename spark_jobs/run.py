"""The transform of one pipeline run: the manifest's accepted rows in, KPI items out.

Reads ``runs/<run>/verdict.json`` and the accepted Parquet files it names, computes both tables
on the engine and publishes them. The claimed CSV files are moved to processed/ by the state
machine's finishing step, after this has ended well.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
from botocore.exceptions import ClientError

from chalice_app.chalicelib.landing import RunKeys
from chalice_app.chalicelib.manifest import Manifest, ManifestError
from delivery import identity
from delivery.datasets import DATASETS, Dataset

from . import engine
from .compute import Staged, compute, stage
from .errors import RunError, SettingsError
from .publish import Published, Stamp, Tables, publish, to_days

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

Progress = Callable[[str], None]
_SCHEME: Final = "s3://"


def tables_from_env(environ: Mapping[str, str]) -> Tables:
    """Raise SettingsError when a table's name is not set."""
    for name in ("CATEGORY_KPIS_TABLE", "ORDER_KPIS_TABLE"):
        if not environ.get(name):
            raise SettingsError(f"{name} is not set: the task definition names the table to write")
    return Tables(
        category_kpis=environ["CATEGORY_KPIS_TABLE"], order_kpis=environ["ORDER_KPIS_TABLE"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStore:
    """What earlier stages left in the bucket for one run."""

    s3: "S3Client"
    bucket: str
    manifest: Manifest

    @classmethod
    def open(cls, uri: str, s3: "S3Client") -> Self:
        """Open the run of ``s3://bucket/runs/<run>/manifest.json``.

        Raises:
            RunError: there is no manifest.
        """
        bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
        if not uri.startswith(_SCHEME) or not key:
            raise RunError(f"{uri}: not of the form s3://BUCKET/runs/RUN/manifest.json")
        try:
            manifest = Manifest.from_json(_get(s3, bucket, key))
        except ManifestError as error:
            raise RunError(f"{uri}: {error}") from error
        return cls(s3=s3, bucket=bucket, manifest=manifest)

    def download_accepted(self, folder: Path) -> dict[str, Path]:
        """Fetch the accepted rows and return the files by dataset; a dataset may have none.

        Raises:
            RunError: the run has no verdict, or a file that it names is gone.
        """
        keys = RunKeys(self.manifest.run_id)
        verdict = json.loads(_get(self.s3, self.bucket, keys.verdict))
        paths = {}
        for dataset, key in verdict["accepted"].items():
            paths[dataset] = folder / f"accepted_{dataset}.parquet"
            paths[dataset].write_bytes(_get(self.s3, self.bucket, key))
        return paths


def transform_run(
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    choice: engine.Choice,
    *,
    now: datetime,
    scratch: Path,
    progress: Progress,
) -> Published:
    """Compute and publish the KPIs of a run's dates.

    Raises:
        TransformError: see :mod:`spark_jobs.errors`.
    """
    size = sum(file.size for file in store.manifest.files)
    with engine.starting(choice.engine, input_bytes=size) as session:
        with _timed("read accepted rows", progress):
            staged = _stage(store.download_accepted(scratch), scratch)
        with _timed(f"computed KPIs on {choice.engine}", progress):
            category, daily = compute(session(), staged)
    stamp = Stamp(
        run_id=store.manifest.run_id,
        # Grows with every claimed batch, and is the same when one batch is run again.
        ledger_version=int(store.manifest.created_at.timestamp() * 1000),
        computed_at=now,
    )
    with _timed("published", progress):
        published = publish(to_days(category, daily, stamp), dynamodb, tables, stamp)
    progress(f"{published.items} items written, {published.deleted} deleted")
    for day in published.superseded:
        progress(f"{day}: left alone, a newer version is published")
    return published


def _stage(accepted: Mapping[str, Path], scratch: Path) -> Staged:
    with duckdb.connect() as connection:
        for dataset in DATASETS.values():
            connection.execute(_accepted_view(dataset, accepted.get(dataset.name)))
        identity.resolve(connection)
        return stage(connection, scratch)


def _accepted_view(dataset: Dataset, path: Path | None) -> str:
    """Return the SQL that makes accepted rows look as the reader leaves them.

    Later is the larger landing time, then the file's name, then the line.
    """
    if path is None:
        columns = ", ".join(f"NULL::{c.sql_type} AS {c.name}" for c in dataset.columns)
        return (
            f"CREATE VIEW {dataset.name} AS SELECT {columns}, 0 AS _file, 0 AS _line,"
            " 1 AS _lines, NULL::VARCHAR[] AS _unreadable WHERE false"
        )
    return f"""
        CREATE TABLE {dataset.name}_files AS
            SELECT _file_name,
                   row_number() OVER (ORDER BY _landed_at NULLS FIRST, _file_name) AS _file
            FROM (SELECT DISTINCT _file_name, _landed_at FROM read_parquet('{path}'));
        CREATE VIEW {dataset.name} AS
            SELECT {", ".join(dataset.column_names)}, _file, _line, 1 AS _lines,
                   NULL::VARCHAR[] AS _unreadable
            FROM read_parquet('{path}') JOIN {dataset.name}_files USING (_file_name)
        """  # noqa: S608  # the names are the datasets', the path is a scratch file's


def _get(s3: "S3Client", bucket: str, key: str) -> bytes:
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise RunError(
            f"s3://{bucket}/{key}: {_reason(error)}; has the validator of this run ended well?"
        ) from error


def _reason(error: ClientError) -> str:
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Message") or details.get("Code") or error)


@contextmanager
def _timed(what: str, progress: Progress) -> Iterator[None]:
    start = time.monotonic()
    yield
    progress(f"{what} in {time.monotonic() - start:.1f} s")
