"""Both KPI tables with PySpark, written the way tutorials do it.

    spark-submit naive_pyspark.py INPUT_DIR OUTPUT_DIR

The schema is inferred, every DataFrame is read and computed anew for each of three actions
(a count, and one toPandas per table), the session has its default settings. One thing is done
better than in tutorials, or the results would not be comparable: the inferred doubles are cast
to decimals before any arithmetic. Orders arrive again when they come back, at most once per
file, so the latest row is the one of the last file. No line stands identically in two files
of the generator's clean mode, so lines are read plainly.
"""

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # the name the field uses


def money(column: str) -> F.Column:
    return F.round(F.col(column), 2).cast("decimal(28,2)")


def rate(part: str, whole: str) -> F.Column:
    return F.round(F.col(part).cast("decimal(12,0)") * 100 / F.col(whole).cast("decimal(10,0)"), 2)


def category_kpis(joined: DataFrame) -> DataFrame:
    returned = F.col("status") == "returned"
    kept = ~F.col("status").isin("returned", "cancelled")
    return (
        joined.groupBy("category", "order_date")
        .agg(
            F.sum("line_total").alias("revenue"),
            F.countDistinct("order_id").alias("order_count"),
            F.countDistinct(F.when(returned, F.col("order_id"))).alias("returned_orders"),
            F.sum(F.when(kept, F.col("line_total")).otherwise(0)).alias("net"),
        )
        .withColumn("daily_revenue", money("revenue"))
        .withColumn("order_value", F.col("revenue").cast("decimal(27,4)"))
        .withColumn("orders", F.col("order_count").cast("decimal(10,0)"))
        .withColumn("avg_order_value", F.round(F.col("order_value") / F.col("orders"), 2))
        .withColumn("avg_order_value", F.col("avg_order_value").cast("decimal(28,2)"))
        .withColumn("avg_return_rate", rate("returned_orders", "order_count"))
        .withColumn("net_revenue", money("net"))
        .select(
            "category",
            "order_date",
            "daily_revenue",
            "avg_order_value",
            "avg_return_rate",
            "order_count",
            "returned_orders",
            "net_revenue",
        )
        .orderBy("category", "order_date")
    )


def order_kpis(orders: DataFrame, joined: DataFrame) -> DataFrame:
    items = joined.groupBy("order_date").agg(F.sum("quantity").alias("total_items_sold"))
    returned = F.col("status") == "returned"
    kept = ~F.col("status").isin("returned", "cancelled")
    return (
        orders.groupBy("order_date")
        .agg(
            F.count("*").alias("total_orders"),
            F.sum("total_amount").alias("total_revenue"),
            F.countDistinct("user_id").alias("unique_customers"),
            F.count(F.when(returned, 1)).alias("returned_orders"),
            F.sum(F.when(kept, F.col("total_amount")).otherwise(0)).alias("net_revenue"),
        )
        .join(items, "order_date", "left")
        .fillna(0, ["total_items_sold"])
        .withColumn("return_rate", rate("returned_orders", "total_orders"))
        .withColumn("order_count", F.col("total_orders"))
        .select(
            "order_date",
            "total_orders",
            "total_revenue",
            "total_items_sold",
            "return_rate",
            "unique_customers",
            "order_count",
            "returned_orders",
            "net_revenue",
        )
        .orderBy("order_date")
    )


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    spark = SparkSession.builder.appName("E-commerce KPIs").getOrCreate()

    orders = spark.read.csv(f"{folder}/orders_*.csv", header=True, inferSchema=True)
    items = spark.read.csv(f"{folder}/order_items_*.csv", header=True, inferSchema=True)
    products = spark.read.csv(f"{folder}/products*.csv", header=True, inferSchema=True, escape='"')

    latest = Window.partitionBy("order_id").orderBy(F.col("file").desc())
    orders = (
        orders.withColumn("total_amount", F.col("total_amount").cast("decimal(18,2)"))
        .withColumn("file", F.input_file_name())
        .withColumn("place", F.row_number().over(latest))
        .where("place = 1")
    )
    joined = (
        items.withColumn("unit_price", F.col("unit_price").cast("decimal(18,4)"))
        .withColumn("line_total", F.col("quantity") * F.col("unit_price"))
        .join(orders, "order_id")
        .join(products, "product_id")
    )

    print(f"{joined.count()} order lines")
    category_kpis(joined).toPandas().to_csv(output / "category_kpis.csv", index=False)
    order_kpis(orders, joined).toPandas().to_csv(output / "order_kpis.csv", index=False)
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
