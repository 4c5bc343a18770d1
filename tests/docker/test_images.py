"""The built images: what is in them, and the pipeline with containers as its tasks."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import ROOT
from tests.docker.conftest import IMAGES, SAIL, SPARK, VALIDATOR, Images, wait_for

# Bytes, uncompressed. Most of Fargate's start is pulling the image.
BUDGET = {VALIDATOR: 480_000_000, SPARK: 760_000_000, SAIL: 710_000_000}
REQUIREMENTS = {
    VALIDATOR: "validator",
    SPARK: "transformer-spark",
    SAIL: "transformer-sail",
}
ENGINES = ["spark", "sail"]
ORDERS = "order_id,user_id,order_date,total_amount,status\n"
ITEMS = "order_id,product_id,quantity,unit_price\n"
# Five orders of two books at 10.00; the last one, of the second day, is returned.
DATES = [("2025-03-01", "delivered")] * 3 + [
    ("2025-03-02", "delivered"),
    ("2025-03-02", "returned"),
]
DELIVERY = {
    **{
        f"orders_{n}.csv": f"{ORDERS}o{n},u{n % 2},{day},20.00,{status}\n"
        for n, (day, status) in enumerate(DATES)
    },
    **{f"order_items_{n}.csv": f"{ITEMS}o{n},p1,2,10.00\n" for n in range(5)},
    "products.csv": "product_id,category,name,price\np1,Books,Dune,10.00\n",
}
ORDER_KPIS = [
    ("2025-03-01", Decimal(3), Decimal("60.00"), Decimal(6), Decimal(0), Decimal(2)),
    ("2025-03-02", Decimal(2), Decimal("40.00"), Decimal(4), Decimal(50), Decimal(2)),
]
ORDER_COLUMNS = (
    "order_date",
    "total_orders",
    "total_revenue",
    "total_items_sold",
    "return_rate",
    "unique_customers",
)

Start = Callable[[str], Any]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_stays_within_its_budget(images: Images, image: str) -> None:
    assert images.inspect(image)["Size"] <= BUDGET[image]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_and_runs_as_a_numbered_user_under_tini(
    images: Images, image: str
) -> None:
    config = images.inspect(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/bin/tini", "-g", "--"]
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in config["Labels"].items()
    }
    assert labels["title"] == image.partition(":")[0]
    assert labels["licenses"] == "MIT"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["version"])
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert labels["base.name"].split("@")[0].endswith("python:3.11-slim-bookworm")


@pytest.mark.parametrize("image", IMAGES)
def test_the_packages_of_an_image_are_those_of_its_lock(images: Images, image: str) -> None:
    installed = images.output(
        image,
        "python",
        "-c",
        "from importlib.metadata import distributions as d\n"
        "print(*(f'{x.name}=={x.version}' for x in d()))",
    )
    lock = (ROOT / "requirements" / f"{REQUIREMENTS[image]}.txt").read_text()
    locked = {
        f"{name}=={version}"
        for name, version, marker in re.findall(r"^(\S+)==(\S+)(?: ; (.*))? \\$", lock, re.M)
        if not re.search(r">= '3\.12'|== 'win32'$", marker)
    }
    assert {re.sub(r"[-_.]+", "-", each.lower().partition("==")[0]) for each in locked} == {
        re.sub(r"[-_.]+", "-", each.lower().partition("==")[0]) for each in installed.split()
    }
    assert {each.partition("==")[2] for each in locked} == {
        each.partition("==")[2] for each in installed.split()
    }


LEFT_OVERS = r"""
set -f
for tool in gcc cc ld as strip make perl apt apt-get dpkg pip curl wget; do
  command -v $tool
done
find / -xdev \( -name pip -o -name setuptools -o -name tests -o -name '*.pyx' -o -name '*.a' \
  -o -name pip.conf -o -path '*/.cache/*' -o -path /var/lib/apt -o -path '/run/secrets' \) \
  -not -path '/proc/*' -not -path '/usr/share/doc/*'
