"""The REST API when AWS fails it: one helpful line, and never a traceback."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from chalice.app import Request
from hypothesis import given
from hypothesis import strategies as st

from chalice_app.chalicelib.api import problems, query
from chalice_app.chalicelib.api.responses import Response
from chalice_app.chalicelib.api.routes import Api
from chalice_app.chalicelib.api.serving import respond
from chalice_app.chalicelib.aws.executions import Executions
from chalice_app.chalicelib.aws.kpi_tables import KpiQueries, Period
from chalice_app.chalicelib.aws.run_table import RunTable
from localcloud.provision import create_kpi_tables
from tests.chalice_app.conftest import Pipeline, new_pipeline

TABLES = {"category_kpis": "FaultyCategoryKPIs", "order_kpis": "FaultyOrderKPIs"}
NOW = datetime(2025, 3, 31, 12, tzinfo=UTC)
QUICK = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
DATES = [date(2025, 1, 1) + timedelta(days=n) for n in range(150)]
EVERY_ROUTE = {
    "daily": (Api.daily_kpis,),
    "categories": (Api.categories,),
    "category": (Api.category_kpis, "Books"),
    "runs": (Api.runs,),
    "run": (Api.run, "run-1"),
    "replay": (Api.replay, "run-1"),
    "health": (Api.health,),
}


@pytest.fixture(scope="module")
def pipeline(session: boto3.Session) -> Pipeline:
    pipeline = new_pipeline(session)
    create_kpi_tables(pipeline.dynamodb, **TABLES)
    with session.resource("dynamodb").Table(TABLES["order_kpis"]).batch_writer() as table:
        for day in DATES:
            table.put_item({"order_date": str(day), "categories": {"Books"}})
    return pipeline


@pytest.fixture
def dynamodb(session: boto3.Session):
    """A client of the test's own, to be disturbed."""
    return session.client("dynamodb", config=QUICK)


def api_on(pipeline: Pipeline, dynamodb, sleep: Callable[[float], None] = lambda _: None) -> Api:
    return Api(
        kpis=KpiQueries(dynamodb, **TABLES, sleep=sleep),
        runs=RunTable(dynamodb, pipeline.settings.runs_table),
        executions=Executions(pipeline.sfn, pipeline.settings),
        clock=lambda: NOW,
    )


def ask(api: Api, operation: Callable[..., Response], *path: str) -> Response:
    event = {
        "multiValueQueryStringParameters": None,
        "headers": {},
        "pathParameters": {},
        "requestContext": {"httpMethod": "GET", "resourcePath": "/", "identity": {}},
        "body": None,
        "stageVariables": {},
    }
    request = Request(event, SimpleNamespace(aws_request_id="f2b7"))
    return respond(operation, lambda: api, request, *path)


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_without_a_network_every_route_says_when_to_ask_again(
    pipeline, session, route: str, caplog
) -> None:
    # Nothing listens on port 1.
    unreachable = session.client("dynamodb", endpoint_url="http://127.0.0.1:1", config=QUICK)
    answer = ask(api_on(pipeline, unreachable), *EVERY_ROUTE[route])
    problem = json.loads(answer.body)
    assert (answer.status, problem["type"]) == (503, "urn:shop-kpi-pipeline:problem:unreachable")
    assert answer.headers["Retry-After"] == "30"
    assert "try again in 30 seconds" in problem["detail"]
    assert problem["instance"] == "urn:uuid:f2b7"
    assert "\n" not in problem["detail"]
    [record] = [found for found in caplog.records if found.message == "request failed"]
    assert (record.request_id, record.problem) == ("f2b7", "unreachable")
    assert "EndpointConnectionError" in str(record.exc_info)


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("AccessDeniedException", 500, "not-permitted", "AWS has refused BatchGetItem to the API"),
        ("ResourceNotFoundException", 500, "not-deployed", "correct CATEGORY_KPIS_TABLE"),
        ("ThrottlingException", 503, "busy", "try again in 5 seconds"),
        ("ProvisionedThroughputExceededException", 503, "busy", "try again in 5 seconds"),
        ("ValidationException", 500, "internal", "look for the instance given here"),
    ],
)
def test_what_dynamodb_refuses_is_put_into_words(
    pipeline, dynamodb, code: str, status: int, kind: str, says: str
) -> None:
    with Stubber(dynamodb) as stubber:
        stubber.add_client_error("batch_get_item", code, "User: arn:aws:sts::123456789012:secret")
        answer = ask(api_on(pipeline, dynamodb), Api.daily_kpis)
    problem = json.loads(answer.body)
    assert (answer.status, problem["type"]) == (status, f"urn:shop-kpi-pipeline:problem:{kind}")
    assert says in problem["detail"]
    assert "123456789012" not in answer.body


def test_a_table_that_is_not_there_is_named_as_the_cause(pipeline, dynamodb) -> None:
    api = Api(
        kpis=KpiQueries(dynamodb, category_kpis="Wrong", order_kpis="Wrong"),
        runs=RunTable(dynamodb, "Wrong"),
        executions=Executions(pipeline.sfn, pipeline.settings),
        clock=lambda: NOW,
    )
    for operation, *path in EVERY_ROUTE.values():
        answer = ask(api, operation, *path)
        assert answer.status == 500, operation
        assert json.loads(answer.body)["type"] == "urn:shop-kpi-pipeline:problem:not-deployed"


