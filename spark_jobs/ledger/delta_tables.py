"""One Delta table of the ledger: create, open, write, compact, and delete old files.

A write is the next version of its table or fails with CommitFailedError: what it is based on must
still be the table's latest version.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import (
    CommitProperties,
    DeltaTable,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import TableNotFoundError

from delivery.storage import Storage

from ..errors import LedgerConflictError, LedgerError
from .tables import SCHEMAS, TableName, is_partitioned

# How long an earlier version can be read; then its files are deleted.
RETENTION: Final = timedelta(days=30)
# A table that grows by one small file a run is compacted into one file at this number of files.
# Every so many versions, the files that no version within the retention needs are deleted.
_COMPACT_AT: Final = 20
_COMPRESSED: Final = WriterProperties(compression="ZSTD")
_NEXT: Final = CommitProperties(max_commit_retries=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A Parquet file of a table: its path in the table, and the smallest and largest order id."""

    path: str
    size: int
    order_date: date | None
    first_id: str | None
    last_id: str | None


def storage_options(storage: Storage) -> dict[str, str] | None:
    """Return the options that delta-rs needs to open a table of this storage."""
    if not storage.uri("").startswith("s3://"):
        return None
    # delta-rs takes region and credentials from the environment, as boto3 does.
    options = {"aws_conditional_put": "etag"}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        options |= {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}
    return options


def fetch(storage: Storage, name: str, files: Iterable[DataFile]) -> list[Path]:
    """Return local paths of a table's files, for DuckDB and Arrow.

    Raises:
        FileNotFoundError: a file has been deleted.
    """
    return storage.fetch([key_of(name, file) for file in files])


def key_of(name: str, file: DataFile) -> str:
    """Return the key of a table's file in the ledger: its path has the encoding of a URL."""
    return f"{name}/{unquote(file.path)}"


def load(storage: Storage, name: str) -> DeltaTable | None:
    try:
        return DeltaTable(storage.uri(name), storage_options=storage_options(storage))
    except TableNotFoundError:
        return None


def create(storage: Storage, name: str, schema: pa.Schema) -> DeltaTable:
    """Create a table, unless another run just has."""
    days = f"interval {RETENTION.days} days"
    return DeltaTable.create(
        storage.uri(name),
        schema=schema,
        mode="ignore",
        partition_by=["order_date"] if "order_date" in schema.names else None,
        storage_options=storage_options(storage),
        configuration={
            "delta.checkpointInterval": str(_COMPACT_AT),
            # Only vacuum() deletes: a run that dies after a checkpoint would also delete the
            # version that the head needs.
            "delta.enableExpiredLogCleanup": "false",
            "delta.logRetentionDuration": days,
            "delta.deletedFileRetentionDuration": days,
        },
        commit_properties=_NEXT,
    )


def open_for_writing(
    storage: Storage, name: TableName, version: int, files: Iterable[DataFile]
) -> DeltaTable:
    """Return a table with these files, which are those of ``version``, and all known columns."""
    table = load(storage, name) or create(storage, name, SCHEMAS[name])
    if {file.path for file in data_files(table)} != {file.path for file in files}:
        # Another run has written here. It died before its commit, or is about to make it.
        with _only_writer(table):
            table.restore(version, commit_properties=_NEXT)
    if new := missing_columns(table, name):
        with _only_writer(table):
            table.alter.add_columns(
                list(Schema.from_arrow(pa.schema(new)).fields), commit_properties=_NEXT
            )
    return table


def missing_columns(table: DeltaTable, name: TableName) -> list[pa.Field]:
    """Return the columns of the schema that a table does not have yet.

    Raises:
        LedgerError: the table has an unknown column, or one of another type.
    """
    schema = SCHEMAS[name]
    there = pa.schema(table.schema().to_arrow())
    for column in there:
        wanted = schema.field(column.name).type if column.name in schema.names else "no such column"
        if wanted != column.type:
            raise LedgerError(
                f"ledger table {name}: column {column.name} is {column.type} there and {wanted}"
                ' here; run the version that wrote it, or start a run with {"rebuild": true}'
            )
    return [column for column in schema if column.name not in there.names]


def write(table: DeltaTable, name: TableName, rows: Path, rewritten: Iterable[date]) -> None:
    """Write a Parquet file of rows.

    In a partitioned table they replace the partitions of the ``rewritten`` dates and of the lines
    without a date; in any other they are added.
    """
    stream = _stream(rows, SCHEMAS[name])
    if is_partitioned(name):
        write_deltalake(
            table,
            stream,
            mode="overwrite",
            predicate=_of_dates(rewritten),
            writer_properties=_COMPRESSED,
            commit_properties=_NEXT,
        )
    else:
        compact(table)
        write_deltalake(
            table,
            stream,
            mode="append",
            writer_properties=_COMPRESSED,
            commit_properties=_NEXT,
        )


def append_row(table: DeltaTable, row: pa.Table, transaction: Transaction) -> None:
    """Add a row as part of an application's transaction, which the table's log keeps."""
    compact(table)
    write_deltalake(
        table,
        row,
        mode="append",
        commit_properties=CommitProperties(max_commit_retries=0, app_transactions=[transaction]),
    )


def compact(table: DeltaTable) -> None:
    if len(table.file_uris()) >= _COMPACT_AT:
        with _only_writer(table):
            table.optimize.compact(commit_properties=_NEXT)


def vacuum(table: DeltaTable, *, pinned: int | None, retention: timedelta) -> int:
    """Delete files that neither the ``pinned`` version nor the retention needs; return how many.

    Does nothing but at every _COMPACT_AT versions.
    """
    if table.version() % _COMPACT_AT:
        return 0
    # Versions beyond the pinned one are of a run that died, or that is about to commit.
    if pinned in (None, table.version()):
        table.create_checkpoint()
        table.cleanup_metadata()
    deleted = table.vacuum(
        retention_hours=int(retention / timedelta(hours=1)),
        dry_run=False,
        enforce_retention_duration=False,
        # A checkpoint drops Delta's list of files to delete that are older than the retention.
        # The files of a run that died were never in it.
        full=True,
        keep_versions=None if pinned is None else [pinned],
    )
    return len(deleted)


def data_files(table: DeltaTable) -> list[DataFile]:
    actions: Any = pa.table(table.get_add_actions(flatten=True))
    return [
        DataFile(
            path=action["path"],
            size=action["size_bytes"],
            order_date=action.get("partition.order_date"),
            first_id=action.get("min.order_id"),
            last_id=action.get("max.order_id"),
        )
        for action in actions.to_pylist()
    ]


@contextmanager
def _only_writer(table: DeltaTable) -> Iterator[None]:
    """Fail where another run has written meanwhile.

    Every step but a plain write takes up such a version, with or without retries.

    Raises:
        LedgerConflictError: the table is not at its next version.
    """
    before = table.version()
    yield
    if table.version() > before + 1:
        raise LedgerConflictError(
            f"{table.table_uri}: another run has written since version {before} was read"
        )


def _of_dates(dates: Iterable[date]) -> str:
    """Return the predicate of these partitions and of the one without a date."""
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(dates))
    return f"order_date IS NULL OR order_date IN ({listed})" if listed else "order_date IS NULL"


def _stream(rows: Path, schema: pa.Schema) -> pa.RecordBatchReader:
    file = pq.ParquetFile(rows)
    return pa.RecordBatchReader.from_batches(schema, _batches(file, schema))


def _batches(file: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches():
        yield batch.cast(schema)
