"""What goes to EMR Serverless really runs: a clean Python and a cluster that is not ours."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from infra import emr_package
from tests import oracle
from tests.conftest import ROOT
from tests.spark_jobs import shop as shops
from tests.spark_jobs.shop import Shop
from tests.spark_jobs.standalone import Cluster

SAMPLE = ROOT / "samples" / "incoming"
# This machine's, as AWS names it.
ARCHITECTURE = "ARM64" if platform.machine() in {"aarch64", "arm64"} else "X86_64"
# The interpreter below the virtual environment: it has none of our dependencies.
CLEAN_PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with shops.aws() as endpoint:
        yield Shop.open(endpoint)


def driver_environment() -> dict[str, str]:
    """What the state machine gives the driver on EMR Serverless."""
    machine = json.loads((ROOT / "statemachine.asl.json").read_text())
    submit = machine["States"]["TransformBigBatch"]["Parameters"]["JobDriver"]["SparkSubmit"]
    settings = re.findall(r"driverEnv\.(\w+)=(\S+)", submit["SparkSubmitParameters"])
    return dict(settings)


def published(shop: Shop) -> oracle.Tables:
    tables = shop.items()
    for item in [*tables["category"], *tables["daily"]]:
        item["order_date"] = date.fromisoformat(item["order_date"])
        item.pop("categories", None)
    by_category = sorted(
        tables["category"], key=lambda item: (item["category"], item["order_date"])
    )
    return oracle.Tables(by_category, tables["daily"])


def test_a_run_submitted_as_the_package_publishes_what_the_oracle_says(
    cluster: Cluster, shop: Shop, tmp_path: Path
) -> None:
    manifest = shop.land(SAMPLE, "big")
    shops.validated(manifest, shop.environment)
    entry_point, packages = tmp_path / "transform.py", tmp_path / "pipeline.zip"
    entry_point.write_bytes(emr_package.ENTRY_POINT.read_bytes())
    emr_package.zip_packages(packages)
    emr_package.install(tmp_path / "dependencies", ARCHITECTURE)
    given = driver_environment()
    assert set(given) >= {name for name in shop.environment if name.endswith("_TABLE")}
    assert given["PYTHONPATH"] == "./dependencies"
    assert given["PYSPARK_PYTHON"].endswith(f"/python{emr_package.PYTHON}")

    job = cluster.submit(
        entry_point,
        *("--engine", "spark", "--manifest", manifest),
        options=("--py-files", packages),
        environment={
            **shop.environment,
            "PYSPARK_PYTHON": CLEAN_PYTHON,
            "PYTHONPATH": "./dependencies",
            "SPARK_STAGING": str(tmp_path / "staging"),
        },
        cwd=tmp_path,
    )
    _, errors = job.communicate(timeout=120)

    assert job.returncode == 0, errors[-3000:]
    assert published(shop) == oracle.from_csv(SAMPLE)


def test_the_same_sources_make_the_same_zip(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        emr_package.zip_packages(tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_the_zip_has_the_suites_and_they_are_read_from_it(tmp_path: Path) -> None:
    emr_package.zip_packages(tmp_path / "pipeline.zip")
    script = (
        "from delivery.rules import SUITES, load_rules;"
        "print(SUITES, len(load_rules(SUITES / 'orders.json')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "pipeline.zip")},
        check=True,
        capture_output=True,
        text=True,
    )
    place, rules = done.stdout.split()
    assert place == f"{tmp_path}/pipeline.zip/delivery/suites/"
    assert int(rules) > 20
