"""Runs, one after the other, end in the same KPIs as one delivery of everything."""

import contextlib
import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chalice_app.chalicelib.landing import RunKeys
from chalice_app.chalicelib.manifest import FileVersion
from spark_jobs import jvm
from tests.conftest import IN_CI, write_delivery
from tests.spark_jobs import shop as shops
from tests.spark_jobs.shop import NOON, CuttingProxy, Shop, start, validated

_numbers = count(1)
_NAMES = {
    "returned_order_count": "returned_orders",
    "total_revenue_orders": "total_revenue",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with shops.aws() as endpoint:
        yield endpoint


@pytest.fixture
def shop(endpoint: str) -> Shop:
    return Shop.open(endpoint, f"shop-{next(_numbers)}")


Transform = Callable[..., int]


@pytest.fixture(scope="module", params=["sail", "spark"])
def transform(request: pytest.FixtureRequest) -> Iterator[Transform]:
    """Run the transformer on one engine, in a process that keeps its imports."""
    if request.param == "spark" and jvm.find_java() is None:
        assert not IN_CI, "CI must have Java 17"
        pytest.skip("no Java 17: the spark engine is not tested")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:

        def run(shop: Shop, *arguments: str) -> int:
            options = [*arguments, "--engine", request.param]
            return process.submit(shops.transform, options, shop.environment).result(timeout=120)

        yield run


def run_batch(shop: Shop, transform: Transform, folder: Path, run_id: str, **kwargs: Any) -> None:
    uri = shop.land(folder, run_id, **kwargs)
    validated(uri, shop.environment)
    assert transform(shop, "--manifest", uri) == 0


def oracle(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read an oracle's CSV files, with the attributes' own names."""
    found = {}
    for kind, name in (("category", "category_kpis"), ("daily", "order_kpis")):
        with (folder / f"{name}.csv").open(newline="") as file:
            found[kind] = sorted(
                (_typed(row) for row in csv.DictReader(file)),
                key=lambda row: (row["order_date"], row.get("category", "")),
            )
    return found


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        _NAMES.get(name, name): value if name in {"category", "order_date"} else Decimal(value)
        for name, value in row.items()
        if name != "total_revenue_items"
    }


def as_in(expected: Mapping[str, Any], items: Mapping[str, Any]) -> dict[str, Any]:
    """Return the items with the oracle's attributes only."""
    return {
        kind: [{name: item[name] for name in expected[kind][0]} for item in items[kind]]
        for kind in expected
    }


def test_three_real_deliveries_equal_the_oracle_after_each_and_one_of_everything_at_the_end(
    shop: Shop, endpoint: str, transform: Transform, real_files: Path, tmp_path: Path
):
    steps = real_files / "lab6_steps"
    everything = tmp_path / "everything"
    everything.mkdir()
    for number in (1, 2, 3):
        step = steps / f"step{number}"
        run_batch(shop, transform, step / "incoming", f"run-{number}", hours=number)
        expected = oracle(step / "oracle_cumulative")
        assert as_in(expected, shop.items()) == expected
        for path in (step / "incoming").iterdir():
            (everything / path.name).write_bytes(path.read_bytes())
    at_once = Shop.open(endpoint, f"shop-{next(_numbers)}")
    run_batch(at_once, transform, everything, "all")
    assert at_once.items() == shop.items()


ORDERS = ("order_id", "user_id", "order_date", "total_amount", "status")
LINES = ("order_id", "product_id", "quantity", "unit_price")
PRODUCTS = [
    {"product_id": "p1", "category": "Books", "name": "a", "price": "1.00"},
    {"product_id": "p2", "category": "Toys", "name": "b", "price": "1.00"},
]


def order(order_id: str, day: str = "2026-02-01", status: str = "delivered") -> dict[str, str]:
    return dict(zip(ORDERS, (order_id, "u1", day, "10.00", status), strict=True))


def line(order_id: str, product_id: str = "p1", quantity: str = "1") -> dict[str, str]:
    return dict(zip(LINES, (order_id, product_id, quantity, "2.50"), strict=True))


def first_delivery(folder: Path) -> Path:
    return write_delivery(
        folder,
        {
            "products.csv": PRODUCTS,
            "orders_1.csv": [order("1"), order("2", "2026-02-02"), order("3", "2026-02-03")],
            "order_items_1.csv": [line("1"), line("2", "p2"), line("3"), line("9")],
        },
    )


def second_delivery(folder: Path) -> Path:
    """A return, an order whose lines wait, one that moves to another date, lines and a product."""
    return write_delivery(
        folder,
        {
            "products.csv": [*PRODUCTS, PRODUCTS[0] | {"product_id": "p3", "category": "Art"}],
            "orders_2.csv": [
                order("1", status="returned"),
                order("9", "2026-02-04"),
                order("3", "2026-02-01"),
            ],
            "order_items_2.csv": [line("2", "p3", "4"), line("9", "p2")],
        },
    )


@pytest.fixture(scope="module")
def sail() -> Iterator[Transform]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:

        def run(shop: Shop, *arguments: str) -> int:
            options = [*arguments, "--engine", "sail"]
            return process.submit(shops.transform, options, shop.environment).result(timeout=120)

        yield run


def published(shop: Shop, run_id: str) -> dict[str, Any]:
    body = shop.s3.get_object(Bucket=shop.name, Key=RunKeys(run_id).published)["Body"].read()
    return json.loads(body)


def test_a_run_says_what_it_took_in_and_what_it_published(
    shop: Shop, sail: Transform, tmp_path: Path
):
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    run_batch(shop, sail, second_delivery(tmp_path / "2"), "run-2", hours=1)
    said = published(shop, "run-2")
    assert said["dates"] == ["2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"]
    assert (said["previous_version"], said["ledger_version"]) == (1, 2)
    assert (said["new_files"], said["readmitted_lines"], said["held_lines"]) == (3, 1, 0)
    assert said["new_rows"] == {"orders": 3, "order_items": 2, "products": 3}
    # Order 3 has left its date, which nobody else ordered on.
    assert [item["order_date"] for item in shop.items()["daily"]] == [
        "2026-02-01",
        "2026-02-02",
        "2026-02-04",
    ]


def test_a_crash_at_any_write_of_a_run_and_a_retry_end_as_a_run_without_a_crash(
    shop: Shop, sail: Transform, tmp_path: Path
):
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    shops.finish_in(shop, "run-1")
    validated(shop.land(second_delivery(tmp_path / "2"), "run-2", hours=1), shop.environment)

    def run(copy: Shop, kill_at: int | None) -> tuple[int, list[str]]:
        with contextlib.closing(CuttingProxy(shop.endpoint, kill_at=kill_at)) as proxy:
            proxy.victim = start(copy.manifest("run-2"), copy.through(proxy.endpoint).environment)
            proxy.victim.join(60)
            return proxy.victim.exitcode, proxy.writes

    undisturbed = shop.copied(f"shop-{next(_numbers)}")
    code, writes = run(undisturbed, None)
    assert code == 0
    for wanted in ("/ledger/main/orders/", "TransactWriteItems", "UpdateItem", "/processed/"):
        assert any(wanted in write for write in writes), writes

    def crash_and_retry(number: int) -> None:
        where = f"a crash at write {number}, {writes[number - 1]}"
        copy = shop.copied(f"shop-{next(_numbers)}")
        assert run(copy, number)[0] == -signal.SIGKILL, where
        assert run(copy, None)[0] == 0, where
        assert copy.items() == undisturbed.items(), where
        assert copy.keys("incoming/") == [], where
        assert copy.keys("processed/") == undisturbed.keys("processed/"), where
        assert published(copy, "run-2")["ledger_version"] == 2, where

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(crash_and_retry, n + 1) for n in range(len(writes))]:
            done.result()


def test_two_transformers_of_one_run_at_once_count_its_rows_once(
    shop: Shop, sail: Transform, tmp_path: Path
):
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    uri = shop.land(second_delivery(tmp_path / "2"), "run-2", hours=1)
    validated(uri, shop.environment)
    alone = shop.copied(f"shop-{next(_numbers)}")
    assert sail(alone, "--manifest", alone.manifest("run-2")) == 0
    both = [start(uri, shop.environment) for _ in range(2)]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert shop.items() == alone.items()
    assert published(shop, "run-2")["ledger_version"] == 2


def test_a_zombie_that_wakes_up_after_a_newer_run_changes_nothing(
    shop: Shop, sail: Transform, tmp_path: Path
):
    first = shop.land(first_delivery(tmp_path / "1"), "run-1")
    validated(first, shop.environment)
    proxy = CuttingProxy(shop.endpoint, hold_at="TransactWriteItems")
    zombie = start(first, shop.through(proxy.endpoint).environment)
    proxy.held.wait(60)
    run_batch(shop, sail, second_delivery(tmp_path / "2"), "run-2", hours=1)
    newer = shop.items(of_the_run=True)
    proxy.go_on.set()
    zombie.join(60)
    proxy.close()
    assert zombie.exitcode == 0
    assert shop.items(of_the_run=True) == newer
    assert published(shop, "run-1")["superseded"] == ["2026-02-01", "2026-02-02", "2026-02-03"]


def test_a_run_that_died_before_it_published_is_healed_by_the_next(
    shop: Shop, sail: Transform, tmp_path: Path
):
    first = shop.land(first_delivery(tmp_path / "1"), "run-1")
    validated(first, shop.environment)
    proxy = CuttingProxy(shop.endpoint, kill_at="TransactWriteItems")
    proxy.victim = start(first, shop.through(proxy.endpoint).environment)
    proxy.victim.join(60)
    proxy.close()
    assert proxy.victim.exitcode == -signal.SIGKILL
    assert shop.items()["daily"] == []
    late = write_delivery(tmp_path / "2", {"orders_2.csv": [order("4", "2026-02-09")]})
    run_batch(shop, sail, late, "run-2", hours=1)
    assert [item["order_date"] for item in shop.items()["daily"]] == [
        "2026-02-01",
        "2026-02-02",
        "2026-02-03",
        "2026-02-09",
    ]


def processed(shop: Shop, *runs: str) -> tuple[FileVersion, ...]:
    """Return the files of processed/ as a replay claims them."""
    originals = {
        (run, file.name): file for run in runs for file in shops.manifest_of(shop, run).files
    }
    return tuple(
        FileVersion(
            key=f"processed/{run}/{name}",
            name=name,
            version_id=None,
            etag=file.etag,
            size=file.size,
            landed_at=file.landed_at,
        )
        for (run, name), file in sorted(originals.items())
    )


@pytest.fixture(scope="module")
def two_runs(endpoint: str, sail: Transform, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop.open(endpoint, f"shop-{next(_numbers)}")
    folder = tmp_path_factory.mktemp("deliveries")
    for number, delivery in enumerate((first_delivery, second_delivery), start=1):
        run_batch(shop, sail, delivery(folder / str(number)), f"run-{number}", hours=number)
        shops.finish_in(shop, f"run-{number}")
    return shop


def test_a_rebuild_from_processed_gives_the_same_items(two_runs: Shop, sail: Transform):
    shop = two_runs.copied(f"shop-{next(_numbers)}")
    uri = shop.claim("rebuild-1", files=processed(shop, "run-1", "run-2"), task="rebuild")
    validated(uri, shop.environment)
    assert sail(shop, "--manifest", uri) == 0
    assert shop.items() == two_runs.items()
    said = published(shop, "rebuild-1")
    assert (said["ledger"], said["ledger_version"]) == ("ledger/rebuild-1", 3)
    # And the fresh ledger is the one that later runs go on with.
    again = shop.claim("recompute-1", task="recompute", start=date(2026, 2, 1), end=NOON.date())
    assert sail(shop, "--manifest", again) == 0
    assert published(shop, "recompute-1")["ledger"] == "ledger/rebuild-1"
    assert shop.items() == two_runs.items()


def test_a_recompute_mends_items_that_somebody_has_changed(two_runs: Shop, sail: Transform):
    shop = two_runs.copied(f"shop-{next(_numbers)}")
    key = {"order_date": {"S": "2026-02-01"}}
    shop.dynamodb.delete_item(TableName=shop.tables.order_kpis, Key=key)
    uri = shop.claim("recompute-1", task="recompute", start=date(2026, 2, 1), end=date(2026, 2, 1))
    assert sail(shop, "--manifest", uri) == 0
    assert shop.items() == two_runs.items()
    assert published(shop, "recompute-1")["dates"] == ["2026-02-01"]


def test_a_replay_of_a_finished_run_publishes_its_dates_again_and_adds_no_row(
    two_runs: Shop, sail: Transform
):
    shop = two_runs.copied(f"shop-{next(_numbers)}")
    uri = shop.claim("replay-1", files=processed(shop, "run-1"))
    validated(uri, shop.environment)
    assert sail(shop, "--manifest", uri) == 0
    said = published(shop, "replay-1")
    assert (said["ledger_version"], said["new_files"]) == (2, 0)
    assert said["dates"] == published(shop, "run-1")["dates"]
    assert shop.items() == two_runs.items()


def command(shop: Shop, *arguments: str) -> str:
    """Run the transformer's command line on sail and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "spark_jobs.transform", *arguments, "--engine", "sail"],
        env={**os.environ, **shop.environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.replace(f"{shop.name}-", "")


def test_a_dry_run_shows_what_would_change_item_by_item_and_writes_nothing(
    two_runs: Shop, tmp_path: Path
):
    shop = two_runs.copied(f"shop-{next(_numbers)}")
    corrected = write_delivery(tmp_path / "3", {"order_items_2.csv": [line("2", "p3", "6")]})
    uri = shop.land(corrected, "run-3", hours=9)
    validated(uri, shop.environment)
    items, keys = shop.items(of_the_run=True), shop.keys("")
    assert command(shop, "--manifest", uri, "--dry-run").splitlines() == [
        "OrderKPIs 2026-02-02: changed total_items_sold 5 → 7",
        "CategoryKPIs Art 2026-02-02: changed avg_order_value 10.00 → 15.00,"
        " daily_revenue 10.00 → 15.00, net_revenue 10.00 → 15.00",
        "2 items differ; nothing was written.",
    ]
    assert (shop.items(of_the_run=True), shop.keys("")) == (items, keys)


def test_an_earlier_version_of_the_ledger_can_be_computed_again(two_runs: Shop, tmp_path: Path):
    ledger = f"s3://{two_runs.name}/ledger/main"
    command(two_runs, "--ledger", ledger, "--as-of", "1", "--output", str(tmp_path))
    with (tmp_path / "order_kpis.csv").open(newline="") as file:
        rows = [(row["order_date"], row["returned_orders"]) for row in csv.DictReader(file)]
    assert rows == [("2026-02-01", "0"), ("2026-02-02", "0"), ("2026-02-03", "0")]


def test_quarantined_rows_count_once_they_are_corrected_and_delivered_again(
    shop: Shop, sail: Transform, tmp_path: Path
):
    orders = [order(str(number)) for number in range(20)]
    lines = [line(str(number)) for number in range(20)]
    bad = [lines[0] | {"quantity": "none"}, *lines[1:]]
    files = {"products.csv": PRODUCTS, "orders_1.csv": orders}
    run_batch(
        shop, sail, write_delivery(tmp_path / "1", {**files, "order_items_1.csv": bad}), "run-1"
    )
    assert shop.items()["daily"][0]["total_items_sold"] == 19
    corrected = write_delivery(tmp_path / "2", {"order_items_1.csv": lines})
    run_batch(shop, sail, corrected, "run-2", hours=1)
    assert shop.items()["daily"][0]["total_items_sold"] == 20
