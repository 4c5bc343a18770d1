"""What a run reads and writes of the dashboard, on an embedded S3 and DynamoDB."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from contract.keys import DASHBOARD_KPIS as FIGURES
from contract.keys import DASHBOARD_PAGE as PAGE
from contract.keys import DATA_DOCS_RUNS as RUNS
from contract.keys import RunKeys
from contract.published import PublishedReport
from contract.verdict import Verdict
from dashboard.figures import DayFigures, Figures
from dashboard.publishing import DashboardUpdate, PublishedKpis, publish
from spark_jobs.publish import tables as tables
from spark_jobs.publish.fence import Fence
from spark_jobs.publish.tables import Day, Tables
from tests.dashboard.days import NOW, some_days, stamp, stamped
from tests.dashboard.test_figures import verdict

LEDGER = "ledger/main"
TABLES = Tables(category_kpis="CategoryKPIs", order_kpis="OrderKPIs", runs="PipelineRuns")


def report(version: int, **changes: Any) -> PublishedReport:
    """Return the report of a run that publishes this version after the version before it."""
    made = PublishedReport(
        run_id=f"run-{version}",
        task="process",
        engine="sail",
        ledger=LEDGER,
        ledger_version=version,
        previous_version=version - 1,
        dates=(),
        items=0,
        deleted=0,
        superseded=(),
        new_files=0,
        duplicate_files=(),
        known_from=(),
        new_rows={},
        readmitted_lines=0,
        held_lines=0,
        bytes=0,
        seconds={},
    )
    return replace(made, **changes)


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{host}:{port}",
            region_name="eu-north-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # the embedded AWS takes any
        )

    yield client
    server.stop()


@dataclass
class Shop:
    """Runs publish to it; ``requests`` are those of the last one, reads of tables apart."""

    s3: Any
    dynamodb: Any
    changed: dict[int, list[Day]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    read_dates: list[str] = field(default_factory=list)

    def run(
        self, version: int, days: Sequence[Day], *, previous: int | None = None, **options: Any
    ) -> None:
        """Publish the dashboard as the transformer does; with ``in_tables`` the tables before."""
        self.requests.clear()
        self.read_dates.clear()
        if options.pop("delivered", True):
            self.put_verdict(verdict(f"run-{version}"))
        self.changed[version] = list(days)
        if options.pop("in_tables", False):
            self.to_tables(version, days)
        s3 = options.pop("s3", self.s3)
        if previous is not None:
            options["previous_version"] = previous
        update = DashboardUpdate()
        update.add(days)
        publish(update, report(version, **options), NOW, self.published_kpis(), s3, "shop")

    def to_tables(self, version: int, days: Sequence[Day]) -> None:
        self.changed[version] = list(days)
        fence = Fence(self.dynamodb, TABLES.runs)
        fence.acquire(LEDGER, version)
        condition = fence.condition(LEDGER, version)
        tables.publish(stamped(days, version), self.dynamodb, TABLES, stamp(version), condition)

    def published_kpis(self) -> PublishedKpis:
        def dates(after: int = 0) -> set[date]:
            return {
                date.fromisoformat(day.order_date)
                for version, days in self.changed.items()
                for day in days
                if version > after
            }

        def days(wanted: Sequence[str]) -> Iterator[Day]:
            self.read_dates += wanted
            return tables.stored(wanted, self.dynamodb, TABLES)

        return PublishedKpis(dates=dates, dates_since=dates, days=days)

    def figures(self) -> Figures:
        return Figures.from_bytes(self.s3.get_object(Bucket="shop", Key=FIGURES)["Body"].read())

    def page(self) -> Any:
        return self.s3.get_object(Bucket="shop", Key=PAGE)

    def history(self, *run_ids: str) -> None:
        document = {"older_pages": 0, "runs": [{"run_id": run_id} for run_id in run_ids]}
        self.s3.put_object(Bucket="shop", Key=RUNS, Body=json.dumps(document).encode())

    def put_verdict(self, document: Verdict) -> None:
        key = RunKeys(document.run_id).verdict
        self.s3.put_object(Bucket="shop", Key=key, Body=document.to_json().encode())


@pytest.fixture
def shop(session: Any) -> Iterator[Shop]:
    made = Shop(session("s3"), session("dynamodb"))
    place = {"LocationConstraint": "eu-north-1"}
    made.s3.create_bucket(Bucket="shop", CreateBucketConfiguration=place)
    made.s3.meta.events.register(
        "before-call.s3", lambda model, params, **_: made.requests.append(_request(model, params))
    )
    for table, keys in (
        (TABLES.category_kpis, ("category", "order_date")),
        (TABLES.order_kpis, ("order_date",)),
        (TABLES.runs, ("run_id",)),
    ):
        made.dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": t}
                for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
    yield made
    for table in (TABLES.category_kpis, TABLES.order_kpis, TABLES.runs):
        made.dynamodb.delete_table(TableName=table)
    for page in made.s3.get_paginator("list_objects_v2").paginate(Bucket="shop"):
        for found in page.get("Contents", []):
            made.s3.delete_object(Bucket="shop", Key=found["Key"])
    made.s3.delete_bucket(Bucket="shop")
    made.s3.close()
    made.dynamodb.close()


def _request(model: Any, params: Any) -> str:
    return f"{model.name} {params['url_path'].removeprefix('/shop/').removeprefix('/')}"


def of(days: Sequence[Day]) -> dict[str, DayFigures | None]:
    return {day.order_date: DayFigures.of(day) for day in days}


def logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the dashboard's only log record; the embedded AWS logs its requests, too."""
    [record] = [record for record in caplog.records if record.name == "dashboard.publishing"]
    return record


