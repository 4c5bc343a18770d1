"""The REST API over HTTP, on tables that are filled by hand."""

import csv
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest

from chalice_app.chalicelib.api.routes import replay_id
from chalice_app.chalicelib.aws.run_table import RunTable
from contract.spreadsheet import as_text
from localcloud.api import LocalApi
from localcloud.cloud import LocalCloud
from localcloud.provision import create_kpi_tables
from tests.chalice_app.conftest import Pipeline, new_pipeline

APP = Path(__file__).parents[3] / "chalice_app"
FIRST = date(2025, 1, 1)
DAYS = 120
# Closed on Sundays: these dates have no orders.
OPEN = [day for n in range(DAYS) if (day := FIRST + timedelta(days=n)).weekday() != 6]
ODD_NAMES = ["=1+1", "50% off", "A+B", "Home & Garden", "Käse", "Toys/Games", "what?#1"]
# More digits than a binary float has.
LARGEST = Decimal("12345678901234567890123456.78")
STAMP = {"run_id": "run-1", "ledger_version": 7, "computed_at": "2025-05-01T06:00:00+00:00"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> dict:
        return json.loads(self.body)

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.body, newline="")))


@dataclass(frozen=True)
class Shop:
    url: str
    pipeline: Pipeline
    now: datetime

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, method=method, headers=named)  # noqa: S310 - http
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - http
                return Reply(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.status, dict(error.headers), error.read().decode())

    def pages(self, path: str, **headers: str) -> list[Reply]:
        found = [self.ask(path, **headers)]
        while link := found[-1].headers.get("Link"):
            assert link.startswith("<?")
            assert link.endswith('>; rel="next"')
            found.append(self.ask(path.partition("?")[0] + link[1:-13], **headers))
        return found


def daily_item(day: date) -> dict:
    number = day.toordinal() - FIRST.toordinal()
    revenue = LARGEST if day == FIRST else Decimal(number) / 10
    return {
        "order_date": str(day),
        "total_orders": number + 1,
        "total_revenue": revenue,
        "total_items_sold": 3 * number,
        "return_rate": Decimal("33.33"),
        "unique_customers": number,
        "order_count": number + 1,
        "returned_orders": 1,
        "net_revenue": Decimal(60),
        "categories": {"Books"} if number % 2 else {"Books", *ODD_NAMES},
        **STAMP,
    }


def category_item(name: str, day: date) -> dict:
    return {
        "category": name,
        "order_date": str(day),
        "daily_revenue": Decimal("10.1"),
        "avg_order_value": Decimal("3.37"),
        "avg_return_rate": Decimal(0),
        "order_count": 3,
        "returned_orders": 0,
        "net_revenue": Decimal("10.1"),
        **STAMP,
    }


def run_item(run_id: str, started_at: datetime, **fields: object) -> dict:
    return {
        "run_id": run_id,
        "month": f"{started_at:%Y-%m}",
        "state": "SUCCEEDED",
        "started_at": started_at.isoformat(timespec="milliseconds"),
        "files": 11,
        "rows": {"accepted": 90, "quarantined": 8, "held": 2},
        "seconds_by_state": {"ValidateFiles": Decimal("12.5")},
        "estimated_cost": Decimal("0.001234"),
        **fields,
    }