def test_a_defect_shows_no_traceback_but_logs_one(pipeline, dynamodb, caplog) -> None:
    def broken() -> datetime:
        raise ZeroDivisionError("a secret")

    api = api_on(pipeline, dynamodb)
    api._clock = broken
    answer = ask(api, Api.daily_kpis)
    assert answer.status == 500
    assert json.loads(answer.body) == {
        "type": "urn:shop-kpi-pipeline:problem:internal",
        "title": "The API has failed",
        "status": 500,
        "detail": "the API has failed on this request: try again; if that does not help, look "
        "for the instance given here in the function's log",
        "instance": "urn:uuid:f2b7",
    }
    [record] = [found for found in caplog.records if found.levelno == logging.ERROR]
    assert "a secret" in str(record.exc_info[1])


def hold_back(client, times: int, keep: int) -> None:
    """Let DynamoDB leave all but ``keep`` keys unprocessed, so many times."""
    left = [times]

    def after(parsed, **_: object) -> None:
        if left[0]:
            left[0] -= 1
            [(table, items)] = parsed["Responses"].items()
            parsed["Responses"] = {table: items[:keep]}
            keys = [{"order_date": item["order_date"]} for item in items[keep:]]
            parsed["UnprocessedKeys"] = {table: {"Keys": keys, "ConsistentRead": True}}

    client.meta.events.register("after-call.dynamodb.BatchGetItem", after)


def test_keys_left_unprocessed_are_requested_again_after_a_pause(pipeline, dynamodb) -> None:
    hold_back(dynamodb, times=3, keep=20)
    pauses: list[float] = []
    kpis = KpiQueries(dynamodb, **TABLES, sleep=pauses.append)
    found = kpis.daily(Period(start=DATES[0], end=DATES[-1]), 366)
    assert [item["order_date"] for item in found.items] == [str(day) for day in DATES]
    assert len(pauses) == 3
    assert pauses[0] < 2 * pauses[1] < 4 * pauses[2]


def test_keys_that_stay_unprocessed_are_a_busy_table_and_no_shorter_list(
    pipeline, dynamodb
) -> None:
    hold_back(dynamodb, times=100, keep=0)
    pauses: list[float] = []
    answer = ask(api_on(pipeline, dynamodb, sleep=pauses.append), Api.daily_kpis)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    # API Gateway waits 29 seconds.
    assert sum(pauses) < 1


def test_every_page_of_a_query_is_read(pipeline, dynamodb, session) -> None:
    """DynamoDB ends a page at 1 MB, whatever the limit is."""
    table = session.resource("dynamodb").Table(TABLES["category_kpis"])
    with table.batch_writer() as writer:
        for day in DATES[:12]:
            writer.put_item({"category": "Big", "order_date": str(day), "x": "x" * 200_000})
    calls: list[str] = []
    dynamodb.meta.events.register(
        "before-call.dynamodb.Query", lambda model, **_: calls.append(model.name)
    )
    kpis = KpiQueries(dynamodb, **TABLES)
    found = kpis.category("Big", Period(start=DATES[0], end=DATES[-1]), 100)
    assert [item["order_date"] for item in found.items] == [str(day) for day in DATES[:12]]
    assert len(calls) > 1


def test_every_route_reads_by_key_and_none_scans(pipeline, dynamodb) -> None:
    calls: set[str] = set()
    dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.add(model.name))
    api = api_on(pipeline, dynamodb)
    for operation, *path in EVERY_ROUTE.values():
        assert ask(api, operation, *path).status < 500
    assert calls == {"BatchGetItem", "GetItem", "Query"}


def refusal(read: Callable[[], object]) -> problems.Kind | None:
    try:
        read()
    except problems.Problem as problem:
        return problem.kind
    return None


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(at=any_json | st.dates().map(str) | st.tuples(st.text(), st.text(), st.text()).map(list))
def test_an_invented_token_is_used_or_refused(at: object) -> None:
    given_query = {"next": [query.to_token("list", at)]}
    period = Period(start=DATES[0], end=DATES[-1])
    for read in (
        lambda: query.date_position(given_query, "list", period),
        lambda: query.name_position(given_query, "list"),
        lambda: query.run_position(given_query, "list"),
    ):
        assert refusal(read) in {None, problems.BAD_TOKEN}


@given(text=st.text())
def test_any_text_as_a_date_a_limit_or_a_token_is_used_or_refused(text: str) -> None:
    given_query = {"from": [text], "limit": [text], "next": [text]}
    for read in (
        lambda: query.period(given_query, NOW.date()),
        lambda: query.limit(given_query),
        lambda: query.position(given_query, "list"),
    ):
        assert refusal(read) in {
            None,
            problems.BAD_PARAMETER,
            problems.BAD_PERIOD,
            problems.BAD_TOKEN,
        }
