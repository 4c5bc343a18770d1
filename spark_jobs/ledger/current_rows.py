"""Which rows of the ledger count on some order dates.

:mod:`delivery.identity` decides, over everything that ever arrived. "Later" is landing time, then
name, then line. Two rules between file versions come before its own:

- Bytes that are the current version of their name, or that another name has had, are a duplicate
  and do not count again. Bytes that return after another version of their name are a new version.
- A later version of a file of the same name replaces the lines that it gave for an order.
"""

from collections.abc import Collection
from datetime import date

import duckdb

from delivery import identity

from .duckdb_tables import create_contents, load, number
from .ledger import Changes
from .snapshot import Snapshot
from .tables import TABLES, TableName, is_partitioned


def read(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    dates: Collection[date],
    changes: Changes | None = None,
) -> None:
    """Create the views of :func:`delivery.identity.resolve` for these order dates.

    ``changes`` that are not committed yet are seen on top of the snapshot.
    """
    for table in TABLES:
        _load_dates(connection, f"ledger_{table}", table, snapshot, dates, changes)
    create_contents(connection, "contents", "ledger_files")
    _create_orders(connection, dates)
    _create_order_items(connection, dates)
    _create_products(connection)
    identity.resolve(connection)


def _load_dates(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: TableName,
    snapshot: Snapshot,
    dates: Collection[date],
    changes: Changes | None,
) -> None:
    """Create ``name``: a ledger table's rows, of these dates and the pending lines if it has dates.

    Rows of changes may be of other dates, too.
    """
    changed = changes.tables.get(table) if changes else None
    if is_partitioned(table):
        unchanged = {*dates} - (changes.rewritten if changes else set())
        paths = snapshot.partitions(table, unchanged if changed else {*unchanged, None})
    else:
        paths = snapshot.fetch(table, snapshot.files(table))
    load(connection, name, table, paths)
    if changed:
        connection.execute(f"INSERT INTO {name} BY NAME FROM read_parquet(?)", [str(changed)])


def _create_orders(connection: duckdb.DuckDBPyConnection, dates: Collection[date]) -> None:
    """Create ``orders`` from ``ledger_orders`` and ``contents``, as the CSV reader does."""
    connection.execute(
        """
        CREATE TABLE orders AS
            SELECT order_id, user_id, stated_date AS order_date, total_amount, status,
                   _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
            FROM ledger_orders AS o
            JOIN contents AS c ON (c.dataset, c.file) = ('orders', o.file)
            WHERE order_date IN (SELECT unnest(?::DATE[]))
        """,
        [[*dates]],
    )


def _create_order_items(connection: duckdb.DuckDBPyConnection, dates: Collection[date]) -> None:
    """Create ``order_items`` from ``ledger_order_lines`` and ``contents``: lines not replaced."""
    connection.execute(
        """
        CREATE TABLE order_items AS
            SELECT order_id, product_id, quantity, unit_price, line_id, c.name AS _name,
                   _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
            FROM ledger_order_lines AS l
            JOIN contents AS c ON (c.dataset, c.file) = ('order_items', l.file)
            WHERE order_date IS NULL OR order_date IN (SELECT unnest(?::DATE[]))
        """,
        [[*dates]],
    )
    repeated_names = """
        SELECT count(*) FROM (SELECT name FROM contents WHERE dataset = 'order_items'
                              GROUP BY name HAVING count(*) > 1)
        """
    if number(connection, repeated_names):
        connection.execute("""
            CREATE OR REPLACE TABLE order_items AS
                FROM order_items
                QUALIFY _file = max(_file) OVER (PARTITION BY order_id, _name)
            """)


def _create_products(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``products`` from ``ledger_products`` and ``contents``: the latest row of each.

    A shop that sends all its products every day has millions of rows in a year, too many for the
    rules that follow.
    """
    connection.execute("""
        CREATE TABLE products AS
            SELECT product_id, category, p.name, price,
                   _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
            FROM ledger_products AS p
            JOIN contents AS c ON (c.dataset, c.file) = ('products', p.file)
            WHERE (product_id, (_file, line)) IN (
                SELECT (product_id, max((_file, line)))
                FROM ledger_products AS p
                JOIN contents AS c ON (c.dataset, c.file) = ('products', p.file)
                GROUP BY product_id)
        """)
