"""One version of the ledger: the commit that made it, and the files of its tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from delivery.storage import Storage

from ..errors import LedgerError
from . import delta_tables
from .delta_tables import RETENTION, DataFile, data_files, missing_columns
from .tables import TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSummary:
    """What a delivery brought; all zero for a run that added nothing.

    ``duplicate_files`` are names whose bytes were there before and do not count again,
    ``known_from`` the runs that brought the very same file versions, ``new_rows`` counts by
    dataset. ``readmitted_lines`` were released because their parent arrived, ``held_lines`` are all
    that are pending after it, and ``delivery_held_lines`` those of the delivery's own files, by
    reason in ``delivery_held_reasons``; None in a commit of an earlier release.
    """

    new_files: int = 0
    duplicate_files: tuple[str, ...] = ()
    known_from: tuple[str, ...] = ()
    new_rows: Mapping[str, int] = field(default_factory=dict)
    readmitted_lines: int = 0
    held_lines: int = 0
    delivery_held_lines: int | None = None
    delivery_held_reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One version of the ledger: the run that made it, and which order dates it changed."""

    version: int
    run_id: str
    dates: frozenset[date]
    summary: CommitSummary
    tables: Mapping[TableName, int]


class Snapshot:
    """The ledger after one commit; ``commit`` is None before the first."""

    def __init__(self, storage: Storage, commit: Commit | None) -> None:
        self._storage = storage
        self.commit = commit
        self._files: dict[TableName, list[DataFile]] = {}

    @property
    def version(self) -> int:
        return 0 if self.commit is None else self.commit.version

    def files(self, table: TableName) -> list[DataFile]:
        if table not in self._files:
            self._files[table] = self._list(table)
        return self._files[table]

    def _list(self, table: TableName) -> list[DataFile]:
        if self.commit is None:
            return []
        try:
            pinned = DeltaTable(
                self._storage.uri(table),
                version=self.commit.tables[table],
                storage_options=delta_tables.storage_options(self._storage),
            )
        except DeltaError as error:
            raise self._missing(f"version {self.commit.tables[table]} of table {table}") from error
        missing_columns(pinned, table)
        return data_files(pinned)

    def fetch(self, table: TableName, files: Iterable[DataFile]) -> list[Path]:
        """Return local paths of a table's files.

        Raises:
            LedgerError: a file has been deleted.
        """
        try:
            return delta_tables.fetch(self._storage, table, files)
        except FileNotFoundError as error:
            raise self._missing(str(error)) from error

    def _missing(self, what: str) -> LedgerError:
        return LedgerError(
            f"ledger version {self.version}: {what} has been deleted; a version can be read for"
            f" {RETENTION.days} days after the next one: read a later one, or start a run with"
            ' {"rebuild": true} if this is the latest'
        )

    def partitions(self, table: TableName, dates: Iterable[date | None]) -> list[Path]:
        """Return the local Parquet files of these order dates; None is that of pending lines."""
        wanted = set(dates)
        return self.fetch(table, [f for f in self.files(table) if f.order_date in wanted])

    @property
    def dates(self) -> frozenset[date]:
        """All order dates that have an order."""
        return frozenset(
            file.order_date for file in self.files("orders") if file.order_date is not None
        )
