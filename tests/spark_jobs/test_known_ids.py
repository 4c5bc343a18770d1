"""The validator knows what the ledger has: an ordinary second day is reported as ordinary."""

import json
from pathlib import Path
from typing import Any

from contract.keys import KNOWN_IDS, KNOWN_PRODUCTS, RunKeys
from contract.known_ids import KnownIds
from tests.conftest import write_delivery
from tests.spark_jobs.deliveries import PRODUCTS, first_delivery, line, order
from tests.spark_jobs.shop import Shop, Transform, run_batch, validated
from tests.spark_jobs.test_run import processed


def verdict(shop: Shop, run_id: str) -> dict[str, Any]:
    body = shop.s3.get_object(Bucket=shop.name, Key=RunKeys(run_id).verdict)["Body"].read()
    return json.loads(body)


def known(shop: Shop) -> KnownIds:
    body = shop.s3.get_object(Bucket=shop.name, Key=KNOWN_IDS)["Body"].read()
    return KnownIds.from_json(body)


def second_day(folder: Path) -> Path:
    """Orders and lines of the next day, without products, and a late line of the day before."""
    return write_delivery(
        folder,
        {
            "orders_2.csv": [order("5", "2026-02-04"), order("1", status="returned")],
            "order_items_2.csv": [line("5"), line("5", "p2"), line("2", "p1")],
        },
    )


def test_the_second_day_without_products_is_accepted_and_nothing_is_held_back(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    run_batch(shop, sail, second_day(tmp_path / "2"), "run-2", hours=24)
    found = verdict(shop, "run-2")
    assert found["outcome"] == "accepted"
    assert (found["totals"]["accepted_rows"], found["totals"]["held_rows"]) == (5, 0)
    # The line of order 9, which has not arrived, is of the first day.
    first, second = shop.published("run-1"), shop.published("run-2")
    assert (first["delivery_held_lines"], first["held_lines"]) == (1, 1)
    assert first["delivery_held_reasons"] == {"unknown_order": 1}
    assert (second["delivery_held_lines"], second["held_lines"]) == (0, 1)


def test_a_rebuild_judges_everything_again_and_writes_the_known_ids_again(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    # As in processed/: what the rebuild reads.
    for path in (tmp_path / "1").iterdir():
        shop.s3.upload_file(str(path), shop.name, f"processed/run-1/{path.name}")
    lines = tuple(file for file in processed(shop, "run-1") if "products" not in file.key)
    uri = shop.claim("rebuild-1", files=lines, task="rebuild")
    validated(uri, shop.environment)
    assert verdict(shop, "rebuild-1")["totals"]["held_rows"] == 4
    assert sail(shop, "--manifest", uri) == 0
    found = known(shop)
    assert (found.ledger, found.ledger_version) == ("ledger/rebuild-1", 2)
    assert found.products is None
    assert all(file.key.startswith("ledger/rebuild-1/orders/") for file in found.orders)
    run_batch(shop, sail, second_day(tmp_path / "2"), "run-2", hours=24)
    assert verdict(shop, "run-2")["totals"]["held_rows"] == 3


def test_known_ids_that_cannot_be_read_are_written_again_and_stop_no_run(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    shop.s3.put_object(Bucket=shop.name, Key=KNOWN_IDS, Body=b"{")
    shop.s3.delete_object(Bucket=shop.name, Key=KNOWN_PRODUCTS)
    run_batch(shop, sail, second_day(tmp_path / "2"), "run-2", hours=24)
    assert verdict(shop, "run-2")["totals"]["held_rows"] == 3
    assert known(shop).ledger_version == 2
    # The ledger knew them all the same.
    assert shop.published("run-2")["held_lines"] == 1


def test_an_older_ledger_version_does_not_replace_the_known_ids(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    newer = KnownIds(ledger="ledger/main", ledger_version=7, products=None, orders=())
    shop.s3.put_object(Bucket=shop.name, Key=KNOWN_IDS, Body=newer.to_json().encode())
    run_batch(shop, sail, write_delivery(tmp_path / "2", {"products.csv": PRODUCTS}), "run-2")
    assert known(shop) == newer
