"""The versions of a ledger: read one, add one, and delete what no kept version needs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from contract import typed_json
from delivery.storage import Storage

from ..errors import LedgerConflictError, LedgerError
from . import delta_tables
from .snapshot import Commit, CommitSummary, Snapshot
from .tables import TABLES, TableName

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a delivery changes, as Parquet files that are not in the ledger yet.

    ``orders`` and ``order_lines`` hold whole partitions: of the ``rewritten`` dates, and of the
    lines without a date. ``products`` and ``files`` hold new rows only. ``dates`` are those whose
    KPIs may change.
    """

    rewritten: frozenset[date]
    dates: frozenset[date]
    summary: CommitSummary
    tables: Mapping[TableName, Path]


class Ledger:
    """``first_version`` is the number of the first commit.

    A rebuilt ledger continues the numbers of the one that it replaces, so that versions of
    published KPIs only ever grow.
    """

    def __init__(self, storage: Storage, *, first_version: int = 1) -> None:
        self._storage = storage
        self._first_version = first_version

    def head(self) -> Snapshot:
        commits = self._commits()
        return Snapshot(self._storage, commits[-1] if commits else None)

    def at(self, version: int) -> Snapshot:
        """Return an earlier version.

        Raises:
            LedgerError: there is no such version, or its files have been deleted.
        """
        commits = self._commits()
        found = next((commit for commit in commits if commit.version == version), None)
        if found is None:
            known = f"{commits[0].version} to {commits[-1].version}" if commits else "none yet"
            raise LedgerError(f"ledger version {version}: no such version; there are {known}")
        snapshot = Snapshot(self._storage, found)
        for table in TABLES:
            snapshot.files(table)
        return snapshot

    def commit_of(self, run_id: str) -> Commit | None:
        """Return the commit of a run, or None."""
        table = delta_tables.load(self._storage, _COMMITS)
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
            LedgerConflictError: another run has committed since; read the head and merge again.
            LedgerError: a table has columns that these rows do not fit.
        """
        try:
            commits = self._commits_of(base)
            # One after the other: delta-rs keeps the interpreter's lock while it restores a table,
            # and a write whose rows come from Python would wait for it without end.
            versions = {table: self._write(table, base, changes) for table in TABLES}
            commit = Commit(
                version=self._first_version if base.commit is None else base.version + 1,
                run_id=run_id,
                dates=changes.dates,
                summary=changes.summary,
                tables=versions,
            )
            delta_tables.append_row(
                commits, _to_row(commit, now), Transaction(run_id, commit.version)
            )
        except CommitFailedError as error:
            raise LedgerConflictError(
                f"{self._storage.uri('')}: another run has written to the ledger at the same time"
            ) from error
        return Snapshot(self._storage, commit)

    def _commits_of(self, base: Snapshot) -> DeltaTable:
        """Return ``commits``, whose last row is the commit of ``base``."""
        table = delta_tables.load(self._storage, _COMMITS)
        if table is None:
            table = delta_tables.create(self._storage, _COMMITS, _COMMITS_SCHEMA)
        if _read_commits(self._storage, table)[-1:] != ([base.commit] if base.commit else []):
            raise LedgerConflictError(
                f"{self._storage.uri(_COMMITS)}: another run has committed since version"
                f" {base.version} was read"
            )
        return table

    def _write(self, name: TableName, base: Snapshot, changes: Changes) -> int:
        """Write the changes of one table and return its version."""
        # Version 0 is the empty table.
        version = base.commit.tables[name] if base.commit else 0
        table = delta_tables.open_for_writing(self._storage, name, version, base.files(name))
        if name in changes.tables:
            delta_tables.write(table, name, changes.tables[name], changes.rewritten)
        return table.version()

    def tidy(self, *, retention: timedelta = delta_tables.RETENTION) -> int:
        """Delete files that no version within the retention needs; return their number.

        Most calls do nothing: see :func:`.delta_tables.vacuum`.
        """
        head = self.head().commit
        if head is None:
            return 0
        pinned: Mapping[str, int] = {name: head.tables[name] for name in TABLES}
        deleted = 0
        for name in (*TABLES, _COMMITS):
            if (table := delta_tables.load(self._storage, name)) is not None:
                deleted += delta_tables.vacuum(table, pinned=pinned.get(name), retention=retention)
        return deleted

    def _commits(self) -> list[Commit]:
        table = delta_tables.load(self._storage, _COMMITS)
        return [] if table is None else _read_commits(self._storage, table)


def _to_row(commit: Commit, now: datetime) -> pa.Table:
    row = {
        "version": commit.version,
        "run_id": commit.run_id,
        "committed_at": now,
        "dates": sorted(commit.dates),
        "summary": json.dumps(asdict(commit.summary)),
        **{f"{name}_version": version for name, version in commit.tables.items()},
    }
    return pa.Table.from_pylist([row], schema=_COMMITS_SCHEMA)


def _read_commits(storage: Storage, table: DeltaTable) -> list[Commit]:
    """Return all commits, the latest last."""
    paths = delta_tables.fetch(storage, _COMMITS, delta_tables.data_files(table))
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
