"""What is gathered for a message, from the bucket and the table, and to whom it goes."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import boto3
import pytest

from chalice_app.chalicelib import wiring
from chalice_app.chalicelib.alerts.anomalies import compared
from chalice_app.chalicelib.alerts.notifier import Telling, publish
from chalice_app.chalicelib.aws.kpi_tables import KpiQueries
from chalice_app.chalicelib.settings import SettingsError
from contract.keys import WARNINGS_TOLD, RunKeys
from localcloud.provision import create_kpi_tables, receive, subscribe

SUNDAY = date(2025, 3, 9)
MONDAY_MORNING = datetime(2025, 3, 10, 6, tzinfo=UTC)


class Shop:
    """A pipeline with KPIs, at a time of its own."""

    def __init__(self, pipeline, session: boto3.Session) -> None:
        self.pipeline, self.dynamodb = pipeline, session.client("dynamodb")
        self.settings = pipeline.settings
        pipeline.now = lambda: MONDAY_MORNING
        create_kpi_tables(
            self.dynamodb,
            category_kpis=self.settings.category_kpis_table,
            order_kpis=self.settings.order_kpis_table,
        )
        self.table = session.resource("dynamodb").Table(self.settings.order_kpis_table)

    def had(self, day: date, orders: int) -> None:
        revenue = Decimal(orders) * 50
        item = {"total_orders": orders, "total_revenue": revenue, "return_rate": Decimal(4)}
        self.table.put_item(Item={"order_date": str(day), **item})

    def usual_sundays(self) -> None:
        for week in compared(SUNDAY):
            self.had(week, 200)

    def published(self, run_id: str, *days: date) -> None:
        self.pipeline.s3.put_object(
            Bucket=self.settings.bucket,
            Key=RunKeys(run_id).published,
            Body=json.dumps({"dates": [str(day) for day in days]}).encode(),
        )

    @property
    def telling(self) -> Telling:
        kpis = KpiQueries(
            self.dynamodb,
            category_kpis=self.settings.category_kpis_table,
            order_kpis=self.settings.order_kpis_table,
        )
        return Telling(self.pipeline.deployment, kpis)

    def told(self, run_id: str) -> str:
        notice = self.telling.of_run(run_id, "SUCCEEDED")
        return "" if notice is None else notice.message


@pytest.fixture
def shop_with(pipeline_with, session, request):
    def make(**settings: object) -> Shop:
        name = f"{request.node.name[:60].replace('[', '').replace(']', '')}-"
        tables = {"category_kpis_table": f"{name}c", "order_kpis_table": f"{name}o"}
        return Shop(pipeline_with(**tables, **settings), session)

    return make


@pytest.fixture
def shop(shop_with) -> Shop:
    return shop_with()


def test_a_low_day_is_told_once_however_many_runs_publish_it(shop: Shop) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    for run_id in ("first", "second"):
        shop.published(run_id, SUNDAY, SUNDAY - timedelta(days=1))
    low = "2025-03-09 (Sunday): 12 orders; the last 8 Sundays had 200."
    assert low in shop.told("first")
    assert shop.told("second") == ""
    # Its answer may have been lost: the machine asks once more.
    assert low in shop.told("first")
    kept = shop.telling.of_run("first", "SUCCEEDED")
    read = shop.pipeline.deployment.documents.read
    assert read(RunKeys("first").notice) == {"subject": kept.subject, "message": kept.message}
    assert read(RunKeys("second").notice) is None
    assert read(WARNINGS_TOLD) == {"2025-03-09": {"volume": "first"}}
    assert shop.telling.of_last_day() is None


def test_a_day_that_is_not_complete_is_not_judged_yet(shop: Shop) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    shop.published("early", SUNDAY)
    shop.pipeline.later = -timedelta(minutes=1)
    assert shop.told("early") == ""
    shop.pipeline.later = timedelta(0)
    assert "12 orders" in shop.told("early")


def test_a_day_of_which_the_run_has_published_everything_is_judged_the_next_morning(
    shop: Shop,
) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    notice = shop.telling.of_last_day()
    assert notice is not None
    assert notice.subject == "1 unusual figure of 2025-03-09 - dev"
    shop.published("late", SUNDAY)
    assert shop.told("late") == ""


def test_a_silenced_check_is_neither_told_nor_taken_for_told(shop_with) -> None:
    shop = shop_with(silenced=frozenset({"volume", "freshness"}))
    shop.usual_sundays()
    assert shop.telling.of_last_day() is None
    shop.had(SUNDAY, 12)
    shop.published("run", SUNDAY)
    assert shop.told("run") == ""
    assert shop.pipeline.deployment.documents.read(WARNINGS_TOLD) is None


def test_without_history_nothing_is_unusual(shop: Shop) -> None:
    shop.had(SUNDAY, 1)
    shop.published("run", SUNDAY)
    assert shop.told("run") == ""


@pytest.fixture
def wired(shop_with, session, cloud, monkeypatch):
    shop = shop_with()
    topic = session.client("sns").create_topic(Name="told")["TopicArn"]
    for name, value in {
        **cloud.environment,
        "S3_BUCKET": shop.settings.bucket,
        "STEP_FUNCTION_ARN": shop.settings.state_machine_arn,
        "RUNS_TABLE": shop.settings.runs_table,
        "CATEGORY_KPIS_TABLE": shop.settings.category_kpis_table,
        "ORDER_KPIS_TABLE": shop.settings.order_kpis_table,
        "TOPIC_ARN": topic,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wiring, "_now", lambda: MONDAY_MORNING)
    yield shop, session.client("sqs"), subscribe(session, topic)
    for client in (wiring._s3, wiring._sfn, wiring._dynamodb, wiring._sns):
        client.cache_clear()


def test_a_day_without_orders_is_told_to_the_topics_subscribers(wired) -> None:
    shop, sqs, queue = wired
    shop.usual_sundays()
    answer = wiring.check_yesterday()
    assert answer["subject"] == "No orders of 2025-03-09 - dev"
    [sent] = receive(sqs, queue)
    assert (sent.subject, sent.message) == (answer["subject"], answer["message"])
    shop.had(SUNDAY, 190)
    assert wiring.check_yesterday() == {"tell": False, "subject": "", "message": ""}
    assert list(receive(sqs, queue)) == []


def test_the_machine_gets_what_to_send_or_that_there_is_nothing(wired) -> None:
    shop, _, _ = wired
    execution = shop.settings.execution_arn("run")
    clean = wiring.describe_run({"execution": execution, "failed": False})
    assert clean == {"tell": False, "subject": "", "message": ""}
    cause = 'ClaimError: {"errorMessage":"no files","errorType":"ClaimError"}'
    failed = wiring.describe_run({"execution": execution, "failed": True, "cause": cause})
    assert failed["tell"]
    assert failed["subject"] == "Run failed: ClaimError - dev run"
    assert "Run run of stage dev has failed: ClaimError: no files\n" in failed["message"]


def test_without_a_topic_a_message_names_the_setting_that_is_missing(shop: Shop, session) -> None:
    shop.usual_sundays()
    notice = shop.telling.of_last_day()
    with pytest.raises(SettingsError, match="TOPIC_ARN is not set"):
        publish(notice, session.client("sns"), "")
