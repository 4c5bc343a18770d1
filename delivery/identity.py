"""Which rows of a delivery count: the identity rules, in DuckDB.

Their result depends on the set of files alone, not on how rows were split into them or in
which order they were read. "Later" is the larger ``_file`` (files are numbered in the order
of their names, or of landing time and then name), then the larger ``_line``.

- An order is its latest row: a return arrives as the same order again.
- A product is its latest row, so that a product listed twice does not multiply lines.
- An identical line of an order in several files counts once, with the largest number of times
  that one of them holds it: rolling exports overlap, orders span files, and one file may hold the
  same line twice and mean it (:func:`once_across_files`). With line ids, lines of different ids
  are never identical.
- A line whose order or product is unknown is held back: it counts once its parent arrives.

The rules are computed only for rows whose key recurs: 1.0 instead of 1.6 CPU seconds at a million
orders and three million lines.
"""

from typing import Final

import duckdb

UNKNOWN_ORDER: Final = "unknown_order"
UNKNOWN_PRODUCT: Final = "unknown_product"


def resolve(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the views ``current_orders``, ``current_products``, ``current_lines``, ``pending_lines``.

    Takes the tables that :func:`delivery.reader.read` creates. ``current_orders`` and
    ``current_products`` have the dataset's columns, one row per id; ``current_lines`` those
    of order_items, whose order and product are known; ``pending_lines`` has
    ``_file``, ``_line``, ``_lines``, ``reason``. If order_items has a column ``line_id``, two
    lines that differ in it are two lines.
    """
    for view, table, key in (
        ("current_orders", "orders", "order_id"),
        ("current_products", "products", "product_id"),
    ):
        connection.execute(_latest(view, table, key))
    connection.execute(_merged_lines(line_ids=has_line_ids(connection)))
    connection.execute(_PENDING_LINES)
    connection.execute(_CURRENT_LINES)


def has_line_ids(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether order_items has a column ``line_id``, which only a mapping adds."""
    return "line_id" in connection.table("order_items").columns


def once_across_files(lines: str, *, line_ids: bool = False) -> str:
    """Return the SELECT that counts identical lines of an order once, however many files hold them.

    ``lines`` is a FROM item with the columns of order_items and ``_file``; the result has the
    dataset's columns. A line that one file holds n times is numbered 1 to n in it, and each
    number counts once.
    """
    same = "order_id, product_id, quantity, unit_price" + (", line_id" if line_ids else "")
    return f"""
        SELECT order_id, product_id, quantity, unit_price
        FROM (SELECT *, row_number() OVER (PARTITION BY {same}, _file) AS nth FROM {lines})
        GROUP BY {same}, nth
        """  # noqa: S608  # a FROM item of the caller, not data


def _latest(view: str, table: str, key: str) -> str:
    return f"""
        CREATE TEMP TABLE repeated_{table} AS
            SELECT {key} FROM {table} WHERE _unreadable IS NULL GROUP BY {key} HAVING count(*) > 1;
        CREATE VIEW {view} AS
            SELECT * EXCLUDE (_file, _line, _lines, _unreadable) FROM {table}
            WHERE _unreadable IS NULL AND {key} NOT IN (FROM repeated_{table})
            UNION ALL
            SELECT * EXCLUDE (_file, _line, _lines, _unreadable) FROM {table}
            WHERE _unreadable IS NULL AND {key} IN (FROM repeated_{table})
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _file DESC, _line DESC) = 1
        """  # noqa: S608  # the names are literals of this module


def _merged_lines(*, line_ids: bool) -> str:
    return f"""
        CREATE TEMP TABLE orders_in_several_files AS
            SELECT order_id FROM order_items WHERE _unreadable IS NULL
            GROUP BY order_id HAVING min(_file) <> max(_file);
        CREATE VIEW lines_in_several_files AS
            FROM order_items
            WHERE _unreadable IS NULL AND order_id IN (FROM orders_in_several_files);
        CREATE VIEW merged_lines AS
            SELECT order_id, product_id, quantity, unit_price FROM order_items
            WHERE _unreadable IS NULL AND order_id NOT IN (FROM orders_in_several_files)
            UNION ALL {once_across_files("lines_in_several_files", line_ids=line_ids)}
        """  # noqa: S608  # names of tables


_PENDING_LINES: Final = f"""
    CREATE TEMP TABLE unknown_orders AS
        SELECT DISTINCT order_id FROM order_items
        ANTI JOIN (FROM orders WHERE _unreadable IS NULL) USING (order_id)
        WHERE order_items._unreadable IS NULL;
    CREATE TEMP TABLE unknown_products AS
        SELECT DISTINCT product_id FROM order_items
        ANTI JOIN (FROM products WHERE _unreadable IS NULL) USING (product_id)
        WHERE order_items._unreadable IS NULL;
    CREATE VIEW pending_lines AS
        SELECT _file, _line, _lines, '{UNKNOWN_ORDER}' AS reason FROM order_items
        WHERE _unreadable IS NULL AND order_id IN (FROM unknown_orders)
        UNION ALL
        SELECT _file, _line, _lines, '{UNKNOWN_PRODUCT}' AS reason FROM order_items
        WHERE _unreadable IS NULL AND product_id IN (FROM unknown_products)
    """  # noqa: S608  # the reasons are the constants above
_CURRENT_LINES: Final = """
    CREATE VIEW current_lines AS
        FROM merged_lines
        WHERE order_id NOT IN (FROM unknown_orders) AND product_id NOT IN (FROM unknown_products)
    """
