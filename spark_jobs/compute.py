"""Both KPI tables from the rows that count, on any engine."""

from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa
from pyspark.sql import SparkSession

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS

from . import kpis
from .engine.staging import in_reach
from .errors import KpiOverflowError


class Kpis(NamedTuple):
    """Both tables, sorted by their keys, with the columns of kpis.CATEGORY_KPIS and ORDER_KPIS."""

    category: pa.Table
    daily: pa.Table


class Staged(NamedTuple):
    """Parquet files of the rows that count: one per input of the KPI functions."""

    orders: Path
    lines: Path
    products: Path


def stage(connection: duckdb.DuckDBPyConnection, folder: Path) -> Staged:
    """Write the current orders, lines and products of a connection as Parquet into a folder.

    A number replaces each order's id. No KPI shows it, and engines group and join BIGINTs in two
    thirds of the time that text takes.
    """
    staged = Staged(
        folder / "orders.parquet", folder / "lines.parquet", folder / "products.parquet"
    )
    # Nothing after this step depends on the order of rows.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(_NUMBERED)
    for query, path in zip((_ORDERS, _LINES, "FROM current_products"), staged, strict=True):
        # Read once, right away, from this disk: compression and dictionaries cost more than they
        # save.
        connection.execute(
            f"COPY ({query}) TO '{path}'"
            " (FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1)"
        )
    return staged


_NUMBERED: Final = """
    CREATE TEMP TABLE numbered AS SELECT *, row_number() OVER () AS number FROM current_orders
    """
_ORDERS: Final = "SELECT number AS order_id, * EXCLUDE (order_id, number) FROM numbered"
_LINES: Final = """
    SELECT number AS order_id, product_id, quantity, unit_price
    FROM current_lines JOIN numbered USING (order_id)
    """


def compute(
    spark: SparkSession,
    staged: Staged,
    *,
    start: date | None = None,
    end: date | None = None,
    explain_plan: bool = False,
) -> Kpis:
    """Run the KPI functions in a session and fetch both results.

    ``start`` and ``end`` keep only the orders of these dates, both included.

    Raises:
        KpiOverflowError: a sum does not fit its column.
    """
    with in_reach(staged) as places:
        orders, lines, products = map(spark.read.parquet, places)
        orders = kpis.between(orders, start, end)
        results = kpis.category_kpis(orders, lines, products), kpis.order_kpis(orders, lines)
        if explain_plan:
            for result in results:
                result.explain()
        category, daily = (result.toArrow() for result in results)
    for name, table in ((CATEGORY_KPIS.name, category), (ORDER_KPIS.name, daily)):
        _require_values(name, table)
    return Kpis(
        category.sort_by([("category", "ascending"), ("order_date", "ascending")]),
        daily.sort_by("order_date"),
    )


def _require_values(name: str, table: pa.Table) -> None:
    for column in table.column_names:
        if table[column].null_count:
            raise KpiOverflowError(
                f"{name}.{column}: {table[column].null_count} value(s) larger than the"
                f" maximum of {table.schema.field(column).type}; check prices and quantities"
            )
