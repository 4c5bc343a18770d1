"""Both KPI tables with pandas.

    python pandas_frames.py INPUT_DIR OUTPUT_DIR

The files are read by PyArrow, which knows decimals (pandas' own reader makes them floats); money
is then a whole number of its smallest unit. The files are read in the order of their names, so
that the last row of an order is its latest. No line stands identically in two files of the
generator's clean mode, so lines are read plainly. No amount is negative.
"""

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

ORDERS = {"order_id": pa.string(), "user_id": pa.string(), "order_date": pa.string()} | {
    "total_amount": pa.decimal128(18, 2),
    "status": pa.string(),
}
LINES = {"order_id": pa.string(), "product_id": pa.string(), "quantity": pa.int64()} | {
    "unit_price": pa.decimal128(18, 4)
}
PRODUCTS = {"product_id": pa.string(), "category": pa.string()}


def read(folder: Path, pattern: str, types: dict[str, pa.DataType]) -> pd.DataFrame:
    options = csv.ConvertOptions(
        column_types=types, include_columns=list(types), strings_can_be_null=True
    )
    files = sorted(folder.glob(pattern))
    table = pa.concat_tables(csv.read_csv(file, convert_options=options) for file in files)
    for place, (name, kind) in enumerate(types.items()):
        if pa.types.is_decimal(kind):
            scaled = pc.multiply(table[name], pa.scalar(10**kind.scale))
            table = table.set_column(place, name, scaled.cast(pa.int64()))
    return table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)


def half_up(dividend: pd.Series, divisor: pd.Series | int) -> pd.Series:
    """Return a quotient as text with 2 decimals; it is a whole number of hundredths."""
    hundredths = (2 * dividend + divisor) // (2 * divisor)
    cents = (hundredths % 100).astype(str).str.zfill(2)
    return (hundredths // 100).astype(str) + "." + cents


def category_kpis(orders: pd.DataFrame, sales: pd.DataFrame) -> pd.DataFrame:
    per_order = sales.groupby(["category", "order"], observed=True, sort=False)["revenue"].sum()
    per_order = per_order.reset_index()
    order = orders.iloc[per_order["order"].to_numpy()].reset_index(drop=True)
    per_order = per_order.assign(
        order_date=order["order_date"],
        returned=order["returned"],
        net=per_order["revenue"].where(order["net"], 0),
    )
    days = (
        per_order.groupby(["category", "order_date"], observed=True)
        .agg(
            revenue=("revenue", "sum"),
            order_count=("revenue", "size"),
            returned_orders=("returned", "sum"),
            net=("net", "sum"),
        )
        .reset_index()
    )
    revenue, count = days["revenue"], days["order_count"]
    return pd.DataFrame(
        {
            "category": days["category"].astype(str),
            "order_date": days["order_date"],
            "daily_revenue": half_up(revenue, 100),
            "avg_order_value": half_up(revenue, 100 * count),
            "avg_return_rate": half_up(10_000 * days["returned_orders"], count),
            "order_count": count,
            "returned_orders": days["returned_orders"],
            "net_revenue": half_up(days["net"], 100),
        }
    ).sort_values(["category", "order_date"])


def order_kpis(orders: pd.DataFrame, sales: pd.DataFrame) -> pd.DataFrame:
    items = sales.groupby("order", sort=False)["quantity"].sum()
    orders = orders.assign(
        items=items.reindex(orders.index, fill_value=0),
        net_amount=orders["total_amount"].where(orders["net"], 0),
    )
    days = (
        orders.groupby("order_date", observed=True)
        .agg(
            orders=("order_id", "size"),
            revenue=("total_amount", "sum"),
            items=("items", "sum"),
            customers=("user_id", "nunique"),
            returned=("returned", "sum"),
            net=("net_amount", "sum"),
        )
        .reset_index()
    )
    return pd.DataFrame(
        {
            "order_date": days["order_date"].astype(str),
            "total_orders": days["orders"],
            "total_revenue": half_up(days["revenue"], 1),
            "total_items_sold": days["items"],
            "return_rate": half_up(10_000 * days["returned"], days["orders"]),
            "unique_customers": days["customers"],
            "order_count": days["orders"],
            "returned_orders": days["returned"],
            "net_revenue": half_up(days["net"], 1),
        }
    ).sort_values("order_date")


def main(folder: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    orders = read(folder, "orders_*.csv", ORDERS).drop_duplicates("order_id", keep="last")
    orders = orders.reset_index(drop=True)
    status = orders.pop("status")
    orders["order_date"] = orders["order_date"].astype("category")
    orders["returned"] = (status == "returned").to_numpy(bool)
    orders["net"] = ~status.isin(["returned", "cancelled"]).to_numpy(bool)

    products = read(folder, "products*.csv", PRODUCTS).drop_duplicates("product_id", keep="last")
    category = products.set_index("product_id")["category"].astype("category")
    lines = read(folder, "order_items_*.csv", LINES)
    sales = pd.DataFrame(
        {
            # An order's place stands for its id: whole numbers group quicker than texts.
            "order": pd.Index(orders["order_id"]).get_indexer(lines["order_id"]),
            "category": lines["product_id"].map(category),
            "quantity": lines["quantity"],
            "revenue": lines["quantity"] * lines["unit_price"],
        }
    )
    sales = sales[(sales["order"] >= 0) & sales["category"].notna()]

    for name, table in (
        ("category_kpis", category_kpis(orders, sales)),
        ("order_kpis", order_kpis(orders, sales)),
    ):
        table.to_csv(output / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
