"""The DuckDB tables that the suites compare with, beside those of :mod:`delivery.set_aside`.

:func:`create` and :func:`create_for` leave

``known_orders``, ``known_products``: the ids of order_items that earlier runs accepted;
``unchecked_orders``: those of known_orders that were not looked up and are left to the ledger;
``typical_rows``: the usual number of rows of a dataset's file;
``valid_lines``: the lines that are accepted;
``lines_by_order``, ``line_totals``, ``order_totals``: what the lines of each order add up to.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb

from delivery import set_aside
from delivery.identity import has_line_ids, once_across_files
from delivery.reader import FileReading

from . import known_ids
from .known_ids import KnownBefore

_TYPICAL_ROWS: Final = "CREATE TABLE typical_rows (dataset VARCHAR, rows BIGINT)"
_VALID_LINES: Final = """
    CREATE VIEW valid_lines AS
        FROM order_items ANTI JOIN quarantined USING (_file, _line)
        ANTI JOIN held_rows USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL;
    CREATE TABLE invalid_lines AS
        SELECT _file, _line, true AS invalid FROM quarantined UNION ALL
        SELECT _file, _line, true FROM held_rows;
    CREATE TABLE lines_by_order (
        order_id VARCHAR, first_file UINTEGER, last_file UINTEGER, amount DECIMAL(38,4));
    """
# Every order with delivered lines; the amount is that of its valid lines, NULL without any.
_LINES_BY_ORDER: Final = """
    INSERT INTO lines_by_order
        SELECT order_id, min(_file) FILTER (valid), max(_file) FILTER (valid),
               sum(quantity * unit_price) FILTER (valid)
        FROM (SELECT order_id, order_items._file, quantity, unit_price,
                     invalid IS NULL AND _unreadable IS NULL
                     AND _file NOT IN (FROM rejected_files) AS valid
              FROM order_items LEFT JOIN invalid_lines USING (_file, _line)
              WHERE order_id IS NOT NULL AND hash(order_id) % {parts} = {part})
        GROUP BY order_id
    """
# One group takes about 100 bytes of memory that DuckDB can't spill during the aggregation.
_LINES_PER_PART: Final = 500_000


def _line_totals(*, line_ids: bool) -> str:
    """Return the SQL of what the lines of an order add up to.

    Lines that several files repeat count once, as they do in the KPIs.
    """
    repeated = once_across_files(
        "valid_lines SEMI JOIN orders_in_several_files USING (order_id)", line_ids=line_ids
    )
    return f"""
        CREATE TABLE orders_in_several_files AS
            SELECT order_id FROM lines_by_order WHERE first_file <> last_file;
        CREATE VIEW line_totals AS
            SELECT order_id, amount FROM lines_by_order WHERE first_file = last_file
            UNION ALL
            SELECT order_id, sum(quantity * unit_price) AS amount FROM ({repeated})
            GROUP BY order_id;
        """  # noqa: S608  # names of tables


# Every valid order with what its lines add up to. Joined in parts, too: with text ids, a join of a
# million orders needs more than 100 MB that DuckDB can't spill.
_ORDER_TOTALS: Final = """
    CREATE TABLE order_totals (
        _file UINTEGER, _line BIGINT, _lines INTEGER, order_id VARCHAR,
        total_amount DECIMAL(18,2), has_lines BOOLEAN, amount DECIMAL(38,4));
    """
_ORDER_TOTALS_PART: Final = """
    INSERT INTO order_totals
        SELECT _file, _line, _lines, order_id, total_amount, has_lines, amount
        FROM (FROM valid_orders WHERE hash(order_id) % {parts} = {part})
        LEFT JOIN (SELECT order_id, true AS has_lines FROM lines_by_order
                   WHERE hash(order_id) % {parts} = {part}) USING (order_id)
        LEFT JOIN (FROM line_totals WHERE hash(order_id) % {parts} = {part}) USING (order_id)
        ANTI JOIN known_orders USING (order_id)
    """


def create(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    *,
    typical_rows: Mapping[str, int],
) -> None:
    """Create the tables that all suites use, and add the reader's faults to the datasets' tables.

    ``typical_rows`` is the usual number of rows of a dataset's file.
    """
    set_aside.create(connection, readings)
    connection.execute(_TYPICAL_ROWS)
    if typical_rows:
        connection.executemany("INSERT INTO typical_rows VALUES (?, ?)", list(typical_rows.items()))


def create_for(
    suite: str, connection: duckdb.DuckDBPyConnection, known: KnownBefore | None
) -> None:
    """Create the tables of one suite; those before it have set their rows aside.

    ``known`` is None when nothing was accepted before.
    """
    if suite == "order_items":
        known_ids.look_up(connection, known)
    elif suite == "relations":
        connection.execute(_VALID_LINES)
        [(rows,)] = connection.execute("SELECT count(*) FROM order_items").fetchall()
        parts = 1 + rows // _LINES_PER_PART
        for part in range(parts):
            connection.execute(_LINES_BY_ORDER.format(parts=parts, part=part))
        connection.execute(_line_totals(line_ids=has_line_ids(connection)))
        connection.execute(_ORDER_TOTALS)
        for part in range(parts):
            connection.execute(_ORDER_TOTALS_PART.format(parts=parts, part=part))