"""


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_that_only_a_build_needs_is_left(images: Images, image: str) -> None:
    found = images.run(image, "bash", "-c", LEFT_OVERS).stdout.split()
    assert found == []


@pytest.mark.parametrize("image", IMAGES)
def test_how_the_builder_reached_its_package_index_is_nowhere_in_an_image(
    images: Images, image: str
) -> None:
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    addresses = [
        value
        for name, value in re.findall(r"^\S+?\.([a-z-]+)='(.*)'$", configured, re.M)
        if name in {"index-url", "extra-index-url", "find-links", "proxy", "trusted-host"}
        for value in value.split()
    ]
    # Without any, the search below must still be one that finds: each image names Debian.
    assert images.run(image, "grep", "-rlF", "debian.org", "/etc").stdout != ""
    for address in addresses:
        hits = images.run(
            image, "grep", "-rlIF", "-e", address, "/app", "/etc", "/home", "/opt", "/root", "/usr"
        ).stdout
        assert hits == "", f"{address} is in {image}"
    assert not [a for a in addresses if a in json.dumps(images.inspect(image))]

    # Certificates of Debian's own package, and no others.
    trusted = images.output(
        image,
        "sh",
        "-c",
        "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt;"
        " find /usr/share/ca-certificates -name '*.crt' | wc -l",
    ).split()
    assert trusted[0] == trusted[1] != "0"


def test_the_image_for_sail_has_no_java(images: Images) -> None:
    search = "command -v java; find / -xdev -name '*.jar' -o -xdev -name 'libjvm.so'"
    assert images.run(SAIL, "sh", "-c", search).stdout == ""
    assert "libjvm.so" in images.run(SPARK, "sh", "-c", search).stdout


@pytest.mark.parametrize("image", IMAGES)
def test_only_the_scratch_volume_can_be_written_and_no_capability_is_left(
    images: Images, image: str
) -> None:
    tried = images.output(
        image,
        "sh",
        "-c",
        "grep CapEff /proc/self/status; id -u; for folder in / /app /opt/pipeline /tmp /var/tmp"
        ' /scratch "$TMPDIR"; do (touch $folder/x) 2>/dev/null && echo $folder; done; true',
    )
    assert tried.split() == ["CapEff:", "0000000000000000", "10001", "/scratch", "/scratch"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_without_a_command_tells_its_usage(images: Images, image: str) -> None:
    said = images.run(image)
    assert said.returncode == 0
    assert said.stdout.startswith("usage: ")


@pytest.mark.parametrize("image", IMAGES)
def test_an_sbom_lists_the_packages_of_an_image(images: Images, image: str) -> None:
    name = image.partition(":")[0]
    document = json.loads((ROOT / "build" / "sbom" / f"{name}.spdx.json").read_text())
    found = {package["name"] for package in document["packages"]}
    lock = (ROOT / "requirements" / f"{REQUIREMENTS[image]}.txt").read_text()
    assert {"boto3", "duckdb", "libc6", "tzdata"} <= found
    assert ("py4j" in found) == ("py4j" in lock)
    assert ("spark-core_2.13" in found) == (image == SPARK)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_delivery_becomes_kpis_and_survives_sigterm_in_the_middle_of_each_task(
    pipeline: Start, engine: str
) -> None:
    with pipeline(engine) as aws:
        aws.deliver(DELIVERY)
        for image in (VALIDATOR, f"ecommerce-transformer-{engine}:local"):
            wait_for(lambda image=image: aws.running(image) != [], 120)
            [name] = aws.running(image)
            time.sleep(1.0)  # imports are done or under way: Python and the JVM are busy
            began = time.monotonic()
            aws.terminate(name)
            wait_for(lambda name=name, image=image: name not in aws.running(image), 20)
            # ECS would send SIGKILL after 30 s; a quiet machine needs under a second.
            assert time.monotonic() - began < 10
        run = aws.run_ended(within=300)

        assert run.status == "SUCCEEDED"
        assert sorted(aws.exit_codes("validator")) == [0, 143]
        assert sorted(aws.exit_codes("transformer")) == [0, 143]
        assert aws.kpis("OrderKPIs", *ORDER_COLUMNS) == ORDER_KPIS
        assert aws.kpis("CategoryKPIs", "order_date", "category", "daily_revenue") == [
            ("2025-03-01", "Books", Decimal("60.00")),
            ("2025-03-02", "Books", Decimal("40.00")),
        ]
        moved = [key for key in aws.shop.keys("processed/") if key.endswith(".csv")]
        assert len(moved) == len(DELIVERY)
        assert aws.shop.waiting() == 0


def test_a_task_without_enough_memory_is_retried_then_reported_and_a_replay_succeeds(
    pipeline: Start,
) -> None:
    with pipeline("sail") as aws:
        aws.give_memory("transformer", 48)
        aws.deliver(DELIVERY)
        failed = aws.run_ended(within=300)
        assert failed.status == "FAILED"
        # The kernel's SIGKILL; three retries.
        assert aws.exit_codes("transformer") == [137] * 4
        assert aws.exit_codes("validator") == [0]
        assert aws.kpis("OrderKPIs", "order_date") == []
        assert any(failed.run_id in sent.message for sent in aws.shop.messages())

        aws.give_memory("transformer", 4096)
        aws.replay(failed.run_id)
        wait_for(lambda: len(aws.shop.runs()) == 2, 30)
        assert aws.run_ended(within=300).status == "SUCCEEDED"
        assert aws.kpis("OrderKPIs", *ORDER_COLUMNS) == ORDER_KPIS


def test_a_delivery_of_bad_files_ends_with_a_verdict_and_without_a_retry(pipeline: Start) -> None:
    headless = {name: text.partition("\n")[2] for name, text in DELIVERY.items()}
    with pipeline("sail") as aws:
        aws.deliver(headless)
        run = aws.run_ended(within=120)
        assert run.status == "FAILED"
        assert aws.exit_codes("validator") == [0]
        assert aws.exit_codes("transformer") == []
        assert aws.shop.verdict(run.run_id).totals.rejected_files == len(headless)
        assert "AllFilesRejected" in aws.shop.messages()[0].subject
        assert aws.shop.waiting() == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_real_files_give_the_kpis_of_the_oracle(
    pipeline: Start, engine: str, real_files: Path
) -> None:
    lab = real_files / "lab6"
    with pipeline(engine) as aws:
        aws.shop.uploads(
            [(path.name, path.read_bytes()) for path in sorted((lab / "incoming").glob("*.csv"))]
        )
        assert aws.run_ended(within=300).status == "SUCCEEDED"
        names = ("order_date", "total_orders", "total_revenue", "total_items_sold")
        assert aws.kpis("OrderKPIs", *names, "returned_orders", "unique_customers") == oracle(
            lab / "oracle/order_kpis.csv",
            "order_date::VARCHAR, total_orders, total_revenue_orders, total_items_sold,"
            " returned_orders, unique_customers",
        )
        names = ("category", "order_date", "daily_revenue", "order_count", "returned_orders")
        assert aws.kpis("CategoryKPIs", *names) == oracle(
            lab / "oracle/category_kpis.csv",
            "category, order_date::VARCHAR, daily_revenue, order_count, returned_order_count",
        )


def oracle(path: Path, columns: str) -> list[tuple[str | Decimal, ...]]:
    """Return the oracle's rows with every number as a Decimal."""
    rows = duckdb.sql(f"SELECT {columns} FROM read_csv('{path}', all_varchar = true)").fetchall()
    return sorted(
        tuple(v if re.search("[^0-9.]", v) or "-" in v else Decimal(v) for v in row) for row in rows
    )
