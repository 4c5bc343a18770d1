"""Whatever one delivery holds, an innocent second day is accepted and published."""

from pathlib import Path

import pytest

from contract.keys import RunKeys
from contract.verdict import Verdict
from tests.conftest import Files, write_delivery
from tests.spark_jobs.deliveries import PRODUCTS, line, order
from tests.spark_jobs.shop import Shop, Transform, finish_in, run_batch

DAY = "2026-02-01"
SECOND_DAY = "2026-02-02"


def product(product_id: str, category: str = "Books") -> dict[str, str]:
    return PRODUCTS[0] | {"product_id": product_id, "category": category}


def poison(*, products: list[dict[str, str]] | None = None, **changed: str) -> Files:
    """Return a delivery with one bad row beside a good one; ``changed`` are its cells."""
    bad_order = order("1") | {k: v for k, v in changed.items() if k in order("1")}
    bad_line = line("1") | {k: v for k, v in changed.items() if k in line("1")}
    return {
        "products.csv": [*PRODUCTS, *(products or [])],
        "orders_1.csv": [bad_order, order("2")],
        "order_items_1.csv": [bad_line, line("2")],
    }


POISONS: dict[str, Files] = {
    "a category of 1,024 bytes": poison(products=[product("p3", "x" * 1024)], product_id="p3"),
    "a category of 5,000 bytes": poison(products=[product("p3", "ü" * 2500)], product_id="p3"),
    "an order id of 5,000 characters": poison(order_id="x" * 5000),
    "a user id of 5,000 characters": poison(user_id="x" * 5000),
    "control characters in a category": poison(
        products=[product("p3", "Bo\x01ok\ns")], product_id="p3"
    ),
    "control characters in ids": poison(order_id="1\x02", user_id="u\x03"),
    "a line break in a product id": poison(products=[product("p\n3")], product_id="p\n3"),
    "keys that look alike": poison(
        products=[product("p3", "Books "), product("p4", "books"), product("P1", "BOOKS")],
        product_id="p4",
    ),
    "an amount of 16 digits on many orders": {
        **poison(total_amount="9999999999999999.99"),
        "orders_2.csv": [
            order(f"big{n}") | {"total_amount": "9999999999999999.99"} for n in range(40)
        ],
    },
    "an amount of 40 digits": poison(total_amount="9" * 40),
    "a quantity and a price that overflow": poison(quantity="9" * 30, unit_price="9" * 30),
    "the largest quantity and price": poison(quantity="1000000", unit_price="10000000"),
    "the year 9999": poison(order_date="9999-12-31"),
    "the year 1": poison(order_date="0001-01-01"),
    "no date": poison(order_date="2026-02-31"),
    # The item of a date names its categories, and has at most 400 KB.
    "600 categories of 1,000 bytes on one date": {
        "products.csv": [product(f"c{n}", f"{n:04}" + "x" * 996) for n in range(600)],
        "orders_1.csv": [order("1")],
        "order_items_1.csv": [line("1", f"c{n}") for n in range(600)],
    },
}


@pytest.mark.parametrize("name", POISONS)
def test_after_any_poison_an_innocent_second_day_is_published(
    shop: Shop, sail: Transform, tmp_path: Path, name: str
) -> None:
    run_batch(shop, sail, write_delivery(tmp_path / "1", POISONS[name]), "poison")
    finish_in(shop, "poison")
    innocent: Files = {
        "products.csv": [*PRODUCTS, product("p9", "Games")],
        "orders_9.csv": [order("9", SECOND_DAY)],
        "order_items_9.csv": [line("9"), line("9", "p9")],
    }
    run_batch(shop, sail, write_delivery(tmp_path / "2", innocent), "second-day", hours=1)
    body = shop.s3.get_object(Bucket=shop.name, Key=RunKeys("second-day").verdict)["Body"].read()
    assert Verdict.from_json(body).outcome == "accepted"
    assert SECOND_DAY in shop.published("second-day")["dates"]
    assert not shop.published("second-day")["unpublished_dates"]
    items = shop.items()
    [day] = [item for item in items["daily"] if item["order_date"] == SECOND_DAY]
    assert (day["total_orders"], day["total_items_sold"]) == (1, 2)
    categories = {i["category"] for i in items["category"] if i["order_date"] == SECOND_DAY}
    assert categories == {"Books", "Games"}


def test_a_date_with_too_many_long_categories_is_named_and_another_of_its_delivery_published(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    files = dict(POISONS["600 categories of 1,000 bytes on one date"])
    files["orders_1.csv"] = [order("1"), order("2", SECOND_DAY)]
    files["order_items_1.csv"] = [*files["order_items_1.csv"], line("2", "c1")]
    run_batch(shop, sail, write_delivery(tmp_path, files), "run-1")
    report = shop.published("run-1")
    assert list(report["unpublished_dates"]) == [DAY]
    assert report["unpublished_dates"][DAY].startswith(f"{shop.tables.order_kpis}: the item has ")
    assert [item["order_date"] for item in shop.items()["daily"]] == [SECOND_DAY]
