"""The ledger holds what arrived, once, in any order of arrival."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import duckdb
import pytest

from delivery.storage import Folder
from spark_jobs.ledger.current_rows import read
from spark_jobs.ledger.ledger import Changes, Ledger
from spark_jobs.ledger.snapshot import Snapshot
from tests import oracle
from tests.oracle import Version

from .ledgers import deliver, kpis

MORNING = datetime(2026, 3, 1, 6, tzinfo=UTC)
PRODUCTS = [
    {"product_id": "p1", "category": "Books", "name": "n", "price": "1.00"},
    {"product_id": "p2", "category": "Toys", "name": "n", "price": "1.00"},
]


def order(order_id: str, day: str = "2026-02-01", status: str = "delivered", user: str = "u"):
    return {
        "order_id": order_id,
        "user_id": user,
        "order_date": day,
        "total_amount": "10.00",
        "status": status,
    }


def line(order_id: str, product_id: str = "p1", quantity: int = 1, price: str = "2.50"):
    return {
        "order_id": order_id,
        "product_id": product_id,
        "quantity": str(quantity),
        "unit_price": price,
    }


def version(name: str, rows: list[dict[str, str]], *, hours: float = 0) -> Version:
    return Version(name, MORNING + timedelta(hours=hours), rows)


class Deliveries:
    """A ledger, and everything that was delivered to it."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(Folder(folder / "ledger"))
        self._folder = folder
        self._runs = count(1)
        self.landed: list[Version] = []

    def deliver(self, *versions: Version):
        run = f"run-{next(self._runs)}"
        self.landed += versions
        changes, _ = deliver(self.ledger, versions, self._folder / run, run)
        return changes

    def equal_the_oracle(self) -> bool:
        return kpis(self.ledger.head()) == oracle.from_versions(self.landed)


def pending_and_released(changes: Changes) -> tuple[int, int]:
    return changes.summary.held_lines, changes.summary.readmitted_lines


@pytest.fixture
def deliveries(tmp_path: Path) -> Deliveries:
    return Deliveries(tmp_path)


def test_a_second_delivery_adds_to_the_dates_of_the_first(deliveries: Deliveries):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1")]),
        version("order_items_1.csv", [line("1")]),
    )
    changes = deliveries.deliver(
        version("orders_2.csv", [order("2")], hours=1),
        version("order_items_2.csv", [line("2", "p2")], hours=1),
    )
    assert changes.dates == {date(2026, 2, 1)}
    [day] = kpis(deliveries.ledger.head()).daily
    assert (day["total_orders"], day["total_items_sold"]) == (2, 2)
    assert deliveries.equal_the_oracle()


def test_an_order_that_moves_to_another_date_takes_its_lines_along(deliveries: Deliveries):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1"), order("2")]),
        version("order_items_1.csv", [line("1"), line("2")]),
    )
    changes = deliveries.deliver(version("orders_2.csv", [order("1", "2026-02-05")], hours=1))
    assert changes.dates == {date(2026, 2, 1), date(2026, 2, 5)}
    assert deliveries.equal_the_oracle()


def test_lines_wait_for_their_order_and_their_product_in_any_later_delivery(
    deliveries: Deliveries,
):
    changes = deliveries.deliver(version("order_items_1.csv", [line("1"), line("1", "p2")]))
    assert (changes.summary.held_lines, changes.dates) == (2, frozenset())
    changes = deliveries.deliver(version("orders_1.csv", [order("1")], hours=1))
    assert pending_and_released(changes) == (2, 0)
    assert deliveries.equal_the_oracle()
    changes = deliveries.deliver(version("products_1.csv", PRODUCTS[:1], hours=2))
    assert pending_and_released(changes) == (1, 1)
    assert deliveries.equal_the_oracle()
    deliveries.deliver(version("products_2.csv", PRODUCTS[1:], hours=3))
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 2
    assert deliveries.equal_the_oracle()


def test_the_same_bytes_count_as_of_their_first_landing_even_if_that_is_processed_last(
    deliveries: Deliveries,
):
    delivered, returned = [order("1")], [order("1", status="returned")]
    deliveries.deliver(version("orders_3.csv", delivered, hours=3))
    deliveries.deliver(version("orders_2.csv", returned, hours=2))
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 0
    changes = deliveries.deliver(version("orders_1.csv", delivered, hours=1))
    assert changes.summary.new_files == 1
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 1
    assert deliveries.equal_the_oracle()


