"""The checks with Great Expectations on pandas: python gx_pandas.py INPUT_DIR OUTPUT_DIR."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import frames
import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

Expectations = dict[str, gxe.Expectation]


def present(*columns: str, **named: str) -> Expectations:
    every = {**{column: column for column in columns}, **named}
    return {
        f"missing_{name}": gxe.ExpectColumnValuesToNotBeNull(column=column)
        for name, column in every.items()
    }


def matches(column: str, pattern: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern)


def between(column: str, low: object, high: object = None) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def true(column: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True])


PRODUCTS = present("product_id", "category", price="price_text") | {
    "malformed_product_id": matches("product_id", frames.ID),
    "bad_price": matches("price_text", frames.MONEY),
    "price_out_of_range": between("price", 0),
}
ORDERS = present("order_id", "order_date", "total_amount", "status") | {
    "malformed_order_id": matches("order_id", frames.ID),
    "bad_order_date": matches("order_date", frames.DATE),
    "order_date_out_of_range": between("day", frames.EARLIEST, frames.LATEST),
    "bad_total_amount": matches("total_amount", frames.MONEY),
    "total_amount_out_of_range": between("amount", 0),
    "unknown_status": gxe.ExpectColumnValuesToBeInSet(column="status", value_set=frames.STATUSES),
}
LINES = present("order_id", "product_id", "quantity", "unit_price") | {
    "malformed_order_id": matches("order_id", frames.ID),
    "malformed_product_id": matches("product_id", frames.ID),
    "bad_quantity": matches("quantity", frames.QUANTITY),
    "quantity_out_of_range": between("pieces", 1, 1_000_000),
    "bad_unit_price": matches("unit_price", frames.PRICE),
    "unit_price_out_of_range": between("price", 0, 10_000_000),
}
PARENTS = {"unknown_order": true("order_known"), "unknown_product": true("product_known")}
WARNINGS = present("user_id") | {
    "malformed_user_id": matches("user_id", frames.ID),
    "order_without_lines": true("has_lines"),
    "total_mismatch": true("total_matches"),
}


class Validator:
    """An in-memory context that counts failing rows by the reason of their expectation."""

    def __init__(self) -> None:
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self._source = self._context.data_sources.add_pandas("memory")
        self._tables = 0
        self.counts: Counter[str] = Counter()

    def failing(self, expectations: Expectations, rows: pd.DataFrame, dataset: str) -> list[int]:
        """Check a table and return the index of every row that failed anything."""
        self._tables += 1
        asset = self._source.add_dataframe_asset(f"{dataset}_{self._tables}")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
        suite = gx.ExpectationSuite(name=f"{dataset}_{self._tables}")
        for reason, expectation in expectations.items():
            suite.add_expectation(expectation.copy(update={"meta": {"reason": reason}}))
        result = batch.validate(suite, result_format="COMPLETE")
        failing: set[int] = set()
        for one in result.results:
            if one.exception_info.get("raised_exception"):
                raise RuntimeError(one.exception_info)
            found = one.result["unexpected_count"]
            self.counts[f"{dataset}.{one.expectation_config.meta['reason']}"] += found
            failing.update(one.result["unexpected_index_list"] or ())
        return sorted(failing)


def main(folder: Path, output: Path) -> None:
    validator = Validator()
    products, orders = frames.products(folder), frames.orders(folder)
    products = products.drop(validator.failing(PRODUCTS, products, "products"))
    orders = orders.drop(validator.failing(ORDERS, orders, "orders"))
    repeated = orders.duplicated(["order_id", "file"]).sum()
    lines = frames.order_items(folder)
    sound = lines.drop(validator.failing(LINES, lines, "order_items"))
    sound = frames.add_parents(sound, orders, products)
    sound = sound.drop(validator.failing(PARENTS, sound, "order_items"))
    orders = frames.add_relations(orders, lines, sound)
    validator.failing(WARNINGS, orders, "orders")
    validator.counts["orders.repeated_order_id"] += int(repeated)
    output.mkdir(parents=True, exist_ok=True)
    found = {name: number for name, number in sorted(validator.counts.items()) if number}
    (output / "counts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
