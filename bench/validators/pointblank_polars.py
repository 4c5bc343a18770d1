"""The checks with pointblank on Polars: python pointblank_polars.py INPUT_DIR OUTPUT_DIR."""

import json
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pointblank as pb
import polars as pl

ID = r"^[^[:cntrl:]]{1,64}$"
MONEY = r"^-?\d{1,16}(\.\d*)?$"
PRICE = r"^-?\d{1,14}(\.\d*)?$"
# Whole units that fit the column; pointblank has no >= for decimals, and no decimal bounds.
LARGEST = 9_999_999_999_999_999
QUANTITY = r"^-?\d{1,18}$"
DATE = r"^\d{4}-\d{2}-\d{2}$"
STATUSES = [
    "pending",
    "processing",
    "shipped",
    "delivered",
    "completed",
    "returned",
    "refunded",
    "cancelled",
]


def read(folder: Path, pattern: str) -> pl.DataFrame:
    return pl.scan_csv(
        folder / pattern, infer_schema=False, include_file_paths="file", null_values=[""]
    ).collect(engine="streaming")


def decimal(name: str, scale: int) -> pl.Expr:
    return pl.col(name).cast(pl.Decimal(18, scale), strict=False)


class Checks:
    """A pointblank plan whose steps are named by their reasons."""

    def __init__(self, rows: pl.DataFrame, dataset: str, counts: Counter[str]) -> None:
        self._plan, self._reasons = pb.Validate(rows), []
        self._dataset, self._counts = dataset, counts

    def present(self, column: str, reason: str) -> "Checks":
        return self._add(self._plan.col_vals_not_null(column), reason)

    def matches(self, column: str, pattern: str, reason: str) -> "Checks":
        step = self._plan.col_vals_regex(column, pattern, na_pass=True)
        return self._add(step, reason)

    def between(self, column: str, low: object, high: object, reason: str) -> "Checks":
        return self._add(self._plan.col_vals_between(column, low, high, na_pass=True), reason)

    def among(self, column: str, values: list[object], reason: str) -> "Checks":
        # A missing value is present()'s to report: here it passes.
        return self._add(self._plan.col_vals_in_set(column, [*values, None]), reason)

    def true(self, column: str, reason: str) -> "Checks":
        return self._add(self._plan.col_vals_expr(pl.col(column)), reason)

    def passed(self) -> pl.DataFrame:
        done = self._plan.interrogate(collect_extracts=False)
        failed = done.n_failed()
        for number, reason in enumerate(self._reasons, start=1):
            self._counts[f"{self._dataset}.{reason}"] += int(failed[number])
        return done.get_sundered_data(type="pass")

    def _add(self, plan: pb.Validate, reason: str) -> "Checks":
        self._plan = plan
        self._reasons.append(reason)
        return self


def main(folder: Path, output: Path) -> None:
    counts: Counter[str] = Counter()
    products = read(folder, "products*.csv").with_columns(decimal("price", 2).alias("value"))
    products = (
        Checks(products, "products", counts)
        .present("product_id", "missing_product_id")
        .matches("product_id", ID, "malformed_product_id")
        .present("category", "missing_category")
        .present("price", "missing_price")
        .matches("price", MONEY, "bad_price")
        .between("value", 0, LARGEST, "price_out_of_range")
        .passed()
    )
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    orders = read(folder, "orders_*.csv").with_columns(
        pl.col("order_date").str.to_date("%Y-%m-%d", strict=False).alias("day"),
        decimal("total_amount", 2).alias("amount"),
    )
    orders = (
        Checks(orders, "orders", counts)
        .present("order_id", "missing_order_id")
        .matches("order_id", ID, "malformed_order_id")
        .present("order_date", "missing_order_date")
        .matches("order_date", DATE, "bad_order_date")
        .between("day", date(2000, 1, 1), tomorrow, "order_date_out_of_range")
        .present("total_amount", "missing_total_amount")
        .matches("total_amount", MONEY, "bad_total_amount")
        .between("amount", 0, LARGEST, "total_amount_out_of_range")
        .present("status", "missing_status")
        .among("status", STATUSES, "unknown_status")
        .passed()
    )
    all_lines = read(folder, "order_items_*.csv").with_columns(
        pl.col("quantity").cast(pl.Int64, strict=False).alias("pieces"),
        decimal("unit_price", 4).alias("price"),
    )
    lines = (
        Checks(all_lines, "order_items", counts)
        .present("order_id", "missing_order_id")
        .matches("order_id", ID, "malformed_order_id")
        .present("product_id", "missing_product_id")
        .matches("product_id", ID, "malformed_product_id")
        .present("quantity", "missing_quantity")
        .matches("quantity", QUANTITY, "bad_quantity")
        .between("pieces", 1, 1_000_000, "quantity_out_of_range")
        .present("unit_price", "missing_unit_price")
        .matches("unit_price", PRICE, "bad_unit_price")
        .between("price", 0, 10_000_000, "unit_price_out_of_range")
        .passed()
    )
    lines = lines.with_columns(
        pl.col("order_id").is_in(orders["order_id"].implode()).alias("order_known"),
        pl.col("product_id").is_in(products["product_id"].implode()).alias("product_known"),
    )
    lines = (
        Checks(lines, "order_items", counts)
        .true("order_known", "unknown_order")
        .true("product_known", "unknown_product")
        .passed()
    )
    totals = lines.group_by("order_id").agg(
        (pl.col("pieces") * pl.col("price").to_physical().cast(pl.Int64)).sum().alias("exact")
    )
    orders = orders.join(totals, on="order_id", how="left").with_columns(
        pl.col("order_id").is_in(all_lines["order_id"].drop_nulls().implode()).alias("has_lines"),
        ((pl.col("exact") + 50) // 100 == pl.col("amount").to_physical().cast(pl.Int64))
        .fill_null(value=True)
        .alias("total_matches"),
    )
    (
        Checks(orders, "orders", counts)
        .present("user_id", "missing_user_id")
        .matches("user_id", ID, "malformed_user_id")
        .true("has_lines", "order_without_lines")
        .true("total_matches", "total_mismatch")
        .passed()
    )
    repeated = orders.height - orders.select("order_id", "file").n_unique()
    counts["orders.repeated_order_id"] += repeated
    output.mkdir(parents=True, exist_ok=True)
    found = {name: number for name, number in sorted(counts.items()) if number}
    (output / "counts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
