"""KPIs of the order dates of a ledger, computed in parts of bounded size."""

from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from delivery.container_log import Phases
from delivery.storage import open_storage

from .compute import Kpis, compute, stage
from .errors import LedgerError
from .ledger.current_rows import read
from .ledger.ledger import Changes, Ledger
from .ledger.snapshot import Snapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Parquet of the ledger that is read at a time: about 10 million lines, 1 GB in DuckDB.
_PART_BYTES: Final = 128 * 1024**2


def open_ledger(uri: str, scratch: Path) -> Ledger:
    """Open the ledger in a folder, or under ``s3://BUCKET/PREFIX``."""
    return Ledger(open_storage(uri, scratch))


def kpis_between(
    snapshot: Snapshot,
    session: Callable[[], "SparkSession"],
    scratch: Path,
    start: date | None,
    end: date | None,
) -> Kpis:
    """Compute both tables of a ledger's dates from ``start`` to ``end``, both included.

    Raises:
        LedgerError: it has no order between these dates.
    """
    dates = [
        day for day in snapshot.dates if (not start or start <= day) and (not end or day <= end)
    ]
    if not dates:
        raise LedgerError(
            f"ledger version {snapshot.version}: no orders between {start or 'its first date'} and"
            f" {end or 'its last date'}; choose other dates, or deliver files first"
        )
    parts = [kpis for _, kpis in kpis_by_part(snapshot, dates, session, scratch, Phases())]
    category, daily = map(pa.concat_tables, zip(*parts, strict=True))
    return Kpis(category.sort_by([("category", "ascending"), ("order_date", "ascending")]), daily)


def kpis_by_part(
    snapshot: Snapshot,
    dates: Collection[date],
    session: Callable[[], "SparkSession"],
    scratch: Path,
    phases: Phases,
    changes: Changes | None = None,
) -> Iterator[tuple[list[date], Kpis]]:
    """Yield some of the dates, in ascending order, with their KPIs.

    ``changes`` that are not committed yet are seen on top of the snapshot. ``phases`` receives the
    seconds of ``read`` and ``compute``.
    """
    for part in _parts(snapshot, dates):
        with (
            phases.timed("read"),
            duckdb.connect(config={"temp_directory": str(scratch)}) as connection,
        ):
            read(connection, snapshot, part, changes)
            staged = stage(connection, scratch)
        with phases.timed("compute"):
            kpis = compute(session(), staged)
        yield part, kpis


def _parts(snapshot: Snapshot, dates: Collection[date]) -> Iterator[list[date]]:
    sizes: dict[date | None, int] = {}
    for table in ("orders", "order_lines"):
        for file in snapshot.files(table):
            sizes[file.order_date] = sizes.get(file.order_date, 0) + file.size
    part: list[date] = []
    size = 0
    for day in sorted(dates):
        size += sizes.get(day, 0)
        if part and size > _PART_BYTES:
            yield part
            part, size = [], sizes.get(day, 0)
        part.append(day)
    if part:
        yield part