def test_bytes_that_landed_before_they_were_known_give_way_to_what_landed_since(
    deliveries: Deliveries,
):
    deliveries.deliver(
        version("products_3.csv", PRODUCTS[:1], hours=3),
        version("orders_3.csv", [order("1", "2026-02-03")], hours=3),
        version("order_items_3.csv", [line("1", quantity=3)], hours=3),
    )
    deliveries.deliver(
        version("products_2.csv", [PRODUCTS[0] | {"category": "Art"}], hours=2),
        version("orders_2.csv", [order("1", "2026-02-02")], hours=2),
        version("order_items_1.csv", [line("1", quantity=2)], hours=2),
    )
    changes = deliveries.deliver(
        version("products_1.csv", PRODUCTS[:1], hours=1),
        version("orders_1.csv", [order("1", "2026-02-03")], hours=1),
        version("order_items_1.csv", [line("1", quantity=3)], hours=1),
    )
    assert changes.dates == {date(2026, 2, 2), date(2026, 2, 3)}
    [category] = kpis(deliveries.ledger.head()).category
    # The lines' bytes are now an earlier version of that file.
    assert (category["category"], category["order_date"]) == ("Art", date(2026, 2, 2))
    assert category["daily_revenue"] == Decimal("5.00")
    assert deliveries.equal_the_oracle()


def test_a_product_in_another_category_changes_every_date_that_sold_it(deliveries: Deliveries):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1"), order("2", "2026-02-09"), order("3", "2026-02-11")]),
        version("order_items_1.csv", [line("1"), line("2"), line("3", "p2")]),
    )
    moved = [PRODUCTS[0] | {"category": "Art"}]
    changes = deliveries.deliver(version("products.csv", moved, hours=1))
    assert changes.dates == {date(2026, 2, 1), date(2026, 2, 9)}
    assert changes.rewritten == frozenset()
    assert deliveries.equal_the_oracle()


def test_a_later_version_of_a_file_replaces_its_lines_of_an_order_and_no_others(
    deliveries: Deliveries,
):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1"), order("2")]),
        version("order_items_1.csv", [line("1", quantity=5), line("2")]),
    )
    deliveries.deliver(version("order_items_1.csv", [line("1", quantity=7)], hours=1))
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 8
    assert deliveries.equal_the_oracle()


def test_an_order_is_its_latest_row_by_landing_then_name_then_line_whichever_run_brings_it(
    deliveries: Deliveries,
):
    deliveries.deliver(
        version("orders_b.csv", [order("1", user="b 1"), order("1", user="b 2")], hours=1)
    )
    deliveries.deliver(version("orders_a.csv", [order("1", user="a")], hours=1))
    deliveries.deliver(version("orders_z.csv", [order("1", "2026-02-07", user="z")]))
    assert users(deliveries.ledger.head()) == {"1": "b 2"}
    deliveries.deliver(version("orders_c.csv", [order("1", user="c")], hours=1))
    assert users(deliveries.ledger.head()) == {"1": "c"}
    assert deliveries.equal_the_oracle()


def users(snapshot: Snapshot) -> dict[str, str]:
    with duckdb.connect() as connection:
        read(connection, snapshot, snapshot.dates)
        return dict(connection.execute("SELECT order_id, user_id FROM current_orders").fetchall())


def test_a_product_is_its_latest_row_and_multiplies_no_line_however_often_it_is_listed(
    deliveries: Deliveries,
):
    books, toys, art = (PRODUCTS[0] | {"category": c} for c in ("Books", "Toys", "Art"))
    deliveries.deliver(
        version("products_2.csv", [books, toys], hours=2),
        version("orders_1.csv", [order("1")]),
        version("order_items_1.csv", [line("1", quantity=3)]),
    )
    changes = deliveries.deliver(version("products_1.csv", [art], hours=1))
    assert changes.dates == frozenset()
    [category] = kpis(deliveries.ledger.head()).category
    assert (category["category"], category["daily_revenue"]) == ("Toys", Decimal("7.50"))
    assert deliveries.equal_the_oracle()


def test_a_line_in_several_files_counts_as_often_as_in_the_file_that_has_it_most(
    deliveries: Deliveries,
):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1")]),
        version("order_items_1.csv", [line("1"), line("1"), line("1", price="2.75")]),
    )
    deliveries.deliver(version("order_items_2.csv", [line("1")] * 3, hours=1))
    deliveries.deliver(version("order_items_3.csv", [line("1")], hours=2))
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 4
    assert deliveries.equal_the_oracle()


