"""Deliver rows to a ledger without CSV or validator, and compute what it holds in plain Python."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.table import TableAlterer, TableOptimizer

import spark_jobs.ledger.delta_tables
from spark_jobs.ledger.current_rows import read
from spark_jobs.ledger.ledger import Changes, Ledger
from spark_jobs.ledger.merge import DeliveredFile, Delivery, merge
from spark_jobs.ledger.snapshot import Snapshot
from tests import oracle
from tests.oracle import Row, Version

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_TYPES = {
    "order_date": date.fromisoformat,
    "total_amount": Decimal,
    "price": Decimal,
    "unit_price": Decimal,
    "quantity": int,
}
_ORIGIN = [("_file_name", pa.string()), ("_line", pa.int64())]
_SCHEMAS = {
    "orders": pa.schema(
        [
            ("order_id", pa.string()),
            ("user_id", pa.string()),
            ("order_date", pa.date32()),
            ("total_amount", pa.decimal128(18, 2)),
            ("status", pa.string()),
            *_ORIGIN,
        ]
    ),
    "order_items": pa.schema(
        [
            ("order_id", pa.string()),
            ("product_id", pa.string()),
            ("quantity", pa.int64()),
            ("unit_price", pa.decimal128(18, 4)),
            *_ORIGIN,
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


def delivery(versions: Sequence[Version], folder: Path, run_id: str = "run") -> Delivery:
    """Write what a validator would have accepted of these file versions."""
    folder.mkdir(parents=True, exist_ok=True)
    files, rows = [], {dataset: [] for dataset in _SCHEMAS}
    for number, version in enumerate(versions):
        dataset = oracle._dataset(version.name)
        content = json.dumps([dataset, version.rows]).encode()
        files.append(
            DeliveredFile(
                label=f"{number} {version.name}",
                name=version.name,
                dataset=dataset,
                sha256=hashlib.sha256(content).hexdigest(),
                landed_at=version.landed_at,
                size=len(content),
            )
        )
        rows[dataset] += [
            {name: _TYPES.get(name, str)(value) for name, value in row.items()}
            | {"_file_name": files[-1].label, "_line": line}
            for line, row in enumerate(version.rows, start=2)
        ]
    paths = {}
    for dataset, found in rows.items():
        if found:
            path = folder / f"{dataset}.parquet"
            pq.write_table(pa.Table.from_pylist(found, schema=_SCHEMAS[dataset]), path)
            paths[dataset] = [path]
    return Delivery(run_id=run_id, files=files, rows=paths)


def deliver(
    ledger: Ledger, versions: Sequence[Version], folder: Path, run_id: str
) -> tuple[Changes, Snapshot]:
    """Merge and commit; return what changed and the ledger with it."""
    base = ledger.head()
    changes = merge(base, delivery(versions, folder, run_id), folder)
    return changes, ledger.commit(base, changes, run_id=run_id, now=NOON)


def kpis(
    snapshot: Snapshot,
    dates: Collection[date] | None = None,
    changes: Changes | None = None,
) -> oracle.Tables:
    """Compute the KPIs of the rows that count, with the oracle's arithmetic."""
    everything = snapshot.dates | (changes.rewritten if changes else frozenset())
    with duckdb.connect() as connection:
        read(connection, snapshot, everything if dates is None else dates, changes)

        def rows(view: str, *columns: str) -> list[dict[str, str]]:
            listed = ", ".join(f"coalesce({c}::VARCHAR, '') AS {c}" for c in columns)
            found = connection.execute(f"SELECT {listed} FROM {view}")
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

        orders = rows(
            "current_orders", "order_id", "user_id", "order_date", "total_amount", "status"
        )
        lines = rows("current_lines", "order_id", "product_id", "quantity", "unit_price")
        products = rows("current_products", "product_id", "category")
    # The oracle would forgive all of these; a join does not.
    assert _ids(lines, "order_id") <= _ids(orders, "order_id", once=True)
    assert _ids(lines, "product_id") <= _ids(products, "product_id", once=True)
    return oracle.from_rows({"orders": orders, "order_items": lines, "products": products})


def _ids(rows: Sequence[Row], column: str, *, once: bool = False) -> set[str]:
    ids = {row[column] for row in rows}
    assert not once or len(ids) == len(rows)
    return ids


def of_dates(tables: oracle.Tables, dates: Collection[date]) -> oracle.Tables:
    return oracle.Tables(
        *([row for row in table if row["order_date"] in dates] for table in tables)
    )


def changed_dates(before: oracle.Tables, after: oracle.Tables) -> set[object]:
    """Return the dates whose KPIs are not the same."""
    return {
        row["order_date"]
        for old, new in zip(before, after, strict=True)
        for row in (*old, *new)
        if (row in old) != (row in new)
    }


class Died(BaseException):
    """The process ended here: nothing catches it."""


def die() -> None:
    raise Died


@contextmanager
def before_write(number: int, act: Callable[[], object]) -> Iterator[list[str]]:
    """Call ``act`` once, right before a ledger's write of this number, counted from 0.

    Yields the names of the writes so far. Every version of every table is one of them.
    """
    writes: list[str] = []

    def counted(name: str, write: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **options: object) -> object:
            writes.append(name)
            if len(writes) == number + 1:
                act()
            return write(*args, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (spark_jobs.ledger.delta_tables, "write_deltalake"),
            (DeltaTable, "create"),
            (DeltaTable, "restore"),
            (TableOptimizer, "compact"),
            (TableAlterer, "add_columns"),
        ):
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
        yield writes
