"""Runs, one after the other, end in the same KPIs as one delivery of everything."""

import csv
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contract.keys import DATA_DOCS_RUNS, RunKeys
from contract.manifest import FileVersion
from contract.verdict import Verdict
from spark_jobs import transform as cli
from spark_jobs.engine import jvm
from tests.conftest import IN_CI, write_delivery
from tests.spark_jobs import shop as shops
from tests.spark_jobs.deliveries import PRODUCTS, first_delivery, line, order, second_delivery
from tests.spark_jobs.shop import NOON, Shop, Transform, run_batch, validated

_NAMES = {
    "returned_order_count": "returned_orders",
    "total_revenue_orders": "total_revenue",
}


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


def test_a_run_without_a_manifest_fails_in_one_line_that_has_its_id(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://{shop.name}/{RunKeys('r9').manifest}"
    assert cli.main(["--manifest", uri, "--engine", "sail"]) == 1
    printed = capsys.readouterr()
    line = json.loads(printed.err)
    assert printed.out == ""
    assert (line["level"], line["run_id"]) == ("ERROR", "r9")
    assert line["message"].startswith(f"{uri}: ")
    assert "error" not in line


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
    at_once = Shop.open(endpoint)
    run_batch(at_once, transform, everything, "all")
    assert at_once.items() == shop.items()


def test_a_run_says_what_it_took_in_and_what_it_published(
    shop: Shop, sail: Transform, tmp_path: Path
):
    run_batch(shop, sail, first_delivery(tmp_path / "1"), "run-1")
    run_batch(shop, sail, second_delivery(tmp_path / "2"), "run-2", hours=1)
    said = shop.published("run-2")
    assert said["dates"] == ["2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"]
    assert (said["previous_version"], said["ledger_version"]) == (1, 2)
    assert (said["new_files"], said["readmitted_lines"], said["held_lines"]) == (3, 1, 0)
    assert said["new_rows"] == {"orders": 3, "order_items": 2, "products": 3}
    # Order 3 was the only one on its former date.
    assert [item["order_date"] for item in shop.items()["daily"]] == [
        "2026-02-01",
        "2026-02-02",
        "2026-02-04",
    ]


def test_a_dashboard_that_cannot_be_written_is_a_warning_and_the_run_succeeds(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    uri = shop.land(first_delivery(tmp_path), "run-1")
    validated(uri, shop.environment)
    shop.s3.put_object(Bucket=shop.name, Key=DATA_DOCS_RUNS, Body=b'{"runs": [')
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert cli.main(["--manifest", uri, "--engine", "sail"]) == 0
    lines = map(json.loads, capsys.readouterr().err.splitlines())
    [warning] = [line for line in lines if line["level"] == "WARNING"]
    assert warning["message"].startswith("dashboard not updated; the next run writes it")
    assert warning["run_id"] == "run-1"
    assert warning["error"].startswith("JSONDecodeError: ")
    assert shop.published("run-1")["items"] == len([i for t in shop.items().values() for i in t])


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
    shop = Shop.open(endpoint)
    folder = tmp_path_factory.mktemp("deliveries")
    for number, delivery in enumerate((first_delivery, second_delivery), start=1):
        run_batch(shop, sail, delivery(folder / str(number)), f"run-{number}", hours=number)
        shops.finish_in(shop, f"run-{number}")
    return shop


def test_a_rebuild_from_processed_gives_the_same_items(two_runs: Shop, sail: Transform):
    shop = two_runs.copied()
    uri = shop.claim("rebuild-1", files=processed(shop, "run-1", "run-2"), task="rebuild")
    validated(uri, shop.environment)
    assert sail(shop, "--manifest", uri) == 0
    assert shop.items() == two_runs.items()
    said = shop.published("rebuild-1")
    assert (said["ledger"], said["ledger_version"]) == ("ledger/rebuild-1", 3)
    # And the fresh ledger is the one that later runs go on with.
    again = shop.claim("recompute-1", task="recompute", start=date(2026, 2, 1), end=NOON.date())
    assert sail(shop, "--manifest", again) == 0
    assert shop.published("recompute-1")["ledger"] == "ledger/rebuild-1"
    assert shop.items() == two_runs.items()


def test_a_correction_that_is_undone_ends_as_the_first_version_in_a_rebuild_too(
    shop: Shop, sail: Transform, tmp_path: Path
):
    right, wrong = [order("1"), order("2")], [order("1", status="returned"), order("2")]
    rest = {"products.csv": PRODUCTS, "order_items_1.csv": [line("1")]}
    for number, orders in enumerate((right, wrong, right), start=1):
        files = {"orders_1.csv": orders, **(rest if number == 1 else {})}
        folder = write_delivery(tmp_path / str(number), files)
        run_batch(shop, sail, folder, f"run-{number}", hours=number)
        shops.finish_in(shop, f"run-{number}")
        assert shop.items()["daily"][0]["returned_orders"] == (number == 2)
    as_delivered = shop.items()
    runs = [f"run-{number}" for number in (1, 2, 3)]
    uri = shop.claim("rebuild-1", files=processed(shop, *runs), task="rebuild")
    validated(uri, shop.environment)
    body = shop.s3.get_object(Bucket=shop.name, Key=RunKeys("rebuild-1").verdict)["Body"]
    verdict = Verdict.from_json(body.read())
    assert {file.status for file in verdict.files} == {"accepted"}
    assert sail(shop, "--manifest", uri) == 0
    assert shop.published("rebuild-1")["duplicate_files"] == []
    assert shop.items() == as_delivered


def test_a_recompute_restores_items_that_were_changed_by_hand(two_runs: Shop, sail: Transform):
    shop = two_runs.copied()
    key = {"order_date": {"S": "2026-02-01"}}
    shop.dynamodb.delete_item(TableName=shop.tables.order_kpis, Key=key)
    uri = shop.claim("recompute-1", task="recompute", start=date(2026, 2, 1), end=date(2026, 2, 1))
    assert sail(shop, "--manifest", uri) == 0
    assert shop.items() == two_runs.items()
    assert shop.published("recompute-1")["dates"] == ["2026-02-01"]


def test_a_replay_of_a_finished_run_publishes_its_dates_again_and_adds_no_row(
    two_runs: Shop, sail: Transform
):
    shop = two_runs.copied()
    uri = shop.claim("replay-1", files=processed(shop, "run-1"))
    validated(uri, shop.environment)
    assert sail(shop, "--manifest", uri) == 0
    said = shop.published("replay-1")
    assert (said["ledger_version"], said["new_files"]) == (2, 0)
    assert said["dates"] == shop.published("run-1")["dates"]
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
    shop = two_runs.copied()
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
