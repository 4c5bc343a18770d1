"""A clean delivery of eleven files, and a way to validate any folder at a fixed time."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import duckdb
import pytest
from botocore.exceptions import EndpointConnectionError

from contract.verdict import Verdict
from delivery.storage import Folder
from expectations import validate
from expectations.known_ids import KnownBefore
from tests.conftest import write_delivery
from tests.spark_jobs.shop import aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "shop"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROWS = 20  # in each file, so that one bad row is 5 %


def clean_files() -> dict[str, list[dict[str, str]]]:
    """Five files of orders, five of their lines, and one of products: nothing is wrong."""
    files: dict[str, list[dict[str, str]]] = {
        "products.csv": [
            {"product_id": f"P{n}", "category": "Books", "name": f"Book {n}", "price": "5.00"}
            for n in range(ROWS)
        ]
    }
    for part in range(5):
        orders = [f"O{part}-{n}" for n in range(ROWS)]
        files[f"orders_{part}.csv"] = [
            {
                "order_id": order,
                "user_id": f"U{part}",
                "order_date": "2026-02-01",
                "total_amount": "10.00",
                "status": "delivered",
            }
            for order in orders
        ]
        files[f"order_items_{part}.csv"] = [
            {"order_id": order, "product_id": f"P{n}", "quantity": "2", "unit_price": "5.00"}
            for n, order in enumerate(orders)
        ]
    return files


@dataclass(frozen=True)
class Outcome:
    """Everything that a run left in its output folder."""

    verdict: Mapping[str, Any]
    root: Path

    def file(self, name: str) -> Mapping[str, Any]:
        [found] = [file for file in self.verdict["files"] if file["name"] == name]
        return found

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the output; ``{root}`` and ``{run}`` are replaced by its folder and the run."""
        with duckdb.connect() as connection:
            return connection.execute(
                sql.format(root=self.root, run=self.verdict["run_id"])
            ).fetchall()

    def quarantined(self) -> set[tuple[str, int, tuple[str, ...]]]:
        if self.verdict["quarantined_rows"] is None:
            return set()
        return {
            (file, line, tuple(reasons))
            for file, line, reasons in self.query(
                "SELECT file, line, reasons FROM '{root}/quarantine/{run}/rows.parquet'"
            )
        }


Validate = Callable[..., Outcome]


@pytest.fixture(scope="session")
def validate_folder(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """Validate a folder as a run of its own, into ``output`` or a new folder."""

    def run(
        folder: Path, *, output: Path | None = None, run_id: str = "run", **kwargs: Any
    ) -> Outcome:
        root = output or tmp_path_factory.mktemp("output")
        known = kwargs.pop("known", None)
        if isinstance(known, Path):
            known = KnownBefore.of_folder(str(known), tmp_path_factory.mktemp("known"))
        suites = kwargs.pop("suites", validate.SUITES)
        verdict = validate.validate(
            validate.Delivery.of_folder(folder, run_id),
            Folder(root),
            work=tmp_path_factory.mktemp("work"),
            known=known,
            settings=validate.Settings(**kwargs),
            now=NOW,
            suites=suites,
        )
        stored = (root / f"runs/{run_id}/verdict.json").read_text()
        assert Verdict.from_json(stored) == verdict
        return Outcome(verdict=json.loads(stored), root=root)

    return run


@pytest.fixture(scope="session")
def clean_run(validate_folder: Validate, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return validate_folder(write_delivery(tmp_path_factory.mktemp("clean"), clean_files()))


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    with aws() as endpoint:
        yield endpoint


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    """A versioned, empty bucket, and the environment of a container that uses it."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-north-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    for _ in range(100):
        try:
            client.create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-north-1"}
            )
            break
        except EndpointConnectionError:
            time.sleep(0.2)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield client
    versions = client.list_object_versions(Bucket=BUCKET)
    for version in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket=BUCKET)
