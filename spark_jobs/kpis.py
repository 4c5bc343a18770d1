"""The KPIs: pure functions from DataFrames to DataFrames.

They run unchanged on Spark, Spark Connect and Sail: only API that all three have, no UDF, no
collect. Their input is the current rows of :mod:`delivery.identity`: one row per order and product,
and only lines whose order and product are known.

Every value is exact. A quotient is rounded half up to 2 places once: decimal division keeps
at least 11 places here, which is finer than the distance of any quotient that is not itself
a half cent from the next half cent (1 / (10,000 x orders), for fewer than 10^7 orders a day).
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812  # the name the field uses
from pyspark.sql.types import (
    DataType,
    DateType,
    DecimalType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from contract import kpi_columns
from contract.kpi_columns import ColumnType, KpiTable

AMOUNT: Final = DecimalType(28, 2)
PERCENT: Final = DecimalType(5, 2)

_TYPES: Final[Mapping[ColumnType, DataType]] = {
    ColumnType.TEXT: StringType(),
    ColumnType.DATE: DateType(),
    ColumnType.INTEGER: LongType(),
    ColumnType.DECIMAL: AMOUNT,
    ColumnType.PERCENTAGE: PERCENT,
}


def _schema(table: KpiTable) -> StructType:
    return StructType([StructField(column.name, _TYPES[column.type]) for column in table.columns])


CATEGORY_KPIS: Final = _schema(kpi_columns.CATEGORY_KPIS)
ORDER_KPIS: Final = _schema(kpi_columns.ORDER_KPIS)

# Wide enough for 10^22 in currency units a day and category, narrow enough that the quotient
# by a DECIMAL(10,0) still has 15 places: Spark's rule is max(6, scale + 10 + 1) of 38 digits.
_DIVIDEND: Final = DecimalType(27, 4)
_COUNT: Final = DecimalType(10, 0)

_RETURNED: Final = "returned"
_NOT_NET: Final = ("returned", "cancelled")


def category_kpis(orders: DataFrame, lines: DataFrame, products: DataFrame) -> DataFrame:
    """KPIs per (category, order_date), as CATEGORY_KPIS.

    The date is the order's. Every status counts towards daily_revenue; net_revenue leaves
    returned and cancelled orders out. An order with several lines in a category is one order.
    """
    line_value = F.col("quantity").cast(DecimalType(18, 0)) * F.col("unit_price")
    per_order = (
        lines.join(products.select("product_id", "category"), on="product_id", how="inner")
        .groupBy("order_id", "category")
        .agg(F.sum(line_value).alias("revenue"))
    )
    per_day = (
        per_order.join(orders.select("order_id", "order_date", "status"), "order_id", how="inner")
        .groupBy("category", "order_date")
        .agg(
            F.sum("revenue").cast(_DIVIDEND).alias("revenue"),
            F.count("*").alias("order_count"),
            _orders_returned().alias("returned_orders"),
            _net("revenue").cast(_DIVIDEND).alias("net"),
        )
    )
    return per_day.select(
        "category",
        "order_date",
        F.round("revenue", 2).cast(AMOUNT).alias("daily_revenue"),
        _quotient(F.col("revenue"), F.col("order_count")).cast(AMOUNT).alias("avg_order_value"),
        _percentage("returned_orders", "order_count").alias("avg_return_rate"),
        "order_count",
        "returned_orders",
        F.round("net", 2).cast(AMOUNT).alias("net_revenue"),
    ).select(*CATEGORY_KPIS.fieldNames())


def order_kpis(orders: DataFrame, lines: DataFrame) -> DataFrame:
    """KPIs per order_date, as ORDER_KPIS; orders without lines count."""
    line_value = F.col("quantity").cast(DecimalType(18, 0)) * F.col("unit_price")
    items = lines.groupBy("order_id").agg(
        F.sum("quantity").alias("items"), F.round(F.sum(line_value), 2).alias("lines_amount")
    )
    # Only a mapping leaves total_amount empty: it is then the sum of the order's lines.
    amount = F.coalesce("total_amount", F.coalesce("lines_amount", F.lit(0)).cast(AMOUNT))
    per_day = (
        orders.join(items, on="order_id", how="left")
        .withColumn("total_amount", amount)
        .groupBy("order_date")
        .agg(
            F.count("*").alias("total_orders"),
            F.sum("total_amount").cast(AMOUNT).alias("total_revenue"),
            F.coalesce(F.sum("items"), F.lit(0)).cast(LongType()).alias("total_items_sold"),
            F.countDistinct("user_id").alias("unique_customers"),
            _orders_returned().alias("returned_orders"),
            _net("total_amount").cast(AMOUNT).alias("net_revenue"),
        )
    )
    return per_day.select(
        "*",
        _percentage("returned_orders", "total_orders").alias("return_rate"),
        F.col("total_orders").alias("order_count"),
    ).select(*ORDER_KPIS.fieldNames())


def between(orders: DataFrame, start: date | None, end: date | None) -> DataFrame:
    """Keep the orders from ``start`` to ``end``, both included; None is no bound."""
    if start is not None:
        orders = orders.where(F.col("order_date") >= F.lit(start))
    if end is not None:
        orders = orders.where(F.col("order_date") <= F.lit(end))
    return orders


def _orders_returned() -> Column:
    return F.count(F.when(F.col("status") == _RETURNED, F.lit(1)))


def _net(amount: str) -> Column:
    kept = F.when(~F.col("status").isin(*_NOT_NET), F.col(amount))
    return F.coalesce(F.sum(kept), F.lit(0))


def _quotient(dividend: Column, divisor: Column) -> Column:
    return F.round(dividend.cast(_DIVIDEND) / divisor.cast(_COUNT), 2)


def _percentage(part: str, whole: str) -> Column:
    return _quotient(F.col(part) * F.lit(100), F.col(whole)).cast(PERCENT)