def test_an_earlier_version_of_a_file_that_is_processed_later_replaces_nothing(
    deliveries: Deliveries,
):
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", [order("1"), order("2")]),
        version("order_items_1.csv", [line("1", quantity=7)], hours=1),
    )
    earlier = [line("1", quantity=5), line("2")]
    deliveries.deliver(version("order_items_1.csv", earlier))
    deliveries.deliver(version("elsewhere/order_items_1.csv", [line("2", quantity=3)], hours=2))
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 11
    assert deliveries.equal_the_oracle()


def test_a_line_that_waits_replaces_what_the_version_before_it_gave(deliveries: Deliveries):
    deliveries.deliver(
        version("products.csv", PRODUCTS[:1]),
        version("orders_1.csv", [order("1")]),
        version("order_items_1.csv", [line("1", quantity=5)]),
    )
    changes = deliveries.deliver(version("order_items_1.csv", [line("1", "p2")], hours=1))
    assert (changes.summary.held_lines, changes.dates) == (1, {date(2026, 2, 1)})
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 0
    deliveries.deliver(version("products.csv", PRODUCTS[1:], hours=2))
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 1
    assert deliveries.equal_the_oracle()


def test_the_same_bytes_under_another_name_and_time_are_a_duplicate_and_change_nothing(
    deliveries: Deliveries,
):
    rows = [order("1"), order("2")]
    deliveries.deliver(
        version("products.csv", PRODUCTS),
        version("orders_1.csv", rows),
        version("order_items_1.csv", [line("1"), line("1")]),
    )
    deliveries.deliver(version("orders_2.csv", [order("1", status="returned")], hours=1))
    changes = deliveries.deliver(
        version("orders_3.csv", rows, hours=2),
        version("order_items_1.csv", [line("1"), line("1")], hours=2),
    )
    assert changes.summary.duplicate_files == ("order_items_1.csv", "orders_3.csv")
    assert (changes.summary.new_files, changes.dates) == (0, frozenset())
    [day] = kpis(deliveries.ledger.head()).daily
    assert (day["returned_orders"], day["total_items_sold"]) == (1, 2)
    assert deliveries.equal_the_oracle()


def test_the_same_bytes_twice_in_one_moment_under_one_name_count_once(deliveries: Deliveries):
    # S3's landing times have whole seconds, and a name can get two versions in one.
    twice = version("order_items_1.csv", [line("1")])
    changes = deliveries.deliver(
        version("products.csv", PRODUCTS), version("orders_1.csv", [order("1")]), twice, twice
    )
    assert changes.summary.new_files == 3
    assert changes.summary.new_rows["order_items"] == 1
    assert kpis(deliveries.ledger.head()).daily[0]["total_items_sold"] == 1


def test_a_correction_that_is_undone_ends_as_the_first_version(deliveries: Deliveries):
    first, second = [order("1"), order("2")], [order("1", status="returned")]
    deliveries.deliver(version("products.csv", PRODUCTS), version("orders_1.csv", first))
    deliveries.deliver(version("orders_1.csv", second, hours=1))
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 1
    changes = deliveries.deliver(version("orders_1.csv", first, hours=2))
    assert (changes.summary.new_files, changes.summary.duplicate_files) == (1, ())
    assert changes.summary.new_rows["orders"] == 0
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 0
    assert deliveries.equal_the_oracle()


def test_lines_that_return_replace_those_of_the_version_between(deliveries: Deliveries):
    deliveries.deliver(version("products.csv", PRODUCTS), version("orders_1.csv", [order("1")]))
    for hours, quantity in enumerate(("1", "7", "1"), start=1):
        deliveries.deliver(
            version("order_items_1.csv", [line("1", quantity=quantity)], hours=hours)
        )
        [day] = kpis(deliveries.ledger.head()).daily
        assert day["total_items_sold"] == int(quantity)
        assert deliveries.equal_the_oracle()


def test_a_version_that_is_processed_late_makes_the_equal_one_after_it_count(
    deliveries: Deliveries,
):
    first = [order("1"), order("2")]
    deliveries.deliver(
        version("orders_1.csv", first),
        version("orders_2.csv", [order("2", status="returned")], hours=1),
        version("orders_1.csv", first, hours=3),
    )
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 1
    # Order 2 is not in it, but in the version that counts because of it.
    changes = deliveries.deliver(version("orders_1.csv", [order("1", "2026-02-05")], hours=2))
    assert changes.dates >= {date(2026, 2, 1)}
    assert kpis(deliveries.ledger.head()).daily[0]["returned_orders"] == 0
    assert deliveries.equal_the_oracle()
