"""The checks with pandera on pandas: python pandera_frames.py INPUT_DIR OUTPUT_DIR."""

import json
import sys
from collections import Counter
from pathlib import Path

import frames
import pandas as pd
import pandera.pandas as pa


def matches(pattern: str, reason: str) -> pa.Check:
    return pa.Check.str_matches(pattern, name=reason, error=reason)


def between(low: object, high: object, reason: str) -> pa.Check:
    return pa.Check.in_range(low, high, name=reason, error=reason)


def table(**columns: list[pa.Check]) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {name: pa.Column(None, checks, nullable=True) for name, checks in columns.items()}
    )


def present(name: str) -> pa.Check:
    reason = f"missing_{name}"
    return pa.Check(lambda values: values.notna(), name=reason, error=reason, ignore_na=False)


def true(reason: str) -> pa.Check:
    return pa.Check.isin([True], name=reason, error=reason)


PRODUCTS = table(
    product_id=[present("product_id"), matches(frames.ID, "malformed_product_id")],
    category=[present("category")],
    price_text=[present("price"), matches(frames.MONEY, "bad_price")],
    price=[between(0, float("inf"), "price_out_of_range")],
)
ORDERS = table(
    order_id=[present("order_id"), matches(frames.ID, "malformed_order_id")],
    order_date=[present("order_date"), matches(frames.DATE, "bad_order_date")],
    day=[between(frames.EARLIEST, frames.LATEST, "order_date_out_of_range")],
    total_amount=[present("total_amount"), matches(frames.MONEY, "bad_total_amount")],
    amount=[between(0, float("inf"), "total_amount_out_of_range")],
    status=[
        present("status"),
        pa.Check.isin(frames.STATUSES, name="unknown_status", error="unknown_status"),
    ],
)
LINES = table(
    order_id=[present("order_id"), matches(frames.ID, "malformed_order_id")],
    product_id=[present("product_id"), matches(frames.ID, "malformed_product_id")],
    quantity=[present("quantity"), matches(frames.QUANTITY, "bad_quantity")],
    pieces=[between(1, 1_000_000, "quantity_out_of_range")],
    unit_price=[present("unit_price"), matches(frames.PRICE, "bad_unit_price")],
    price=[between(0, 10_000_000, "unit_price_out_of_range")],
)
PARENTS = table(order_known=[true("unknown_order")], product_known=[true("unknown_product")])
WARNINGS = table(
    user_id=[present("user_id"), matches(frames.ID, "malformed_user_id")],
    has_lines=[true("order_without_lines")],
    total_matches=[true("total_mismatch")],
)


def failing(
    schema: pa.DataFrameSchema, rows: pd.DataFrame, dataset: str, counts: Counter[str]
) -> pd.Index:
    try:
        schema.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        for reason, number in cases["check"].value_counts().items():
            counts[f"{dataset}.{reason}"] += int(number)
        return pd.Index(cases["index"].unique())
    return pd.Index([])


def main(folder: Path, output: Path) -> None:
    counts: Counter[str] = Counter()
    products, orders = frames.products(folder), frames.orders(folder)
    products = products.drop(failing(PRODUCTS, products, "products", counts))
    orders = orders.drop(failing(ORDERS, orders, "orders", counts))
    repeated = orders.duplicated(["order_id", "file"]).sum()
    lines = frames.order_items(folder)
    sound = lines.drop(failing(LINES, lines, "order_items", counts))
    sound = frames.add_parents(sound, orders, products)
    sound = sound.drop(failing(PARENTS, sound, "order_items", counts))
    orders = frames.add_relations(orders, lines, sound)
    failing(WARNINGS, orders, "orders", counts)
    counts["orders.repeated_order_id"] += int(repeated)
    output.mkdir(parents=True, exist_ok=True)
    found = {name: number for name, number in sorted(counts.items()) if number}
    (output / "counts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
