"""What a delivery changes in the ledger.

Rows are never dropped from the ledger, and :mod:`.current_rows` decides from all rows of an order
which of them count each time that a date is read. So nothing here depends on the order in which
runs happen.

The steps of a merge pass tables of one DuckDB connection to each other. Each says which tables it
takes and which it leaves.
"""

# ruff: noqa: S608 - names are literals of this package, paths are scratch files

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq

from contract.keys import DatasetName
from delivery import identity
from delivery.datasets import DATASETS

from .delta_tables import DataFile
from .duckdb_tables import column, create_contents, from_parquet, load, number
from .ledger import Changes
from .snapshot import CommitSummary, Snapshot
from .tables import SCHEMAS, TableName, is_partitioned

_TABLE_OF: Final[Mapping[DatasetName, TableName]] = {
    "orders": "orders",
    "order_items": "order_lines",
    "products": "products",
}
# What is written to each table: new rows, or whole partitions.
_OUTPUT: Final[Mapping[TableName, str]] = {
    "files": "new_files",
    "orders": "rewritten_orders",
    "order_lines": "rewritten_order_lines",
    "products": "new_products",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredFile:
    """One claimed file version that was not rejected; ``label`` is its name in the Parquet."""

    label: str
    name: str
    dataset: str
    sha256: str
    landed_at: datetime
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A run's files, and their rows by dataset: Parquet of accepted rows and of lines held back."""

    run_id: str
    files: Sequence[DeliveredFile]
    rows: Mapping[str, Sequence[Path]]


def merge(base: Snapshot, delivery: Delivery, scratch: Path) -> Changes:
    """Decide what a delivery changes; ``scratch`` receives the rows to write."""
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        _classify_files(connection, base, delivery)
        _load_rows(connection, base, delivery)
        other_affected_dates = _dates_of_recategorised_products(connection, base)
        rewritten = _find_partitions(connection, base)
        _rewrite_partitions(connection, base, rewritten)
        return Changes(
            rewritten=rewritten,
            dates=rewritten | other_affected_dates,
            summary=_summary(connection),
            tables=_write(connection, rewritten, scratch),
        )


def _classify_files(
    connection: duckdb.DuckDBPyConnection, base: Snapshot, delivery: Delivery
) -> None:
    """Find the file versions and the contents that the ledger does not have.

    Leaves ``ledger_files``, ``delivery_files``, ``new_files`` (versions that the ledger lacks),
    ``contents_before`` and ``contents_after`` (see ``create_contents``), ``changed_contents``
    (dataset and hash of those that count now and did not, or as of another landing), and
    ``classified_files``: of each delivered content one label, whether the ledger lacks it
    (``is_new``) and whether it ``is_changed``.
    """
    load(connection, "ledger_files", "files", base.fetch("files", base.files("files")))
    load(connection, "delivery_files", "files", [], extra_columns=["label VARCHAR"])
    connection.executemany(
        "INSERT INTO delivery_files BY NAME SELECT ? AS label, ? AS name, ? AS dataset,"
        " ? AS sha256, ?::TIMESTAMPTZ AS landed_at, ? AS size, ? AS run_id",
        [
            (f.label, f.name, f.dataset, f.sha256, f.landed_at, f.size, delivery.run_id)
            for f in delivery.files
        ],
    )
    connection.execute("""
        CREATE TEMP TABLE new_files AS
            SELECT DISTINCT ON (dataset, sha256, name, landed_at) * EXCLUDE (label)
            FROM delivery_files ANTI JOIN ledger_files USING (dataset, sha256, name, landed_at)
        """)
    create_contents(connection, "contents_before", "ledger_files")
    create_contents(connection, "contents_after", "(FROM ledger_files UNION ALL FROM new_files)")
    connection.execute("""
        CREATE TEMP TABLE changed_contents AS
            SELECT DISTINCT dataset, file FROM (
                (SELECT dataset, file, name, landed_at FROM contents_before
                 EXCEPT SELECT dataset, file, name, landed_at FROM contents_after)
                UNION ALL
                (SELECT dataset, file, name, landed_at FROM contents_after
                 EXCEPT SELECT dataset, file, name, landed_at FROM contents_before));
        -- Of equal files the reader has read the first.
        CREATE TEMP TABLE classified_files AS
            SELECT DISTINCT ON (dataset, sha256) label, dataset, sha256,
                   (dataset, sha256) NOT IN (SELECT (dataset, sha256) FROM ledger_files) AS is_new,
                   (dataset, sha256) IN (SELECT (dataset, file) FROM changed_contents) AS is_changed
            FROM delivery_files ORDER BY dataset, sha256, landed_at, label
        """)


def _load_rows(connection: duckdb.DuckDBPyConnection, base: Snapshot, delivery: Delivery) -> None:
    """Load the delivery's rows, and what the ledger has of pending lines and products.

    Takes ``classified_files``. Leaves ``delivered_<table>`` of orders, order_lines and products
    with the rows that may change something, ``new_<table>`` with those that the ledger does not
    have, ``pending_lines`` and ``ledger_products``.
    """
    for dataset, table in _TABLE_OF.items():
        columns = ", ".join(
            "order_date AS stated_date" if name == "order_date" else name
            for name in DATASETS[dataset].column_names
        )
        load(
            connection,
            f"accepted_{table}",
            table,
            [],
            extra_columns=["_file_name VARCHAR", "_line BIGINT"],
        )
        for path in delivery.rows.get(dataset, ()):
            # Only a run with line ids has that column.
            ids = ", line_id" if "line_id" in pq.read_schema(path).names else ""
            connection.execute(
                f"INSERT INTO accepted_{table} BY NAME SELECT {columns}{ids}, _file_name, _line"
                " FROM read_parquet(?)",
                [str(path)],
            )
        connection.execute(f"""
            CREATE TEMP TABLE delivered_{table} AS
                SELECT a.* EXCLUDE (file, line, _file_name, _line),
                       sha256 AS file, _line AS line, is_new
                FROM accepted_{table} AS a JOIN classified_files
                  ON label = _file_name AND dataset = '{dataset}' AND is_changed;
            CREATE TEMP VIEW new_{table} AS
                SELECT * EXCLUDE (is_new) FROM delivered_{table} WHERE is_new;
            """)
    load(connection, "pending_lines", "order_lines", base.partitions("order_lines", [None]))
    products = base.fetch("products", base.files("products"))
    load(connection, "ledger_products", "products", products)


def _dates_of_recategorised_products(
    connection: duckdb.DuckDBPyConnection, base: Snapshot
) -> frozenset[date]:
    """Return the dates with a line of a product whose category changes.

    Takes ``ledger_products``, ``new_products`` and both contents. Leaves ``products_after``:
    product_id and category of all known products.

    A category seldom changes, and only then the product ids of the whole ledger are read.
    """
    # A shop that sends all its products every day has millions of rows in a year: grouping takes
    # a fifth of the time of a window over them.
    connection.execute("""
        CREATE TEMP TABLE products_before AS
            SELECT product_id, arg_max(category, (_file, line)) AS category
            FROM ledger_products AS p
            JOIN contents_before AS c ON (c.dataset, c.file) = ('products', p.file)
            GROUP BY product_id;
        CREATE TEMP TABLE products_after AS
            SELECT product_id, arg_max(category, (_file, line)) AS category
            FROM (FROM ledger_products UNION ALL BY NAME FROM new_products) AS p
            JOIN contents_after AS c ON (c.dataset, c.file) = ('products', p.file)
            GROUP BY product_id;
        CREATE TEMP TABLE recategorised_products AS
            SELECT product_id FROM products_before AS before JOIN products_after AS after
            USING (product_id) WHERE before.category <> after.category;
        """)
    if not number(connection, "SELECT count(*) FROM recategorised_products"):
        return frozenset()
    lines = base.fetch("order_lines", base.files("order_lines"))
    if not lines:
        return frozenset()
    return frozenset(
        column(
            connection,
            f"SELECT DISTINCT order_date FROM {from_parquet('order_lines', lines)}"
            " WHERE product_id IN (FROM recategorised_products) AND order_date IS NOT NULL",
        )
    )


def _find_partitions(connection: duckdb.DuckDBPyConnection, base: Snapshot) -> frozenset[date]:
    """Return the dates of the partitions that affected orders are in, before and after.

    Takes the tables of ``_load_rows`` and ``contents_after``. Leaves ``order_partition``: order_id
    and new order_date of each affected order that is known.
    """
    connection.execute("""
        CREATE TEMP TABLE affected_orders AS
            SELECT order_id FROM delivered_orders
            UNION SELECT order_id FROM delivered_order_lines
            UNION SELECT order_id FROM pending_lines
                WHERE product_id IN (SELECT product_id FROM new_products)
        """)
    _add_orders_of_other_contents(connection, base)
    ids = column(connection, "FROM affected_orders ORDER BY order_id")
    possible_files = [file for file in base.files("orders") if _may_hold(file, ids)]
    load(
        connection,
        "affected_order_rows",
        "orders",
        base.fetch("orders", possible_files),
        # Where ids do not grow with time, any file may hold any id.
        only="SEMI JOIN affected_orders USING (order_id)",
    )
    connection.execute("""
        CREATE TEMP TABLE order_partition AS
            SELECT order_id, stated_date AS order_date
            FROM (SELECT order_id, stated_date, file, line FROM affected_order_rows
                  UNION ALL SELECT order_id, stated_date, file, line FROM new_orders) AS o
            JOIN contents_after AS c ON (c.dataset, c.file) = ('orders', o.file)
            QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY _file DESC, line DESC) = 1
        """)
    return frozenset(
        column(
            connection,
            "SELECT order_date FROM order_partition"
            " UNION SELECT order_date FROM affected_order_rows",
        )
    )


def _add_orders_of_other_contents(connection: duckdb.DuckDBPyConnection, base: Snapshot) -> None:
    """Add the orders of contents that were not delivered now, but count as of another landing.

    Takes ``changed_contents``; adds to ``affected_orders``. A version that lands between two equal
    ones of its name makes the second count. That is rare, and only then the whole ledger is read.
    """
    tables: tuple[tuple[str, TableName], ...] = (
        ("orders", "orders"),
        ("order_items", "order_lines"),
    )
    for dataset, table in tables:
        others = column(
            connection,
            "SELECT file FROM changed_contents ANTI JOIN delivery_files"
            " ON (delivery_files.dataset, sha256) = (changed_contents.dataset, file)"
            f" WHERE dataset = '{dataset}'",
        )
        if others:
            paths = base.fetch(table, base.files(table))
            connection.execute(
                "INSERT INTO affected_orders SELECT DISTINCT order_id FROM"
                f" {from_parquet(table, paths)} ANTI JOIN affected_orders USING (order_id)"
                " WHERE list_contains($others, file)",
                {"others": others},
            )


def _rewrite_partitions(
    connection: duckdb.DuckDBPyConnection, base: Snapshot, dates: Collection[date]
) -> None:
    """Put old and new rows into the partitions of these dates.

    Takes ``order_partition``, ``products_after`` and the tables of ``_load_rows``. Leaves
    ``rewritten_orders`` and ``rewritten_order_lines``, the latter with all pending lines, which
    have no order_date.
    """
    load(connection, "partition_orders", "orders", base.partitions("orders", dates))
    load(connection, "partition_lines", "order_lines", base.partitions("order_lines", dates))
    connection.execute("""
        CREATE TEMP VIEW rewritten_orders AS
            SELECT o.* REPLACE (coalesce(p.order_date, o.order_date) AS order_date)
            FROM (FROM partition_orders UNION ALL BY NAME FROM new_orders) AS o
            LEFT JOIN order_partition AS p USING (order_id);
        CREATE TEMP VIEW rewritten_order_lines AS
            SELECT l.* REPLACE (coalesce(p.order_date, l.order_date) AS order_date)
            FROM partition_lines AS l LEFT JOIN order_partition AS p USING (order_id)
            UNION ALL BY NAME
            SELECT l.* REPLACE (
                CASE WHEN product_id IN (SELECT product_id FROM products_after)
                     THEN p.order_date END AS order_date)
            FROM (FROM pending_lines UNION ALL BY NAME FROM new_order_lines) AS l
            LEFT JOIN order_partition AS p USING (order_id);
        """)


def _may_hold(file: DataFile, ids: Sequence[str]) -> bool:
    """Return whether a file's smallest and largest id leave room for one of these sorted ids."""
    if file.first_id is None or file.last_id is None:
        return True
    at = bisect_left(ids, file.first_id)
    return at < len(ids) and ids[at] <= file.last_id


def _write(
    connection: duckdb.DuckDBPyConnection, rewritten: Collection[date], scratch: Path
) -> dict[TableName, Path]:
    """Write the tables of ``_OUTPUT`` that have something to write as Parquet."""
    counts = {table: number(connection, f"SELECT count(*) FROM new_{table}") for table in SCHEMAS}
    is_changed: dict[TableName, bool] = {
        "files": bool(counts["files"]),
        "orders": bool(rewritten),
        "order_lines": bool(rewritten or counts["order_lines"]),
        "products": bool(counts["products"]),
    }
    written: dict[TableName, Path] = {}
    for table in (table for table, changed in is_changed.items() if changed):
        written[table] = scratch / f"changed_{table}.parquet"
        # By id, so that the statistics of a file's row groups tell which ids are in them.
        order = "ORDER BY order_date, order_id" if is_partitioned(table) else ""
        connection.execute(
            f"COPY (SELECT {', '.join(SCHEMAS[table].names)} FROM {_OUTPUT[table]} {order})"
            f" TO '{written[table]}' (FORMAT parquet, COMPRESSION uncompressed)"
        )
    return written


def _summary(connection: duckdb.DuckDBPyConnection) -> CommitSummary:
    """Count what the other steps have left."""
    known_from = """
        SELECT DISTINCT ledger.run_id FROM ledger_files AS ledger
        SEMI JOIN delivery_files USING (dataset, sha256, name, landed_at) ORDER BY ALL
        """
    released = """
        SELECT count(*) FROM pending_lines JOIN order_partition USING (order_id)
        WHERE product_id IN (SELECT product_id FROM products_after)
        """
    counting = (
        "contents_after_versions AS c ON (c.dataset, c.file, c.name, c.landed_at)"
        " = (new_files.dataset, new_files.sha256, new_files.name, new_files.landed_at)"
    )
    held, reasons = _held_back(connection)
    return CommitSummary(
        delivery_held_lines=held,
        delivery_held_reasons=reasons,
        new_files=number(connection, f"SELECT count(*) FROM new_files SEMI JOIN {counting}"),
        duplicate_files=tuple(
            column(connection, f"SELECT name FROM new_files ANTI JOIN {counting} ORDER BY name")
        ),
        known_from=tuple(column(connection, known_from)),
        new_rows={
            dataset: number(connection, f"SELECT count(*) FROM new_{table}")
            for dataset, table in _TABLE_OF.items()
        },
        readmitted_lines=number(connection, released),
        held_lines=number(
            connection, "SELECT count(*) FROM rewritten_order_lines WHERE order_date IS NULL"
        ),
    )


def _held_back(connection: duckdb.DuckDBPyConnection) -> tuple[int, dict[str, int]]:
    """Count the delivery's own lines that are pending, in all and by reason."""
    # A pending line that nothing concerns is not in order_partition, even if its order is known:
    # then its product is not.
    connection.execute("""
        CREATE TEMP TABLE delivery_held AS
            SELECT p.product_id IS NULL AS unknown_product,
                   o.order_id IS NULL
                       AND (a.order_id IS NOT NULL OR NOT unknown_product) AS unknown_order
            FROM rewritten_order_lines AS l
            LEFT JOIN products_after AS p USING (product_id)
            LEFT JOIN order_partition AS o USING (order_id)
            LEFT JOIN affected_orders AS a USING (order_id)
            WHERE l.order_date IS NULL
              AND l.file IN (SELECT sha256 FROM delivery_files WHERE dataset = 'order_items')
        """)
    counts = {
        reason: number(connection, f"SELECT count(*) FROM delivery_held WHERE {reason}")
        for reason in (identity.UNKNOWN_ORDER, identity.UNKNOWN_PRODUCT)
    }
    held = number(connection, "SELECT count(*) FROM delivery_held")
    return held, {reason: count for reason, count in counts.items() if count}