@pytest.fixture(scope="module")
def shop(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    session = cloud.session()
    names = {"category_kpis_table": "ApiCategoryKPIs", "order_kpis_table": "ApiOrderKPIs"}
    pipeline = new_pipeline(session, **names)
    settings = pipeline.settings
    create_kpi_tables(
        pipeline.dynamodb,
        category_kpis=settings.category_kpis_table,
        order_kpis=settings.order_kpis_table,
    )
    tables = session.resource("dynamodb")
    with tables.Table(settings.order_kpis_table).batch_writer() as table:
        for day in OPEN:
            table.put_item(daily_item(day))
    with tables.Table(settings.category_kpis_table).batch_writer() as table:
        for day in OPEN:
            for name in daily_item(day)["categories"]:
                table.put_item(category_item(name, day))
    records, now = RunTable(pipeline.dynamodb, settings.runs_table), datetime.now(UTC)
    for number in range(7):
        # One every twenty days: several months, none of them the thirteenth.
        at = now - timedelta(days=20 * number)
        records.write(run_item(f"run-{number}", at), final=True)
    records.write(run_item("running", now - timedelta(hours=1), state="RUNNING"), final=True)
    environment = {
        **cloud.environment,
        "S3_BUCKET": settings.bucket,
        "STEP_FUNCTION_ARN": settings.state_machine_arn,
        "RUNS_TABLE": settings.runs_table,
        "CATEGORY_KPIS_TABLE": settings.category_kpis_table,
        "ORDER_KPIS_TABLE": settings.order_kpis_table,
    }
    log_file = tmp_path_factory.mktemp("api") / "api.log"
    with LocalApi.start(APP, environment=environment, log_file=log_file) as api:
        yield Shop(api.url, pipeline, now)


def test_daily_kpis_are_exact_in_json_and_without_dates_that_have_no_orders(shop) -> None:
    reply = shop.ask("/kpis/daily?from=2025-01-01&to=2025-01-06")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    document = reply.json()
    assert (document["from"], document["to"], document["next"]) == (
        "2025-01-01",
        "2025-01-06",
        None,
    )
    dates = [item["order_date"] for item in document["items"]]
    assert dates == ["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04", "2025-01-06"]
    assert document["items"][0] == {
        "order_date": "2025-01-01",
        "total_orders": 1,
        "total_revenue": "12345678901234567890123456.78",
        "total_items_sold": 0,
        "return_rate": "33.33",
        "unique_customers": 0,
        "order_count": 1,
        "returned_orders": 1,
        "net_revenue": "60.00",
        **STAMP,
    }
    assert document["items"][1]["total_revenue"] == "0.10"


def test_csv_has_the_same_numbers(shop) -> None:
    path = "/kpis/daily?from=2025-01-01&to=2025-04-30"
    reply = shop.ask(path, Accept="text/csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert reply.body.startswith("order_date,total_orders,total_revenue,")
    assert reply.body.endswith("\r\n")
    document = shop.ask(path).json()
    assert reply.rows() == [
        {name: str(value) for name, value in item.items()} for item in document["items"]
    ]


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/html, text/csv;q=0.9, */*;q=0.1", "text/csv"),
        ("application/json;q=0.5, text/csv;q=0.6", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("TEXT/CSV", "text/csv"),
    ],
)
def test_accept_decides_between_json_and_csv(shop, accept: str, answered: str) -> None:
    reply = shop.ask("/kpis/daily?to=2025-01-02", Accept=accept)
    assert reply.headers["Content-Type"].partition(";")[0] == answered
    assert reply.headers["Vary"] == "Accept"


def test_without_dates_a_period_has_thirty_days_and_ends_today(shop) -> None:
    today = datetime.now(UTC).date()
    document = shop.ask("/kpis/daily").json()
    # Midnight may pass in between.
    assert date.fromisoformat(document["to"]) - today in {timedelta(0), timedelta(days=1)}
    document = shop.ask("/kpis/daily?to=2025-01-30").json()
    assert (document["from"], document["to"]) == ("2025-01-01", "2025-01-30")
    assert shop.ask("/kpis/daily?to=0001-01-03").json()["from"] == "0001-01-01"


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_of_daily_kpis_are_the_whole_period_and_none_of_them_is_empty(
    shop, limit: int
) -> None:
    period = "from=2025-01-01&to=2025-01-31" if limit == 1 else "from=2025-01-01&to=2025-06-30"
    pages = [reply.json() for reply in shop.pages(f"/kpis/daily?{period}&limit={limit}")]
    assert all(len(page["items"]) == limit for page in pages[:-1])
    assert pages[-1]["items"]
    dates = [item["order_date"] for page in pages for item in page["items"]]
    assert dates == [str(day) for day in OPEN if limit > 1 or day <= date(2025, 1, 31)]
    assert {(page["from"], page["to"]) for page in pages} == {
        ("2025-01-01", "2025-01-31" if limit == 1 else "2025-06-30")
    }


def test_categories_of_a_period_come_with_their_dates_and_addresses(shop) -> None:
    document = shop.ask("/kpis/categories?from=2025-01-01&to=2025-01-04").json()
    assert [item["category"] for item in document["items"]] == sorted(["Books", *ODD_NAMES])
    assert document["items"][2] == {
        "category": "A+B",
        "days": 2,
        "first_date": "2025-01-01",
        "last_date": "2025-01-03",
        "kpis": "/kpis/categories/A%2BB",
    }
    [books] = [item for item in document["items"] if item["category"] == "Books"]
    assert (books["days"], books["last_date"]) == (4, "2025-01-04")
    pages = shop.pages("/kpis/categories?from=2025-01-01&to=2025-01-04&limit=3")
    paged = [item for page in pages for item in page.json()["items"]]
    assert (len(pages), paged) == (3, document["items"])
    rows = shop.ask("/kpis/categories?to=2025-01-04", Accept="text/csv").rows()
    assert [row["category"] for row in rows] == [
        as_text(name) for name in sorted(["Books", *ODD_NAMES])
    ]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_category_is_found_under_its_encoded_name(shop, name: str) -> None:
    path = f"/kpis/categories/{quote(name, safe='')}?from=2025-01-01&to=2025-01-03"
    items = shop.ask(path).json()["items"]
    assert [(item["category"], item["order_date"]) for item in items] == [
        (name, "2025-01-01"),
        (name, "2025-01-03"),
    ]
    assert items[0]["daily_revenue"] == "10.10"
    assert items[0]["avg_return_rate"] == "0.00"
    assert shop.ask(path, Accept="text/csv").rows()[1]["category"] == as_text(name)


def test_pages_of_a_category_are_the_whole_period(shop) -> None:
    pages = shop.pages("/kpis/categories/Books?from=2025-01-05&to=2025-04-30&limit=40")
    dates = [item["order_date"] for page in pages for item in page.json()["items"]]
    assert dates == [str(day) for day in OPEN if day >= date(2025, 1, 5)]
    assert len(pages) == 3
    csv_pages = shop.pages(
        "/kpis/categories/Books?from=2025-01-05&to=2025-04-30&limit=40", Accept="text/csv"
    )
    assert [row["order_date"] for page in csv_pages for row in page.rows()] == dates


def test_a_category_that_sold_nothing_in_a_period_is_known_all_the_same(shop) -> None:
    reply = shop.ask("/kpis/categories/Books?from=2024-01-01&to=2024-12-31")
    assert (reply.status, reply.json()["items"]) == (200, [])


def test_runs_come_newest_first_over_months_and_pages(shop) -> None:
    document = shop.ask("/runs").json()
    listed = [run["run_id"] for run in document["items"]]
    assert listed == ["run-0", "running", *(f"run-{number}" for number in range(1, 7))]
    assert document["items"][0]["rows"] == {"accepted": 90, "quarantined": 8, "held": 2}
    assert document["items"][0]["estimated_cost"] == "0.001234"
    pages = shop.pages("/runs?limit=3")
    assert [len(page.json()["items"]) for page in pages] == [3, 3, 2]
    assert [run["run_id"] for page in pages for run in page.json()["items"]] == listed
    row = shop.ask("/runs?limit=1", Accept="text/csv").rows()[0]
    assert (row["run_id"], row["files"], row["quarantined_rows"]) == ("run-0", "11", "8")


def test_a_run_has_all_that_its_record_has(shop) -> None:
    run = shop.ask("/runs/run-3").json()
    assert run["state"] == "SUCCEEDED"
    assert run["files"] == 11
    assert run["seconds_by_state"] == {"ValidateFiles": "12.50"}
    assert "month" not in run


def test_a_replay_is_a_new_run_that_can_be_looked_at_at_once(shop) -> None:
    before = datetime.now(UTC)
    reply = shop.ask("/runs/run-2/replay", "POST")
    again = shop.ask("/runs/run-2/replay", "POST", Content_Type="text/plain")
    document = reply.json()
    assert reply.status == again.status == 202
    assert document["replay_of"] == "run-2"
    assert document["run_id"] in {
        replay_id("run-2", before),
        replay_id("run-2", datetime.now(UTC)),
    }
    assert reply.headers["Location"] == f"/runs/{document['run_id']}"
    executions = shop.pipeline.executions()
    assert executions.count(document["run_id"]) == 1
    arn = shop.pipeline.settings.execution_arn(document["run_id"])
    started = shop.pipeline.sfn.describe_execution(executionArn=arn)
    assert json.loads(started["input"]) == {"replay_of": "run-2"}
    # It waits for its turn and has no record yet.
    waiting = shop.ask(reply.headers["Location"]).json()
    assert (waiting["run_id"], waiting["state"]) == (document["run_id"], "RUNNING")


def test_replays_within_a_minute_are_one_and_of_different_runs_two() -> None:
    at = datetime(2025, 3, 1, 8, 15, 10, tzinfo=UTC)
    assert replay_id("run-2", at) == "20250301T0815Z-replay-b9d17232a4c8"
    assert replay_id("run-2", at + timedelta(seconds=49)) == replay_id("run-2", at)
    assert replay_id("run-2", at + timedelta(seconds=50)) != replay_id("run-2", at)
    assert replay_id("run-3", at) != replay_id("run-2", at)


def test_health_reads_the_tables_and_names_the_latest_run(shop) -> None:
    reply = shop.ask("/health")
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json()["status"] == "ok"
    assert reply.json()["latest_run"] == {
        "run_id": "run-0",
        "state": "SUCCEEDED",
        "started_at": shop.now.isoformat(timespec="milliseconds"),
    }


@pytest.mark.parametrize("path", ["/kpis/daily?to=2025-01-31", "/runs", "/runs/run-1"])
def test_what_has_not_changed_is_not_sent_again(shop, path: str) -> None:
    first = shop.ask(path)
    tag = first.headers["ETag"]
    for known in (tag, f'W/{tag}, "x"', "*"):
        reply = shop.ask(path, If_None_Match=known)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, "", tag)
        assert reply.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert shop.ask(path, If_None_Match='"another"').status == 200


def test_json_and_csv_have_different_tags(shop) -> None:
    path = "/kpis/daily?to=2025-01-31"
    assert shop.ask(path).headers["ETag"] != shop.ask(path, Accept="text/csv").headers["ETag"]


def token_of(shop: Shop, path: str) -> str:
    return shop.ask(path).json()["next"]


@pytest.mark.parametrize(
    ("path", "status", "kind", "detail"),
    [
        (
            "/kpis/daily?from=2025-03-31&to=2025-03-01",
            400,
            "bad-period",
            "from 2025-03-31 is later than to 2025-03-01: swap them, from=2025-03-01&to=2025-03-31",
        ),
        (
            "/kpis/daily?from=2025-02-30",
            400,
            "bad-period",
            "from is '2025-02-30': give a date of the calendar, such as from=2025-03-01",
        ),
        (
            "/kpis/categories?to=20250301",
            400,
            "bad-period",
            "to is '20250301': give a date of the calendar, such as to=2025-03-01",
        ),
        (
            "/kpis/categories/Books?from=2000-01-01&to=2025-01-01",
            400,
            "bad-period",
            "from 2000-01-01 to 2025-01-01 are 9,133 days and 1,100 is the most: "
            "request several shorter periods",
        ),
        (
            "/kpis/daily?form=2025-03-01",
            400,
            "bad-parameter",
            "form is not a parameter: there are from, to, limit, next",
        ),
        ("/health?deep=1", 400, "bad-parameter", "deep is not a parameter: there are none here"),
        (
            "/kpis/daily?from=2025-03-01&from=2025-03-02",
            400,
            "bad-parameter",
            "from is given 2 times: give it once",
        ),
        (
            "/runs?limit=0",
            400,
            "bad-parameter",
            "limit is '0': give a whole number from 1 to 366",
        ),
        (
            "/runs?limit=ten",
            400,
            "bad-parameter",
            "limit is 'ten': give a whole number from 1 to 366",
        ),
        (
            "/kpis/daily?next=abc",
            400,
            "bad-token",
            "next is not a token: copy it from the response before, or leave it out for the "
            "first page",
        ),
        (
            "/kpis/categories/books",
            404,
            "unknown-category",
            "there is no category 'books': GET /kpis/categories lists those of a period",
        ),
        (
            "/kpis/categories/boks?to=2025-01-31",
            404,
            "unknown-category",
            "there is no category 'boks': did you mean Books?",
        ),
        (
            "/runs/no-such-run",
            404,
            "unknown-run",
            "there is no run 'no-such-run': GET /runs lists the runs of the last twelve months, "
            "newest first",
        ),
        (
            "/runs/ledger",
            404,
            "unknown-run",
            "there is no run 'ledger': GET /runs lists the runs of the last twelve months, "
            "newest first",
        ),
    ],
)
def test_what_is_typed_wrong_is_answered_with_what_to_type_instead(
    shop, path: str, status: int, kind: str, detail: str
) -> None:
    reply = shop.ask(path)
    assert (reply.status, reply.json()["detail"]) == (status, detail)
    assert reply.json()["type"] == f"urn:shop-kpi-pipeline:problem:{kind}"
    assert reply.json()["status"] == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_token_of_another_list_is_refused(shop) -> None:
    token = token_of(shop, "/kpis/daily?from=2025-01-01&to=2025-01-31&limit=2")
    for path in (
        f"/kpis/daily?from=2025-01-01&to=2025-01-30&next={token}",
        f"/kpis/categories/Books?from=2025-01-01&to=2025-01-31&next={token}",
        f"/runs?next={token}",
    ):
        assert shop.ask(path).json()["type"] == "urn:shop-kpi-pipeline:problem:bad-token"


def test_a_format_that_there_is_not_is_refused_with_those_there_are(shop) -> None:
    reply = shop.ask("/kpis/daily", Accept="application/xml")
    assert reply.status == 406
    assert reply.json()["detail"] == (
        "Accept is 'application/xml' and there is application/json and text/csv here: "
        "send Accept: application/json"
    )
    assert shop.ask("/runs/run-1", Accept="text/csv").status == 406


def test_a_running_run_and_an_unknown_one_are_not_replayed(shop) -> None:
    running = shop.ask("/runs/running/replay", "POST")
    assert (running.status, running.json()["detail"]) == (
        409,
        "run running is still running: replay it when GET /runs/running says that it has ended",
    )
    assert shop.ask("/runs/nothing/replay", "POST").status == 404
    # An execution without a record is not a run with files.
    assert shop.ask(f"/runs/{'x' * 81}/replay", "POST").status == 404
