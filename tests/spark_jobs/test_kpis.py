"""Every KPI, on both engines, equals what the oracle computes a second way."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from tests import oracle
from tests.conftest import ROOT, Compute, write_delivery

PRODUCTS = [
    {"product_id": "p1", "category": "Books", "name": "Atlas", "price": "10.00"},
    {"product_id": "p2", "category": "Home & Kitchen", "name": "Pan", "price": "20.00"},
]


def order(order_id: str, **changes: str) -> dict[str, str]:
    row = {
        "user_id": "u1",
        "order_date": "2025-03-01",
        "total_amount": "10.00",
        "status": "completed",
    }
    return {"order_id": order_id, **row, **changes}


def line(order_id: str, product_id: str = "p1", quantity: str = "1", unit_price: str = "10.00"):
    return {
        "order_id": order_id,
        "product_id": product_id,
        "quantity": quantity,
        "unit_price": unit_price,
    }


def delivery(orders, lines, products=PRODUCTS):
    return {"orders_1.csv": orders, "order_items_1.csv": lines, "products.csv": products}


CASES = {
    "a returned order counts in revenue and as returned, not in net revenue": delivery(
        [order("1"), order("2", status="returned"), order("3", status="cancelled")],
        [line("1"), line("2", unit_price="7.77"), line("3", unit_price="1.23")],
    ),
    "case, white space and American spelling of a status": delivery(
        [
            order("1", status=" Returned "),
            order("2", status="CANCELED"),
            order("3", status="Cancelled"),
        ],
        [line("1"), line("2"), line("3")],
    ),
    "an order with one product on two lines is one order with both quantities": delivery(
        [order("1")], [line("1", quantity="2"), line("1", quantity="2"), line("1", quantity="3")]
    ),
    "an order with lines in two categories counts in each": delivery(
        [order("1")], [line("1"), line("1", "p2", unit_price="20.00")]
    ),
    "an order without lines counts per day": delivery([order("1"), order("2")], [line("1")]),
    "a line without its order counts nowhere": delivery([order("1")], [line("1"), line("9")]),
    "a line without its product counts nowhere": delivery(
        [order("1")], [line("1"), line("1", "p9")]
    ),
    "an empty customer is no customer": delivery(
        [order("1", user_id=""), order("2", user_id="  "), order("3")], [line("1")]
    ),
    "half a cent rounds up, in revenue and in averages": delivery(
        [order("1"), order("2")],
        [
            line("1", unit_price="0.0050"),
            line("2", "p2", unit_price="0.0149"),
            line("2", "p1", "1", "0.0050"),
        ],
    ),
    "a quotient just below half a cent rounds down": delivery(
        [order(str(n)) for n in range(7)],
        # 0.0349 / 7 = 0.00498571…; rounded to 3 places first it would become 0.01.
        [line(str(n), unit_price="0.0050") for n in range(6)] + [line("6", unit_price="0.0049")],
    ),
    "the largest decimals": delivery(
        [
            order("1", total_amount="9999999999999999.99"),
            order("2", total_amount="9999999999999999.99"),
        ],
        [
            line("1", quantity="1000000", unit_price="9999999.9999"),
            line("2", unit_price="0.0001"),
        ],
    ),
    "more decimals than a price holds": delivery(
        [order("1", total_amount="1.005")], [line("1", unit_price="1.23455")]
    ),
    "a later file's row of an order replaces the earlier one and its date": {
        "orders_1.csv": [order("1"), order("2")],
        "orders_2.csv": [order("1", status="returned", order_date="2025-03-02")],
        "order_items_1.csv": [line("1"), line("2")],
        "products.csv": PRODUCTS,
    },
    "a product listed twice does not multiply lines": delivery(
        [order("1")], [line("1")], [*PRODUCTS, {**PRODUCTS[0], "category": "Maps"}]
    ),
    "a line in two files counts once, a line twice in one file counts twice": {
        "orders_1.csv": [order("1"), order("2")],
        "order_items_1.csv": [line("1"), line("1"), line("2")],
        "order_items_2.csv": [line("1"), line("2", quantity="5"), line("2", "p2")],
        "products.csv": PRODUCTS,
    },
    "ids are text: two orders differ by their leading zeros": delivery(
        [order("1"), order("01"), order("1.0")], [line("1"), line("01"), line("1.0")]
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_small_case_equals_the_oracle(case: str, compute: Compute, tmp_path: Path) -> None:
    found = compute(write_delivery(tmp_path, CASES[case]))
    assert found == oracle.from_rows(CASES[case])


def test_the_definitions_hold_on_a_case_worked_out_by_hand(
    compute: Compute, tmp_path: Path
) -> None:
    files = delivery(
        [order("1"), order("2", user_id="u2", status="returned", total_amount="20.50")],
        [
            line("1", quantity="3"),
            line("2", unit_price="0.50"),
            line("2", "p2", unit_price="20.00"),
        ],
    )
    category, daily = compute(write_delivery(tmp_path, files))
    books, kitchen = category
    assert books["daily_revenue"] == Decimal("30.50")
    assert books["avg_order_value"] == Decimal("15.25")
    assert books["avg_return_rate"] == Decimal("50.00")
    assert books["net_revenue"] == Decimal("30.00")
    assert kitchen["category"] == "Home & Kitchen"
    assert kitchen["avg_return_rate"] == Decimal("100.00")
    assert daily[0]["total_orders"] == 2
    assert daily[0]["total_revenue"] == Decimal("30.50")
    assert daily[0]["total_items_sold"] == 5
    assert daily[0]["return_rate"] == Decimal("50.00")
    assert daily[0]["unique_customers"] == 2


def test_the_committed_sample_equals_sql_over_its_files(compute: Compute) -> None:
    folder = ROOT / "samples" / "incoming"
    found = compute(folder)
    assert found == oracle.from_csv(folder)
    assert len(found.daily) >= 7


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [("lab6", "oracle"), ("lab6_crlf_timestamps", "oracle_if_normalised")],
)
def test_the_real_files_equal_their_published_oracle(
    delivered: str, expected: str, compute: Compute, real_files: Path
) -> None:
    found = compute(real_files / delivered / "incoming")
    category = [
        (
            row["category"],
            str(row["order_date"]),
            str(row["daily_revenue"]),
            row["order_count"],
            row["returned_orders"],
        )
        for row in found.category
    ]
    assert category == [
        (
            r["category"],
            r["order_date"],
            r["daily_revenue"],
            int(r["order_count"]),
            int(r["returned_order_count"]),
        )
        for r in _csv(real_files / delivered / expected / "category_kpis.csv")
    ]
    daily = [
        (
            str(row["order_date"]),
            row["total_orders"],
            str(row["total_revenue"]),
            row["total_items_sold"],
            row["returned_orders"],
            row["unique_customers"],
        )
        for row in found.daily
    ]
    assert daily == [
        (
            r["order_date"],
            int(r["total_orders"]),
            r["total_revenue_orders"],
            int(r["total_items_sold"]),
            int(r["returned_orders"]),
            int(r["unique_customers"]),
        )
        for r in _csv(real_files / delivered / expected / "order_kpis.csv")
    ]
    if delivered == "lab6":  # the other one needs its statuses and timestamps normalised
        assert found == oracle.from_csv(real_files / delivered / "incoming")


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return sorted(
            csv.DictReader(file), key=lambda row: (row.get("category", ""), row["order_date"])
        )
