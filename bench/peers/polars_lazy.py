"""Both KPI tables with lazy Polars, on its streaming engine.

    python polars_lazy.py INPUT_DIR OUTPUT_DIR

Types are given, not inferred; money is a decimal, summed as whole numbers of its smallest unit.
The files are scanned in the order of their names, so that the last row of an order is its
latest. No line stands identically in two files of the generator's clean mode, so lines are
read plainly. No amount is negative.
"""

import sys
from pathlib import Path

import polars as pl

ORDERS = {
    "order_id": pl.String,
    "user_id": pl.String,
    "order_date": pl.String,
    "total_amount": pl.Decimal(18, 2),
    "status": pl.String,
}
LINES = {
    "order_id": pl.String,
    "product_id": pl.String,
    "quantity": pl.Int64,
    "unit_price": pl.Decimal(18, 4),
}
PRODUCTS = {
    "product_id": pl.String,
    "category": pl.String,
    "name": pl.String,
    "price": pl.Decimal(18, 2),
}

IS_RETURNED = pl.col("status") == "returned"
IS_NET = ~pl.col("status").is_in(["returned", "cancelled"])


def half_up(dividend: pl.Expr, divisor: pl.Expr | int) -> pl.Expr:
    """Return a quotient as text with 2 decimals; it is a whole number of hundredths."""
    hundredths = (2 * dividend + divisor) // (2 * divisor)
    cents = (hundredths % 100).cast(pl.String).str.zfill(2)
    return pl.format("{}.{}", hundredths // 100, cents)


def category_kpis(sales: pl.LazyFrame) -> pl.LazyFrame:
    revenue, orders, returned = pl.col("revenue"), pl.col("order_count"), pl.col("returned_orders")
    return (
        sales.group_by("category", "order_date")
        .agg(
            revenue.sum(),
            revenue.filter(IS_NET).sum().alias("net"),
            pl.len().cast(pl.Int64).alias("order_count"),
            IS_RETURNED.sum().cast(pl.Int64).alias("returned_orders"),
        )
        .select(
            "category",
            "order_date",
            half_up(revenue, 100).alias("daily_revenue"),
            half_up(revenue, 100 * orders).alias("avg_order_value"),
            half_up(10_000 * returned, orders).alias("avg_return_rate"),
            "order_count",
            "returned_orders",
            half_up(pl.col("net"), 100).alias("net_revenue"),
        )
        .sort("category", "order_date")
    )


def order_kpis(orders: pl.LazyFrame, sales: pl.LazyFrame) -> pl.LazyFrame:
    items = sales.group_by("order_date").agg(pl.col("items").sum())
    amount, number = pl.col("total_amount"), pl.col("total_orders")
    return (
        orders.group_by("order_date")
        .agg(
            pl.len().cast(pl.Int64).alias("total_orders"),
            amount.sum().alias("total_revenue"),
            pl.col("user_id").drop_nulls().n_unique().alias("unique_customers"),
            IS_RETURNED.sum().cast(pl.Int64).alias("returned_orders"),
            amount.filter(IS_NET).sum().alias("net"),
        )
        .join(items, on="order_date", how="left")
        .select(
            "order_date",
            "total_orders",
            half_up(pl.col("total_revenue"), 1).alias("total_revenue"),
            pl.col("items").fill_null(0).alias("total_items_sold"),
            half_up(10_000 * pl.col("returned_orders"), number).alias("return_rate"),
            "unique_customers",
            number.alias("order_count"),
            "returned_orders",
            half_up(pl.col("net"), 1).alias("net_revenue"),
        )
        .sort("order_date")
    )


def unscaled(name: str) -> pl.Expr:
    """Return a decimal column as whole numbers of its smallest unit."""
    return pl.col(name).to_physical().cast(pl.Int64)


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    orders = (
        pl.scan_csv(folder / "orders_*.csv", schema=ORDERS)
        .unique("order_id", keep="last")
        .with_columns(unscaled("total_amount"))
        .collect(engine="streaming")
        .lazy()
    )
    products = pl.scan_csv(folder / "products*.csv", schema=PRODUCTS)
    sales = (
        pl.scan_csv(folder / "order_items_*.csv", schema=LINES)
        .join(products.select("product_id", "category"), on="product_id", how="inner")
        .group_by("order_id", "category")
        .agg(
            pl.col("quantity").sum().alias("items"),
            (pl.col("quantity") * unscaled("unit_price")).sum().alias("revenue"),
        )
        .join(orders.select("order_id", "order_date", "status"), on="order_id", how="inner")
    )
    category, daily = pl.collect_all(
        [category_kpis(sales), order_kpis(orders, sales)], engine="streaming"
    )
    category.write_csv(output / "category_kpis.csv")
    daily.write_csv(output / "order_kpis.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
