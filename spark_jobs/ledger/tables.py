"""The ledger: every accepted row that ever arrived, as Delta tables in a folder or in S3.

    commits      one row per commit, with the version of each other table that it stands for
    files        one row per file version that has been taken in; the key of a content is its hash
    orders       every row of every orders file, in the partition of its order's present date
    order_lines  every line, in the partition of its order's date; without one while it is held
    products     every row of every products file

Rows are only ever added, so that what counts can be decided from all of them, in whichever order
they came (:mod:`.merge`). All rows of an order lie in one partition: a date is read from
that partition and nothing else, whatever else the ledger holds, and a commit writes the partitions
it changes anew, so that each stays one file.

A commit writes four tables, then ``commits``. Only that last write makes it true: readers read the
versions that a row of ``commits`` pins. What a run left behind that died in between is undone by
the next (Delta's RESTORE), and of two that write at once one fails with LedgerConflictError:
every write insists on being the next version of its table.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from deltalake import (
    CommitProperties,
    DeltaTable,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from contract import typed_json

from ..errors import LedgerConflictError, LedgerError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TableName = Literal["files", "orders", "order_lines", "products"]

_ORIGIN: Final = [("file", pa.string()), ("line", pa.int64())]
SCHEMAS: Final[Mapping[TableName, pa.Schema]] = {
    "files": pa.schema(
        [
            ("sha256", pa.string()),
            ("dataset", pa.string()),
            ("name", pa.string()),
            ("landed_at", pa.timestamp("us", "UTC")),
            ("size", pa.int64()),
            ("run_id", pa.string()),
        ]
    ),
    "orders": pa.schema(
        [
            ("order_id", pa.string()),
            ("user_id", pa.string()),
            # What this row says; the partition is the order's date by its latest row.
            ("stated_date", pa.date32()),
            ("total_amount", pa.decimal128(18, 2)),
            ("status", pa.string()),
            *_ORIGIN,
            ("order_date", pa.date32()),
        ]
    ),
    "order_lines": pa.schema(
        [
            ("order_id", pa.string()),
            ("product_id", pa.string()),
            ("quantity", pa.int64()),
            ("unit_price", pa.decimal128(18, 4)),
            *_ORIGIN,
            ("order_date", pa.date32()),
        ]
    ),
    "products": pa.schema(
        [
            ("product_id", pa.string()),
            ("category", pa.string()),
            ("name", pa.string()),
            ("price", pa.decimal128(18, 2)),
            *_ORIGIN,
        ]
    ),
}
TABLES: Final = tuple(SCHEMAS)
_COMMITS: Final = "commits"
_COMMITS_SCHEMA: Final = pa.schema(
    [
        ("version", pa.int64()),
        ("run_id", pa.string()),
        ("committed_at", pa.timestamp("us", "UTC")),
        ("dates", pa.list_(pa.date32())),
        ("summary", pa.string()),
        *((f"{name}_version", pa.int64()) for name in TABLES),
    ]
)

# How long an earlier version can be read; then its files are deleted (LEDGER_RETENTION_DAYS).
RETENTION: Final = timedelta(days=30)
# Tables that grow by one small file a run are made one file again at this number, and what
# nobody can read any more is deleted as seldom.
_COMPACT_AT: Final = 20
_PARALLEL: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSummary:
    """What a delivery brought; all zero for a run that added nothing.

    ``duplicate_files`` are names whose bytes had landed before, ``known_from`` the runs that
    brought the very same file versions, ``new_rows`` counts by dataset. ``readmitted_lines`` were
    released because their parent arrived, ``held_lines`` are all that are pending after it.
    """

    new_files: int = 0
    duplicate_files: tuple[str, ...] = ()
    known_from: tuple[str, ...] = ()
    new_rows: Mapping[str, int] = field(default_factory=dict)
    readmitted_lines: int = 0
    held_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One version of the ledger: the run that made it, and which order dates it changed."""

    version: int
    run_id: str
    dates: frozenset[date]
    summary: CommitSummary
    tables: Mapping[TableName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A Parquet file of a table: path under the table, and the order ids it holds at most."""

    path: str
    size: int
    order_date: date | None
    first_id: str | None
    last_id: str | None


class Store(Protocol):
    """Where the tables lie; files are fetched so that DuckDB can read them from this disk."""

    @property
    def storage_options(self) -> dict[str, str] | None: ...

    def uri(self, table: str) -> str: ...

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        """Return local paths, or raise FileNotFoundError."""


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    storage_options = None

    def uri(self, table: str) -> str:
        return str(self._root / table)

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        found = [self._root / table / unquote(path) for path in paths]
        if missing := next((path for path in found if not path.exists()), None):
            raise FileNotFoundError(missing)
        return found


class Bucket:
    """Tables under a prefix of a bucket; ``scratch`` keeps what was fetched, once."""

    def __init__(self, s3: "S3Client", bucket: str, prefix: str, scratch: Path) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._scratch = scratch

    @property
    def storage_options(self) -> dict[str, str]:
        # The rest (region, credentials) delta-rs takes from the environment, as boto3 does.
        options = {"aws_conditional_put": "etag"}
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            options |= {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}
        return options

    def uri(self, table: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}/{table}"

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(lambda path: self._fetch(table, path), paths))

    def _fetch(self, table: str, path: str) -> Path:
        target = self._scratch / self._prefix / table / unquote(path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._s3.download_file(
                    self._bucket, f"{self._prefix}/{table}/{unquote(path)}", str(target)
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    raise FileNotFoundError(f"{self.uri(table)}/{path}") from error
                raise
        return target


class Snapshot:
    """The ledger as one commit left it; ``commit`` is None while nothing was ever committed."""

    def __init__(self, store: Store, commit: Commit | None) -> None:
        self._store = store
        self.commit = commit
        self._files: dict[TableName, list[DataFile]] = {}

    @property
    def version(self) -> int:
        return 0 if self.commit is None else self.commit.version

    def files(self, table: TableName) -> list[DataFile]:
        if table not in self._files:
            self._files[table] = self._listed(table)
        return self._files[table]

    def _listed(self, table: TableName) -> list[DataFile]:
        if self.commit is None:
            return []
        try:
            pinned = DeltaTable(
                self._store.uri(table),
                version=self.commit.tables[table],
                storage_options=self._store.storage_options,
            )
        except DeltaError as error:
            raise self._gone(f"version {self.commit.tables[table]} of table {table}") from error
        _lacking(pinned, table)
        return _data_files(pinned)

    def fetch(self, table: TableName, files: Iterable[DataFile]) -> list[Path]:
        """Return local paths; of a Bucket's files, copies.

        Raises:
            LedgerError: a file is not there any more.
        """
        try:
            return self._store.fetch(table, [file.path for file in files])
        except FileNotFoundError as error:
            raise self._gone(str(error)) from error

    def _gone(self, what: str) -> LedgerError:
        return LedgerError(
            f"ledger version {self.version}: {what} is not there any more; a version can be read"
            f" for {RETENTION.days} days after the next one: read a later one, or start a run with"
            ' {"rebuild": true} if this is the latest'
        )

    def partitions(self, table: TableName, dates: Iterable[date | None]) -> list[Path]:
        """Return the local Parquet files of these order dates; None are the held lines'."""
        wanted = set(dates)
        return self.fetch(table, [f for f in self.files(table) if f.order_date in wanted])

    @property
    def dates(self) -> frozenset[date]:
        """All order dates that have an order."""
        return frozenset(
            file.order_date for file in self.files("orders") if file.order_date is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a delivery changes, as Parquet files, not written yet (see :mod:`.merge`).

    ``orders`` and ``order_lines`` hold whole partitions: of ``rewritten`` dates, and all held
    lines. ``products`` and ``files`` hold new rows only. ``dates`` are those whose KPIs may change.
    """

    rewritten: frozenset[date]
    dates: frozenset[date]
    summary: CommitSummary
    tables: Mapping[TableName, Path]


class Ledger:
    """Open with a Store; ``first_version`` is the number of its first commit.

    A ledger made anew goes on counting where the one before it stood, so that versions of
    published KPIs only ever grow.
    """

    def __init__(self, store: Store, *, first_version: int = 1) -> None:
        self._store = store
        self._first_version = first_version

    @classmethod
    def in_folder(cls, root: Path, *, first_version: int = 1) -> Self:
        return cls(Folder(root), first_version=first_version)

    def head(self) -> Snapshot:
        commits = self._commits()
        return Snapshot(self._store, commits[-1] if commits else None)

    def at(self, version: int) -> Snapshot:
        """Return an earlier version.

        Raises:
            LedgerError: there is no such version, or it is too old to be read.
        """
        commits = self._commits()
        found = next((commit for commit in commits if commit.version == version), None)
        if found is None:
            known = f"{commits[0].version} to {commits[-1].version}" if commits else "none yet"
            raise LedgerError(f"ledger version {version}: no such version; there are {known}")
        snapshot = Snapshot(self._store, found)
        for table in TABLES:
            snapshot.files(table)
        return snapshot

    def commit_of(self, run_id: str) -> Commit | None:
        """Return what a run has committed, if it has."""
        table = _load(self._store, _COMMITS)
        if table is None or table.transaction_version(run_id) is None:
            return None
        return next(commit for commit in self._commits() if commit.run_id == run_id)

    def dates_since(self, version: int) -> frozenset[date]:
        """Return the order dates that commits after this version have changed."""
        later = (commit.dates for commit in self._commits() if commit.version > version)
        return frozenset[date]().union(*later)

    def commit(self, base: Snapshot, changes: Changes, *, run_id: str, now: datetime) -> Snapshot:
        """Write the changes on top of ``base``, and return the ledger with them.

        Raises:
            LedgerConflictError: somebody else has committed since; read the head and merge again.
            LedgerError: a table there has columns that these rows would not fit.
        """
        try:
            commits = self._commits_up_to(base)
            # One after the other: delta-rs keeps the interpreter's lock while it restores a table,
            # and a write's rows, which come out of Python, would wait for it for ever.
            versions = {
                table: self._write(table, base, changes.tables.get(table), changes.rewritten)
                for table in TABLES
            }
            return self._conclude(commits, base, changes, versions, run_id=run_id, now=now)
        except CommitFailedError as error:
            raise LedgerConflictError(
                f"{self._store.uri('')}: another run has written to the ledger at the same time"
            ) from error

    def _commits_up_to(self, base: Snapshot) -> DeltaTable:
        """Return ``commits`` as it must still be when this commit is added to it."""
        table = _load(self._store, _COMMITS) or _create(self._store, _COMMITS, _COMMITS_SCHEMA)
        if _read_commits(self._store, table)[-1:] != ([base.commit] if base.commit else []):
            raise LedgerConflictError(
                f"{self._store.uri(_COMMITS)}: another run has committed since version"
                f" {base.version} was read"
            )
        return table

    def _write(
        self,
        name: TableName,
        base: Snapshot,
        rows: Path | None,
        rewritten: frozenset[date],
    ) -> int:
        table = _opened(self._store, name, SCHEMAS[name], base)
        if rows is None:
            return table.version()
        stream = _stream(rows, SCHEMAS[name])
        if "order_date" in SCHEMAS[name].names:
            write_deltalake(
                table,
                stream,
                mode="overwrite",
                predicate=_of_dates(rewritten),
                writer_properties=_COMPRESSED,
                commit_properties=_NEXT,
            )
        else:
            _compact(table)
            write_deltalake(
                table,
                stream,
                mode="append",
                writer_properties=_COMPRESSED,
                commit_properties=_NEXT,
            )
        return table.version()

    def _conclude(
        self,
        commits: DeltaTable,
        base: Snapshot,
        changes: Changes,
        versions: Mapping[TableName, int],
        *,
        run_id: str,
        now: datetime,
    ) -> Snapshot:
        _compact(commits)
        commit = Commit(
            version=self._first_version if base.commit is None else base.version + 1,
            run_id=run_id,
            dates=changes.dates,
            summary=changes.summary,
            tables=versions,
        )
        row = {
            "version": commit.version,
            "run_id": run_id,
            "committed_at": now,
            "dates": sorted(commit.dates),
            "summary": json.dumps(asdict(commit.summary)),
            **{f"{name}_version": version for name, version in versions.items()},
        }
        write_deltalake(
            commits,
            pa.Table.from_pylist([row], schema=_COMMITS_SCHEMA),
            mode="append",
            commit_properties=CommitProperties(
                max_commit_retries=0, app_transactions=[Transaction(run_id, commit.version)]
            ),
        )
        return Snapshot(self._store, commit)

    def tidy(self, *, retention: timedelta = RETENTION) -> int:
        """Delete files that no version within the retention needs; return their number.

        Does nothing on most calls: a table is looked at every _COMPACT_AT versions.
        """
        head = self.head().commit
        if head is None:
            return 0
        pinned: Mapping[str, int] = {name: head.tables[name] for name in TABLES}
        deleted = 0
        for name in (*TABLES, _COMMITS):
            table = _load(self._store, name)
            if table is None or table.version() % _COMPACT_AT:
                continue
            # Beyond it is what a run wrote that died, or is about to commit.
            kept = pinned.get(name)
            if kept in (None, table.version()):
                table.create_checkpoint()
                table.cleanup_metadata()
            deleted += len(
                table.vacuum(
                    retention_hours=int(retention / timedelta(hours=1)),
                    dry_run=False,
                    enforce_retention_duration=False,
                    # Delta forgets what it should delete when that is older than the retention
                    # at a checkpoint. What dead runs left it has never known.
                    full=True,
                    keep_versions=None if kept is None else [kept],
                )
            )
        return deleted

    def _commits(self) -> list[Commit]:
        table = _load(self._store, _COMMITS)
        return [] if table is None else _read_commits(self._store, table)


_COMPRESSED: Final = WriterProperties(compression="ZSTD")
# A write is the next version of its table or fails: what it is based on must still be true.
_NEXT: Final = CommitProperties(max_commit_retries=0)


def _load(store: Store, name: str) -> DeltaTable | None:
    try:
        return DeltaTable(store.uri(name), storage_options=store.storage_options)
    except TableNotFoundError:
        return None


def _create(store: Store, name: str, schema: pa.Schema) -> DeltaTable:
    """Make a table, if nobody has in the meantime."""
    days = f"interval {RETENTION.days} days"
    return DeltaTable.create(
        store.uri(name),
        schema=schema,
        mode="ignore",
        partition_by=["order_date"] if "order_date" in schema.names else None,
        storage_options=store.storage_options,
        configuration={
            "delta.checkpointInterval": str(_COMPACT_AT),
            # Only tidy() deletes: a run that dies after a checkpoint would take the version along
            # that the head needs.
            "delta.enableExpiredLogCleanup": "false",
            "delta.logRetentionDuration": days,
            "delta.deletedFileRetentionDuration": days,
        },
        commit_properties=_NEXT,
    )


def _opened(store: Store, name: TableName, schema: pa.Schema, base: Snapshot) -> DeltaTable:
    """Return a table as ``base`` has it, with all columns of ``schema``: the state to write on."""
    table = _load(store, name) or _create(store, name, schema)
    pinned = {file.path for file in base.files(name)}
    if {file.path for file in _data_files(table)} != pinned:
        # A run that died before its commit, or is about to make it, has written here. Version 0
        # is the empty table.
        with _alone(table):
            table.restore(base.commit.tables[name] if base.commit else 0, commit_properties=_NEXT)
    if new := _lacking(table, name):
        with _alone(table):
            table.alter.add_columns(
                list(Schema.from_arrow(pa.schema(new)).fields), commit_properties=_NEXT
            )
    return table


def _lacking(table: DeltaTable, name: TableName) -> list[pa.Field]:
    """Return the columns that a table lacks.

    Raises:
        LedgerError: it has a column that is not known here, or has it with another type.
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


def _compact(table: DeltaTable) -> None:
    if len(table.file_uris()) >= _COMPACT_AT:
        with _alone(table):
            table.optimize.compact(commit_properties=_NEXT)


@contextmanager
def _alone(table: DeltaTable) -> Iterator[None]:
    """Refuse a step that has taken up what others wrote: all but plain writes do, retries or not.

    Raises:
        LedgerConflictError: the table is not at its next version.
    """
    before = table.version()
    yield
    if table.version() > before + 1:
        raise LedgerConflictError(
            f"{table.table_uri}: another run has written since version {before} was read"
        )


def _data_files(table: DeltaTable) -> list[DataFile]:
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


def _read_commits(store: Store, table: DeltaTable) -> list[Commit]:
    """Return all commits, the latest last."""
    paths = store.fetch(_COMMITS, [file.path for file in _data_files(table)])
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [
        Commit(
            version=row["version"],
            run_id=row["run_id"],
            dates=frozenset(row["dates"]),
            summary=typed_json.from_json(CommitSummary, row["summary"]),
            tables={name: row[f"{name}_version"] for name in TABLES},
        )
        for row in sorted(rows, key=lambda row: row["version"])
    ]


def _of_dates(dates: Iterable[date]) -> str:
    """Return the predicate of these partitions and of the held lines'."""
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(dates))
    return f"order_date IS NULL OR order_date IN ({listed})" if listed else "order_date IS NULL"


def _stream(rows: Path, schema: pa.Schema) -> pa.RecordBatchReader:
    file = pq.ParquetFile(rows)
    return pa.RecordBatchReader.from_batches(schema, _batches(file, schema))


def _batches(file: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches():
        yield batch.cast(schema)
