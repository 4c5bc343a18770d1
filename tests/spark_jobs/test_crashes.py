"""Transformers that are killed, held back or doubled: the KPIs end as if nothing had happened."""

import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import write_delivery
from tests.spark_jobs import shop as shops
from tests.spark_jobs.deliveries import first_delivery, order, second_delivery
from tests.spark_jobs.shop import CuttingProxy, Shop, Transform, run_batch, start, validated


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

    undisturbed = shop.copied()
    code, writes = run(undisturbed, None)
    assert code == 0
    for wanted in ("/ledger/main/orders/", "TransactWriteItems", "UpdateItem", "/processed/"):
        assert any(wanted in write for write in writes), writes

    def crash_and_retry(number: int) -> None:
        where = f"a crash at write {number}, {writes[number - 1]}"
        copy = shop.copied()
        assert run(copy, number)[0] == -signal.SIGKILL, where
        assert run(copy, None)[0] == 0, where
        assert copy.items() == undisturbed.items(), where
        assert copy.keys("incoming/") == [], where
        assert copy.keys("processed/") == undisturbed.keys("processed/"), where
        assert copy.published("run-2")["ledger_version"] == 2, where

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(crash_and_retry, n + 1) for n in range(len(writes))]:
            done.result()


def test_two_transformers_of_one_run_at_once_count_its_rows_once(
    shop: Shop, sail: Transform, tmp_path: Path
):
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    uri = shop.land(second_delivery(tmp_path / "2"), "run-2", hours=1)
    validated(uri, shop.environment)
    alone = shop.copied()
    assert sail(alone, "--manifest", alone.manifest("run-2")) == 0
    both = [start(uri, shop.environment) for _ in range(2)]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert shop.items() == alone.items()
    assert shop.published("run-2")["ledger_version"] == 2


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
    proxy.release.set()
    zombie.join(60)
    proxy.close()
    assert zombie.exitcode == 0
    assert shop.items(of_the_run=True) == newer
    assert shop.published("run-1")["superseded"] == ["2026-02-01", "2026-02-02", "2026-02-03"]


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