def test_the_first_run_makes_page_and_figures_of_its_items(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    days = some_days(14, 3)
    with caplog.at_level("INFO", logger="dashboard"):
        shop.run(1, days)
    record = logged(caplog)
    assert (record.levelname, record.getMessage()) == ("INFO", "dashboard updated")
    assert (record.page, record.dates) == ("s3://shop/dashboard/index.html", 14)
    figures = shop.figures()
    assert figures.days == of(days)
    assert (figures.ledger_version, figures.run_id) == (1, "run-1")
    assert [run.run_id for run in figures.runs] == ["run-1"]
    page = shop.page()
    assert page["ContentType"] == "text/html; charset=utf-8"
    assert page["CacheControl"] == "no-cache"
    assert page["Body"].read().startswith(b"<!DOCTYPE html>")


def test_a_run_reads_one_object_and_writes_two_however_many_dates_it_keeps(shop: Shop) -> None:
    days = some_days(60, 3)
    shop.run(1, days[:59])
    shop.run(2, days[59:])
    assert shop.read_dates == []
    assert [request for request in shop.requests if "runs/run-2" not in request] == [
        f"GetObject {FIGURES}",
        f"GetObject {RUNS}",
        f"PutObject {FIGURES}",
        f"PutObject {PAGE}",
    ]
    assert shop.figures().days == of(days)


def test_a_run_replaces_the_dates_that_it_touches(shop: Shop) -> None:
    days, again = some_days(14, 3), some_days(14, 2, version=2)
    shop.run(1, days)
    gone = Day(order_date=days[9].order_date, order_item=None, category_items=[])
    shop.run(2, [*again[2:5], gone])
    expected = of([*days[:2], *again[2:5], *days[5:9], *days[10:]])
    assert shop.figures().days == expected


def test_dates_that_an_earlier_run_could_not_show_are_read_from_the_tables(shop: Shop) -> None:
    days = some_days(20, 3)
    shop.run(1, days[:10])
    shop.to_tables(2, days[10:13])
    shop.run(3, days[12:])
    assert shop.figures().days == of(days)
    assert sorted(shop.read_dates) == [day.order_date for day in days[10:12]]


@pytest.mark.parametrize("damage", [None, b"", b"\x1f\x8bcut off", b"[]"])
def test_figures_that_are_gone_or_damaged_are_computed_from_the_tables(
    damage: bytes | None, shop: Shop
) -> None:
    # More than DynamoDB gives at once.
    days = some_days(8, 15)
    shop.run(1, days[:7], in_tables=True)
    if damage is None:
        shop.s3.delete_object(Bucket="shop", Key=FIGURES)
    else:
        shop.s3.put_object(Bucket="shop", Key=FIGURES, Body=damage)
    shop.run(2, days[7:], in_tables=True)
    assert shop.figures().days == of(days)


def test_a_rebuild_leaves_only_its_own_dates(shop: Shop) -> None:
    days = some_days(14, 3)
    shop.run(1, days)
    shop.run(2, days[:5], ledger="ledger/run-2", task="rebuild")
    figures = shop.figures()
    assert figures.days == of(days[:5])
    assert figures.ledger == "ledger/run-2"
    assert [(run.run_id, run.task) for run in figures.runs] == [
        ("run-1", "process"),
        ("run-2", "rebuild"),
    ]


def test_a_rebuild_that_could_not_show_its_dates_is_read_from_the_tables(shop: Shop) -> None:
    days = some_days(14, 3)
    shop.run(1, days)
    shop.changed.clear()
    shop.to_tables(2, days[:5])
    shop.run(3, days[5:6], ledger="ledger/run-2", in_tables=True)
    assert shop.figures().days == of(days[:6])


def test_a_run_of_an_older_version_leaves_the_page_alone(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    days = some_days(3, 2)
    shop.run(2, days)
    before = shop.page()["ETag"]
    with caplog.at_level("INFO", logger="dashboard"):
        caplog.clear()
        shop.run(1, some_days(3, 1), delivered=False)
    record = logged(caplog)
    assert record.getMessage() == "dashboard not updated: it shows a newer ledger version"
    assert record.ledger_version == 2
    assert shop.page()["ETag"] == before
    assert shop.figures().days == of(days)


class Meanwhile:
    """An S3 client on which another run publishes between a run's reading and its writing."""

    def __init__(self, shop: Shop, days: Sequence[Day]) -> None:
        self._shop, self._days = shop, days

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shop.s3, name)

    def put_object(self, **request: Any) -> Any:
        if self._days:
            days, self._days = self._days, ()
            self._shop.run(2, days)
        return self._shop.s3.put_object(**request)


def test_two_runs_at_the_same_time_lose_nothing(shop: Shop) -> None:
    days = some_days(6, 2)
    shop.run(1, days[:2])
    shop.run(2, days[4:], previous=1, s3=Meanwhile(shop, days[2:4]))
    assert shop.figures().days == of(days)


def test_a_recompute_is_shown_as_a_run_without_a_delivery(shop: Shop) -> None:
    days = some_days(3, 2)
    shop.run(1, days)
    shop.run(2, days[:1], task="recompute", delivered=False)
    last = shop.figures().runs[-1]
    assert (last.run_id, last.task, last.rows, last.dates) == ("run-2", "recompute", None, 1)


def test_a_delivery_that_was_rejected_as_a_whole_is_shown_by_the_next_run(shop: Shop) -> None:
    shop.put_verdict(verdict("run-0", "2026-02-28T12:00:00+00:00"))
    shop.history("long-gone", "run-0", "run-1")
    shop.run(1, some_days(3, 2))
    runs = shop.figures().runs
    assert [(run.run_id, run.dates) for run in runs] == [("run-0", None), ("run-1", 3)]
    assert runs[0].rejected[0]["name"] == "a.csv"


def test_a_page_that_cannot_be_written_is_a_warning_and_no_error(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.s3.delete_bucket(Bucket="shop")
    publish(DashboardUpdate(), report(1), NOW, shop.published_kpis(), shop.s3, "shop")
    shop.s3.create_bucket(
        Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-north-1"}
    )
    record = logged(caplog)
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("dashboard not updated; the next run writes it")
    assert record.error.startswith("NoSuchBucket: ")
