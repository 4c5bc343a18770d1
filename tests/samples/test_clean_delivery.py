"""A clean delivery: the same bytes each time, and shaped like a shop's."""

import csv
import hashlib
from collections import Counter, defaultdict
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest

from samples.files import Delivery
from samples.generate import SIZES, main
from samples.shop import STATUSES, Shop

COMMITTED = Path(__file__).parents[2] / "samples" / "incoming"


def content(delivery: Delivery) -> dict[str, bytes]:
    return {file.name: b"".join(delivery.chunks(file)) for file in delivery.files}


def rows_of(files: dict[str, bytes], prefix: str) -> dict[str, list[dict[str, str]]]:
    return {
        name: list(csv.DictReader(text.decode().splitlines()))
        for name, text in sorted(files.items())
        if name.startswith(prefix)
    }


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    """Four weeks of 100 orders a day."""
    return content(Delivery(Shop(7, date(2025, 3, 3), 28, 100), 6, 4))


@pytest.fixture(scope="module")
def orders(small: dict[str, bytes]) -> dict[str, list[dict[str, str]]]:
    return rows_of(small, "orders_")


@pytest.fixture(scope="module")
def items(small: dict[str, bytes]) -> dict[str, list[dict[str, str]]]:
    return rows_of(small, "order_items_")


def test_the_committed_delivery_is_what_the_generator_makes_by_default(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "incoming").iterdir()}
    committed = {path.name: path.read_bytes() for path in COMMITTED.iterdir()}
    assert made == committed
    assert sorted(name.split("_0")[0] for name in made) == [
        *["order_items"] * 5,
        *["orders"] * 5,
        "products.csv",
    ]
    assert sum(map(len, committed.values())) < 200_000


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others() -> None:
    def digest(seed: int) -> str:
        files = content(Delivery(Shop(seed, date(2025, 3, 1), 20, 250), 5, 5))
        return hashlib.sha256(b"".join(files.values())).hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)
    # Not only on this machine and today: integer arithmetic has one right result.
    assert digest(1) == "d7c90cd3e7b6aa1e8e1bf133dcee3dd4491eb99477ad11c26209876ba29502cc"


def test_how_a_shop_is_cut_into_files_does_not_change_its_orders(small: dict[str, bytes]) -> None:
    whole = content(Delivery(Shop(7, date(2025, 3, 3), 28, 100), 1, 1))
    lines = Counter(line for name in small if "items" in name for line in small[name].split())
    assert Counter(whole["order_items_001.csv"].split())[b"order_id"] == 0
    header = b"order_id,product_id,quantity,unit_price"
    del lines[header]
    once = Counter(whole["order_items_001.csv"].split())
    del once[header]
    assert lines == once


def test_weekends_are_the_peak(orders: dict[str, list[dict[str, str]]]) -> None:
    days = {row["order_id"]: row["order_date"] for rows in orders.values() for row in rows}
    by_weekday = Counter(date.fromisoformat(day).weekday() for day in days.values())
    assert len(days) == 2800
    assert by_weekday[5] > 1.3 * by_weekday[1]
    assert by_weekday[5] == max(by_weekday.values())


def test_few_products_and_customers_make_much_of_the_business(
    orders: dict[str, list[dict[str, str]]], items: dict[str, list[dict[str, str]]]
) -> None:
    def share_of_top_tenth(counted: Counter[str]) -> float:
        ranked = sorted(counted.values(), reverse=True)
        return sum(ranked[: len(ranked) // 10]) / sum(ranked)

    products = Counter(row["product_id"] for rows in items.values() for row in rows)
    customers = Counter(row["user_id"] for rows in orders.values() for row in rows)
    assert share_of_top_tenth(products) > 0.35
    assert share_of_top_tenth(customers) > 0.25


def test_a_total_is_the_sum_of_its_lines_rounded_half_up(
    orders: dict[str, list[dict[str, str]]], items: dict[str, list[dict[str, str]]]
) -> None:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for rows in items.values():
        for row in rows:
            sums[row["order_id"]] += int(row["quantity"]) * Decimal(row["unit_price"])
    for rows in orders.values():
        for row in rows:
            total = sums[row["order_id"]].quantize(Decimal("0.01"), ROUND_HALF_UP)
            assert Decimal(row["total_amount"]) == total, row["order_id"]
    assert any(value != value.quantize(Decimal("0.01")) for value in sums.values())


def test_rows_stand_apart_as_in_real_exports(
    orders: dict[str, list[dict[str, str]]], items: dict[str, list[dict[str, str]]]
) -> None:
    """Late returns, orders cut by files, items before orders, and the rarer kinds of order."""
    seen: dict[str, tuple[str, str]] = {}
    late_returns = 0
    for name, rows in orders.items():
        ids = [row["order_id"] for row in rows]
        assert len(ids) == len(set(ids)), f"{name} has an order twice"
        for row in rows:
            if row["order_id"] in seen:
                assert seen[row["order_id"]][0] < name
                assert seen[row["order_id"]][1] != "returned"
                assert row["status"] == "returned"
                late_returns += 1
            seen[row["order_id"]] = (name, row["status"])
    assert late_returns > 20
    assert {status for _, status in seen.values()} == set(STATUSES)

    files_of_order: defaultdict[str, set[str]] = defaultdict(set)
    files_of_line: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    products_of_order: defaultdict[str, list[str]] = defaultdict(list)
    for name, rows in items.items():
        for row in rows:
            files_of_order[row["order_id"]].add(name)
            files_of_line[tuple(row.values())].add(name)
            products_of_order[row["order_id"]].append(row["product_id"])
    assert sum(len(names) == 2 for names in files_of_order.values()) > 5
    assert all(len(names) == 1 for names in files_of_line.values())
    assert {len(products) for products in products_of_order.values()} == {1, 2, 3, 4, 5}
    assert any(len(set(ids)) < len(ids) for ids in products_of_order.values())
    assert 0 < len(seen.keys() - files_of_order.keys()) < 60
    assert not files_of_order.keys() - seen.keys()
    assert 0 < sum(not row["user_id"] for rows in orders.values() for row in rows) < 60


def test_some_items_are_delivered_a_file_before_their_order() -> None:
    files = content(Delivery(Shop(7, date(2025, 3, 3), 28, 100), 4, 4))
    order_part: dict[str, int] = {}
    for part, rows in enumerate(rows_of(files, "orders_").values()):
        for row in rows:
            order_part.setdefault(row["order_id"], part)
    early = {
        row["order_id"]
        for part, rows in enumerate(rows_of(files, "order_items_").values())
        for row in rows
        if part < order_part[row["order_id"]]
    }
    assert len(early) > 5


def test_products_have_names_that_csv_must_quote(small: dict[str, bytes]) -> None:
    (products,) = rows_of(small, "products").values()
    assert len({row["category"] for row in products}) == 8
    assert "Home & Kitchen" in {row["category"] for row in products}
    assert len({row["name"] for row in products}) == len(products)
    assert any('"' in row["name"] for row in products)
    assert any("," in row["name"] for row in products)


@pytest.mark.parametrize(("name", "orders"), [("S", 5_000), ("M", 1_000_000), ("L", 5_000_000)])
def test_sizes_have_their_orders_and_three_lines_an_order(name: str, orders: int) -> None:
    size = SIZES[name]
    assert size.days * size.orders_per_day == orders
    shop = Shop(1, date(2025, 3, 1), size.days, size.orders_per_day)
    assert int(shop.first_of_day[-1]) == orders
    lines = int(shop.line_counts_of(np.arange(orders)).sum())
    assert lines == pytest.approx(3 * orders, rel=0.02)
