"""Deliveries with a mapping, through the stand-alone job and the validator."""

import csv
import os
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.spark_jobs.shop import Shop, Transform, manifest_of, run_batch, validated

MAPPINGS = ROOT / "samples" / "mappings"
THELOOK = MAPPINGS / "thelook" / "mapping.toml"
# Per shop: orders, revenue, items, returned orders of its one day, and rejected rows by reason.
EXPECTED = {
    "thelook": ("2", "31.00", "4", "1", []),
    "olist": ("2", "178.68", "3", "0", []),
    "shopify": ("2", "35.00", "4", "1", ["missing_status"]),
    "woocommerce": ("3", "40.00", "5", "1", []),
}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def kpis(folder: Path, output: Path, *options: str | Path, **environment: str) -> dict[str, bytes]:
    done = run(
        *("spark_jobs/transform.py", "--engine", "sail", "--input", folder, "--output", output),
        *options,
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return {name: (output / f"{name}.csv").read_bytes() for name in ("category_kpis", "order_kpis")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("shop", EXPECTED)
def test_the_export_of_a_shop_gives_its_kpis(shop: str, tmp_path: Path) -> None:
    kpis(MAPPINGS / shop / "incoming", tmp_path, "--mapping", MAPPINGS / shop / "mapping.toml")
    [day] = rows(tmp_path / "order_kpis.csv")
    found = [day[name] for name in ("total_orders", "total_revenue", "total_items_sold")]
    rejected = [row["reasons"] for row in rows(tmp_path / "rejected.csv")]
    assert (*found, day["returned_orders"], rejected) == EXPECTED[shop]
    assert sum(Decimal(row["daily_revenue"]) for row in rows(tmp_path / "category_kpis.csv")) == (
        Decimal(day["total_revenue"])
    )


def test_an_order_without_lines_has_no_revenue_if_the_mapping_takes_it_from_lines(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for file in (MAPPINGS / "thelook/incoming").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with (folder / "orders_part1.csv").open("a") as orders:
        orders.write("3,72,Complete,2025-03-02T00:00:00,,,,0\n")
    kpis(folder, tmp_path / "out", MAPPING=str(THELOOK))
    assert [row["total_revenue"] for row in rows(tmp_path / "out/order_kpis.csv")] == [
        "31.00",
        "0.00",
    ]


@pytest.mark.parametrize("shop", ["thelook", "olist", "woocommerce"])
def test_the_validator_accepts_what_the_job_computes_from(shop: str, tmp_path: Path) -> None:
    folder = MAPPINGS / shop
    done = run(
        *("-m", "expectations.validate", "--input", folder / "incoming", "--output", tmp_path),
        *("--run-id", "one"),
        MAPPING=str(folder / "mapping.toml"),
    )
    assert done.returncode == 0, done.stderr
    verdict = (tmp_path / "runs/one/verdict.json").read_text()
    assert '"outcome": "accepted"' in verdict


@pytest.mark.parametrize("command", ["spark_jobs/transform.py", "-m expectations.validate"])
def test_a_mapping_with_a_mistake_ends_the_command_with_its_place(
    command: str, tmp_path: Path
) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text('[orders]\ndate = "created_at"\n')
    folder = MAPPINGS / "thelook" / "incoming"
    done = run(*command.split(), "--input", folder, "--output", tmp_path, "--mapping", path)
    assert done.returncode == 2
    assert f"{path}: [orders] date: an unknown key; use order_id" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["spark_jobs/transform.py", "-m expectations.validate"])
def test_a_run_of_the_pipeline_has_no_mapping(command: str, tmp_path: Path) -> None:
    manifest = ("--manifest", "s3://b/runs/r/manifest.json", "--output", tmp_path)
    done = run(*command.split(), *manifest, MAPPING=str(THELOOK))
    assert done.returncode == 2
    assert "--mapping (MAPPING) is for --input" in done.stderr


def published(shop: Shop) -> list[dict[str, str]]:
    """Return the items of both tables, as text."""
    items = shop.items()
    return [
        {name: str(value) for name, value in item.items() if name != "categories"}
        for item in (*items["daily"], *items["category"])
    ]


def computed(output: Path) -> list[dict[str, str]]:
    """Return the stand-alone job's KPIs, as text."""
    found = [*rows(output / "order_kpis.csv"), *rows(output / "category_kpis.csv")]
    return sorted(found, key=lambda r: ("category" in r, r["order_date"], r.get("category", "")))


@pytest.mark.parametrize("shop_name", EXPECTED)
def test_the_pipeline_publishes_what_the_stand_alone_job_computes(
    shop_name: str, shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    folder = MAPPINGS / shop_name
    kpis(folder / "incoming", tmp_path, "--mapping", folder / "mapping.toml")
    text = (folder / "mapping.toml").read_text()
    run_batch(shop, sail, folder / "incoming", "one", mapping=text)
    assert published(shop) == computed(tmp_path)


TWINS = """
[order_items]
line_id = "pos"
"""


def twins(folder: Path, *ids: str) -> Path:
    """Write a line of one order that is the same but for its id, each in a file of its own."""
    folder.mkdir()
    (folder / "orders.csv").write_text(
        "order_id,user_id,order_date,total_amount,status\n1,u,2025-03-01,20.00,shipped\n"
    )
    (folder / "products.csv").write_text("product_id,category,name,price\np,Books,N,10.00\n")
    for place in ids:
        (folder / f"order_items_{place}.csv").write_text(
            f"order_id,product_id,quantity,unit_price,pos\n1,p,1,10.00,{place}\n"
        )
    return folder


@pytest.mark.parametrize(("mapping", "sold"), [(TWINS, 3), ("", 1)])
def test_the_ledger_counts_twin_lines_of_several_deliveries_by_their_line_ids(
    mapping: str, sold: int, shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, twins(tmp_path / "a", "1", "2"), "one", mapping=mapping)
    run_batch(shop, sail, twins(tmp_path / "b", "3"), "two", mapping=mapping, hours=1)
    # The same line again, in a file of another name: a rolling export.
    again = twins(tmp_path / "c", "2")
    (again / "order_items_2.csv").rename(again / "order_items_again.csv")
    with (again / "order_items_again.csv").open("a") as file:
        file.write("\n")
    run_batch(shop, sail, again, "three", mapping=mapping, hours=2)
    [day] = shop.items()["daily"]
    assert day["total_items_sold"] == sold


def test_a_run_reads_each_file_with_the_mapping_that_its_manifest_names(
    shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    run_batch(shop, sail, twins(tmp_path / "a", "1"), "one")
    thelook = THELOOK.read_text()
    run_batch(shop, sail, MAPPINGS / "thelook" / "incoming", "two", mapping=thelook, hours=1)
    before = shop.items()
    files = tuple(file for run in ("one", "two") for file in manifest_of(shop, run).files)
    uri = shop.claim("again", task="rebuild", files=files, mappings={"m": thelook})
    validated(uri, shop.environment)
    assert sail(shop, "--manifest", uri) == 0
    assert shop.items() == before


def test_a_mapping_that_cannot_be_used_fails_the_run_with_its_place(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = shop.land(twins(tmp_path / "a", "1"), "one", mapping='[orders]\ndate = "d"\n')
    done = run(
        *("-m", "expectations.validate", "--manifest", uri, "--output", f"s3://{shop.name}"),
        **shop.environment,
    )
    assert done.returncode == 1
    assert "settings/mapping.toml: [orders] date: an unknown key; use order_id" in done.stderr


def native(converted: Path, folder: Path) -> Path:
    """Write a converted delivery in TheLook's columns; a line's id is its place in the delivery."""
    folder.mkdir()
    number = 0
    for path in sorted(converted.glob("*.csv")):
        table = rows(path)
        if path.name.startswith("order_items"):
            written = []
            for row in table:
                assert row["quantity"] == "1"
                number += 1
                written.append(
                    {
                        "id": str(number),
                        "order_id": row["order_id"],
                        "user_id": "",
                        "product_id": row["product_id"],
                        "created_at": "",
                        "sale_price": row["unit_price"],
                    }
                )
        elif path.name.startswith("orders"):
            written = [
                {
                    "order_id": row["order_id"],
                    "user_id": row["user_id"],
                    "status": row["status"].replace("completed", "delivered"),
                    "created_at": f"{row['order_date']}T16:14:26",
                    "num_of_item": "1",
                }
                for row in table
            ]
        else:
            written = [
                {
                    "id": row["product_id"],
                    "category": row["category"],
                    "name": row["name"],
                    "retail_price": row["price"],
                }
                for row in table
            ]
        with (folder / path.name).open("w", newline="") as file:
            writer = csv.DictWriter(file, written[0])
            writer.writeheader()
            writer.writerows(written)
    return folder


def test_native_files_give_byte_for_byte_the_kpis_of_the_converted_ones(tmp_path: Path) -> None:
    converted = tmp_path / "converted"
    converted.mkdir()
    (converted / "products.csv").write_text(
        "product_id,category,name,price\n" + "".join(f"{n},C{n % 7},N,1\n" for n in range(50))
    )
    amounts: defaultdict[int, Decimal] = defaultdict(Decimal)
    for part in range(3):
        lines = [(n % 97, n * 7 % 50, Decimal(n % 991) / 100) for n in range(part, 900, 3)]
        for order, _, price in lines:
            amounts[order] += price
        (converted / f"order_items_{part}.csv").write_text(
            "order_id,product_id,quantity,unit_price\n"
            + "".join(f"{order},{product},1,{price:.2f}\n" for order, product, price in lines)
        )
    (converted / "orders_1.csv").write_text(
        "order_id,user_id,order_date,total_amount,status\n"
        + "".join(
            f"{order},u{order % 11},2025-03-{1 + order % 9:02},{amount:.2f},"
            f"{'returned' if order % 5 == 0 else 'completed'}\n"
            for order, amount in amounts.items()
        )
    )
    folder = native(converted, tmp_path / "native")
    expected = kpis(converted, tmp_path / "one")
    assert kpis(folder, tmp_path / "two", "--mapping", THELOOK) == expected


def test_the_real_native_files_give_the_kpis_of_the_converted_ones(
    real_files: Path, shop: Shop, sail: Transform, tmp_path: Path
) -> None:
    converted = real_files / "lab6" / "incoming"
    folder = native(converted, tmp_path / "native")
    expected = kpis(converted, tmp_path / "one")
    assert len(expected["order_kpis"].splitlines()) > 7
    assert kpis(folder, tmp_path / "two", "--mapping", THELOOK) == expected
    run_batch(shop, sail, folder, "native", mapping=THELOOK.read_text())
    assert published(shop) == computed(tmp_path / "one")
