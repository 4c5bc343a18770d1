"""The tables behind the ledger: earlier versions, what is deleted, columns, S3."""

import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError

import spark_jobs.ledger.delta_tables
from delivery.storage import Bucket, Folder
from spark_jobs.errors import LedgerConflictError, LedgerError
from spark_jobs.ledger.duckdb_tables import load
from spark_jobs.ledger.ledger import Changes, Ledger
from spark_jobs.ledger.merge import merge
from spark_jobs.ledger.snapshot import CommitSummary, Snapshot
from spark_jobs.ledger.tables import SCHEMAS, TABLES
from tests import oracle

from .ledgers import NOON, Died, before_write, deliver, delivery, die, kpis
from .shop import CREDENTIALS, aws
from .test_ledger import PRODUCTS, order, version
from .test_ledger_writers import FIRST, OTHER_DATES, SAME_DATES, SECOND

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NO_TIME = timedelta(0)


@pytest.fixture
def always_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are compacted, checkpointed and tidied at every version, and nothing is kept."""
    monkeypatch.setattr(spark_jobs.ledger.delta_tables, "_COMPACT_AT", 1)
    monkeypatch.setattr(spark_jobs.ledger.delta_tables, "RETENTION", NO_TIME)


def parquet(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


def present(snapshot: Snapshot) -> set[Path]:
    return {path for t in TABLES for path in snapshot.fetch(t, snapshot.files(t))}


def test_every_earlier_version_can_be_read_until_it_is_tidied_away(tmp_path: Path):
    ledger = Ledger(Folder(tmp_path / "ledger"))
    deliver(ledger, FIRST, tmp_path / "1", "1")
    deliver(ledger, SECOND, tmp_path / "2", "2")
    deliver(ledger, OTHER_DATES, tmp_path / "3", "3")
    ledger.tidy()
    assert kpis(ledger.at(1)) == oracle.from_versions(FIRST)
    assert kpis(ledger.at(2)) == oracle.from_versions([*FIRST, *SECOND])
    assert kpis(ledger.at(3)) == kpis(ledger.head())
    assert ledger.dates_since(2) == {date(2026, 2, 27)}
    assert ledger.dates_since(3) == frozenset()


def test_a_version_that_never_was_is_named_with_those_that_are_there(tmp_path: Path):
    ledger = Ledger(Folder(tmp_path / "ledger"), first_version=7)
    with pytest.raises(LedgerError, match="version 7: no such version; there are none yet"):
        ledger.at(7)
    deliver(ledger, FIRST, tmp_path / "1", "1")
    deliver(ledger, SECOND, tmp_path / "2", "2")
    with pytest.raises(LedgerError, match="version 9: no such version; there are 7 to 8"):
        ledger.at(9)


@pytest.mark.usefixtures("always_tidied")
def test_what_no_kept_version_needs_is_deleted_and_the_head_stays(tmp_path: Path):
    ledger = Ledger(Folder(tmp_path / "ledger"))
    landed = [*FIRST]
    deliver(ledger, FIRST, tmp_path / "first", "first")
    for number, day in enumerate(["2026-02-03", "2026-02-04", "2026-02-03"], start=2):
        again = version(f"orders_{number}.csv", [order("1", day)], hours=number)
        landed.append(again)
        deliver(ledger, [again], tmp_path / str(number), str(number))
        ledger.tidy(retention=NO_TIME)
    head = ledger.head()
    assert kpis(head) == oracle.from_versions(landed)
    commits = {path for path in parquet(tmp_path / "ledger") if "commits" in path.parts}
    assert parquet(tmp_path / "ledger") - commits == present(head)
    assert len(commits) == 2
    with pytest.raises(LedgerError, match=r"ledger version 1: .* has been deleted"):
        kpis(ledger.at(1))


@pytest.mark.usefixtures("always_tidied")
def test_what_the_head_needs_is_kept_after_runs_that_died_and_after_each_vacuum(
    tmp_path: Path,
):
    ledger = Ledger(Folder(tmp_path / "ledger"))
    deliver(ledger, FIRST, tmp_path / "first", "first")
    for attempt in range(2):
        for write in range(1, 6):
            with before_write(write, die), pytest.raises(Died):
                deliver(ledger, SECOND, tmp_path / f"{attempt} {write}", "run")
            ledger.tidy(retention=NO_TIME)
            assert kpis(ledger.head()) == oracle.from_versions(FIRST)
    deliver(ledger, SECOND, tmp_path / "again", "run")
    assert kpis(ledger.head()) == oracle.from_versions([*FIRST, *SECOND])


def test_a_table_gains_a_column_and_older_rows_have_none_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ledger = Ledger(Folder(tmp_path / "ledger"))
    price = SCHEMAS["products"].get_field_index("price")
    with monkeypatch.context() as patch:
        patch.setitem(SCHEMAS, "products", SCHEMAS["products"].remove(price))
        old = pa.table({"product_id": ["p0"], "category": ["Art"], "name": ["n"], "file": ["f"]})
        pq.write_table(old.append_column("line", pa.array([2])), tmp_path / "old.parquet")
        changes = Changes(
            rewritten=frozenset(),
            dates=frozenset(),
            summary=CommitSummary(),
            tables={"products": tmp_path / "old.parquet"},
        )
        ledger.commit(ledger.head(), changes, run_id="older", now=NOON)
    deliver(ledger, [version("products.csv", PRODUCTS[:1])], tmp_path / "1", "newer")
    assert prices(ledger.head()) == {"p0": None, "p1": Decimal("1.00")}
    assert prices(ledger.at(1)) == {"p0": None}


def prices(snapshot: Snapshot) -> dict[str, Decimal | None]:
    paths = [str(path) for path in snapshot.fetch("products", snapshot.files("products"))]
    with duckdb.connect() as connection:
        load(connection, "products", "products", paths)
        return dict(connection.execute("SELECT product_id, price FROM products").fetchall())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.append(pa.field("channel", pa.string())),
            "ledger table orders: column channel is string there and no such column here",
        ),
        (
            lambda s: s.set(0, pa.field("order_id", pa.int64())),
            "ledger table orders: column order_id is int64 there and string here",
        ),
    ],
    ids=["a column that is not known here", "a column of another type"],
)
def test_a_ledger_of_another_shape_is_refused_before_anything_is_read_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, message: str
):
    ledger = Ledger(Folder(tmp_path / "ledger"))
    with monkeypatch.context() as patch:
        patch.setitem(SCHEMAS, "orders", change(SCHEMAS["orders"]))
        deliver(ledger, FIRST, tmp_path / "1", "1")
    files = delivery(SECOND, tmp_path / "2")
    with before_write(0, die), pytest.raises(LedgerError, match=message) as caught:
        merge(ledger.head(), files, tmp_path / "2")
    assert 'run the version that wrote it, or start a run with {"rebuild": true}' in str(
        caught.value
    )
    with pytest.raises(LedgerError, match=message):
        kpis(ledger.head())


BUCKET = "ledgers"


@pytest.fixture(scope="module")
def s3() -> Iterator["S3Client"]:
    """A bucket in another process: in one process, delta-rs and moto block each other."""
    with pytest.MonkeyPatch.context() as patch, aws() as endpoint:
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        for name, value in environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        for _ in range(100):
            try:
                client.create_bucket(
                    Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-north-1"}
                )
                break
            except EndpointConnectionError:
                time.sleep(0.2)
        yield client
        client.close()


def in_bucket(s3: "S3Client", prefix: str, scratch: Path) -> Ledger:
    return Ledger(Bucket(s3, BUCKET, prefix, scratch))


def test_a_ledger_in_s3_is_read_by_others_and_fetches_each_file_once(
    s3: "S3Client", tmp_path: Path
):
    writer = in_bucket(s3, "ledger/1", tmp_path / "writer")
    assert writer.head().version == 0
    deliver(writer, FIRST, tmp_path / "1", "1")
    deliver(writer, SECOND, tmp_path / "2", "2")
    reader = in_bucket(s3, "ledger/1", tmp_path / "reader")
    assert kpis(reader.head()) == oracle.from_versions([*FIRST, *SECOND])
    assert kpis(reader.at(1)) == oracle.from_versions(FIRST)
    fetched = {path: path.stat().st_mtime_ns for path in parquet(tmp_path / "reader")}
    assert kpis(reader.head()) == oracle.from_versions([*FIRST, *SECOND])
    assert {path: path.stat().st_mtime_ns for path in parquet(tmp_path / "reader")} == fetched


def test_a_run_to_s3_that_died_is_simply_done_again(s3: "S3Client", tmp_path: Path):
    ledger = in_bucket(s3, "died", tmp_path / "scratch")
    deliver(ledger, FIRST, tmp_path / "1", "1")
    with before_write(3, die), pytest.raises(Died):
        deliver(ledger, SECOND, tmp_path / "2", "2")
    assert kpis(ledger.head()) == oracle.from_versions(FIRST)
    deliver(ledger, SECOND, tmp_path / "again", "2")
    assert kpis(ledger.head()) == oracle.from_versions([*FIRST, *SECOND])


# A new ledger's first table, the lines' rows, and the commit: S3 takes each of them only once.
@pytest.mark.parametrize("write", [1, 6, 9])
def test_of_two_runs_that_write_to_s3_at_once_one_must_merge_again(
    s3: "S3Client", tmp_path: Path, write: int
):
    ledger = in_bucket(s3, f"both/{write}", tmp_path / "scratch")

    def other_run() -> None:
        deliver(ledger, SAME_DATES, tmp_path / "2", "2")

    with (
        before_write(write, other_run),
        pytest.raises(LedgerConflictError, match="another run"),
    ):
        deliver(ledger, FIRST, tmp_path / "1", "1")
    deliver(ledger, FIRST, tmp_path / "again", "1")
    assert kpis(ledger.head()) == oracle.from_versions([*FIRST, *SAME_DATES])


@pytest.mark.usefixtures("always_tidied")
def test_a_ledger_in_s3_is_tidied(s3: "S3Client", tmp_path: Path):
    ledger = in_bucket(s3, "tidied", tmp_path / "scratch")
    deliver(ledger, FIRST, tmp_path / "1", "1")
    deliver(ledger, SECOND, tmp_path / "2", "2")
    assert ledger.tidy(retention=NO_TIME) > 0
    reader = in_bucket(s3, "tidied", tmp_path / "reader")
    assert kpis(reader.head()) == oracle.from_versions([*FIRST, *SECOND])
    with pytest.raises(LedgerError, match=r"ledger version 1: .* has been deleted"):
        kpis(reader.at(1))
