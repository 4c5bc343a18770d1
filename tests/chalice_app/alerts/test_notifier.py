"""What is gathered for a message, from the bucket and the table, and to whom it goes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import boto3
import pytest
from botocore.exceptions import ClientError

from chalice_app.chalicelib import wiring
from chalice_app.chalicelib.alerts.anomalies import compared
from chalice_app.chalicelib.alerts.notifier import Notifier
from chalice_app.chalicelib.settings import SettingsError
from contract.keys import REPORTED_NAMES, REPORTED_WARNINGS, RunKeys
from contract.notice import Notice
from localcloud.provision import create_kpi_tables, receive, subscribe

SUNDAY = date(2025, 3, 9)
MONDAY_MORNING = datetime(2025, 3, 10, 6, tzinfo=UTC)


class Shop:
    """A pipeline with KPIs, at a time of its own."""

    def __init__(self, pipeline, session: boto3.Session) -> None:
        self.pipeline, self.dynamodb = pipeline, session.client("dynamodb")
        self.session, self.queue = session, subscribe(session, pipeline.settings.topic_arn)
        self.sent()
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
        self.pipeline.write_published(run_id, *days)

    @property
    def notifier(self) -> Notifier:
        return self.pipeline.parts.notifier

    def sent(self) -> list[Notice]:
        """Return the messages since the last call."""
        return list(receive(self.session.client("sqs"), self.queue))

    def message(self, run_id: str) -> str:
        """Return the message that a run which succeeds sends; empty for none."""
        self.notifier.notify_run_end(run_id, "SUCCEEDED")
        return "".join(notice.message for notice in self.sent())


@pytest.fixture
def shop_with(pipeline_with, session, request):
    def make(**settings: object) -> Shop:
        name = f"{request.node.name[:60].replace('[', '').replace(']', '')}-"
        tables = {"category_kpis_table": f"{name}c", "order_kpis_table": f"{name}o"}
        topic = session.client("sns").create_topic(Name=name)["TopicArn"]
        return Shop(pipeline_with(**tables, topic_arn=topic, **settings), session)

    return make


@pytest.fixture
def shop(shop_with) -> Shop:
    return shop_with()


def test_a_low_day_is_reported_once_however_many_runs_publish_it(shop: Shop) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    for run_id in ("first", "second"):
        shop.published(run_id, SUNDAY, SUNDAY - timedelta(days=1))
    low = "2025-03-09 (Sunday): 12 orders; the last 8 Sundays had 200."
    assert low in shop.message("first")
    assert shop.message("second") == ""
    read = shop.pipeline.parts.documents.read
    assert low in read(RunKeys("first").notice)["message"]
    assert read(RunKeys("second").notice) is None
    assert read(REPORTED_WARNINGS) == {"2025-03-09": {"volume": "first"}}
    assert shop.notifier.notify_last_day() is None


def test_a_file_that_is_not_recognised_is_reported_by_one_run_and_again_when_it_comes_back(
    shop: Shop,
) -> None:
    def run() -> str:
        shop.pipeline.upload_batch()
        run_id = shop.pipeline.trigger.check().run_id
        shop.pipeline.finish(run_id)
        return shop.message(run_id)

    shop.pipeline.upload("sales.csv")
    assert "- sales.csv: No dataset has this name" in run()
    assert run() == ""
    shop.pipeline.upload("more_sales.csv")
    both = run()
    assert "- more_sales.csv: " in both
    assert "- sales.csv: " not in both
    read = shop.pipeline.parts.documents.read
    assert set(read(REPORTED_NAMES)) == {"incoming/sales.csv", "incoming/more_sales.csv"}


def test_a_day_that_is_not_complete_is_not_judged_yet(shop: Shop) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    shop.published("early", SUNDAY)
    shop.pipeline.later = -timedelta(minutes=1)
    assert shop.message("early") == ""
    shop.pipeline.later = timedelta(0)
    assert "12 orders" in shop.message("early")


def test_a_day_of_which_the_run_has_published_everything_is_judged_the_next_morning(
    shop: Shop,
) -> None:
    shop.usual_sundays()
    shop.had(SUNDAY, 12)
    shop.notifier.notify_last_day()
    [sent] = shop.sent()
    assert sent.subject == "1 unusual figure of 2025-03-09 - dev"
    shop.published("late", SUNDAY)
    assert shop.message("late") == ""


def test_a_silenced_check_is_not_reported_and_does_not_count_as_reported(shop_with) -> None:
    shop = shop_with(silenced=frozenset({"volume", "freshness"}))
    shop.usual_sundays()
    assert shop.notifier.notify_last_day() is None
    shop.had(SUNDAY, 12)
    shop.published("run", SUNDAY)
    assert shop.message("run") == ""
    assert shop.pipeline.parts.documents.read(REPORTED_WARNINGS) is None


def test_without_history_nothing_is_unusual(shop: Shop) -> None:
    shop.had(SUNDAY, 1)
    shop.published("run", SUNDAY)
    assert shop.message("run") == ""


@pytest.fixture
def wired(shop: Shop, cloud, monkeypatch):
    for name, value in {
        **cloud.environment,
        "S3_BUCKET": shop.settings.bucket,
        "STEP_FUNCTION_ARN": shop.settings.state_machine_arn,
        "RUNS_TABLE": shop.settings.runs_table,
        "CATEGORY_KPIS_TABLE": shop.settings.category_kpis_table,
        "ORDER_KPIS_TABLE": shop.settings.order_kpis_table,
        "TOPIC_ARN": shop.settings.topic_arn,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wiring, "_now", lambda: MONDAY_MORNING)
    yield shop
    for client in (wiring._s3, wiring._sfn, wiring._dynamodb, wiring._sns):
        client.cache_clear()


def test_a_day_without_orders_is_reported_to_the_topics_subscribers(wired: Shop) -> None:
    wired.usual_sundays()
    assert wiring.check_yesterday() == {"sent": "No orders of 2025-03-09 - dev"}
    [sent] = wired.sent()
    assert sent.subject == "No orders of 2025-03-09 - dev"
    wired.had(SUNDAY, 190)
    assert wiring.check_yesterday() == {"sent": None}
    assert wired.sent() == []


CLAIM_ERROR = {
    "Error": "ClaimError",
    "Cause": '{"errorMessage":"no files","errorType":"ClaimError","stackTrace":["secret"]}',
}


def test_the_machine_sends_the_message_of_a_failed_run_once(wired: Shop) -> None:
    event = {"execution": wired.settings.execution_arn("run"), "failure": CLAIM_ERROR}
    assert wiring.notify_run_end(event) == {"sent": "Run failed: ClaimError - dev run"}
    [sent] = wired.sent()
    assert sent.subject == "Run failed: ClaimError - dev run"
    assert "Run run of stage dev has failed: ClaimError: no files\n" in sent.message
    assert "secret" not in sent.message
    # The answer was lost and the state is tried again; then the execution ends.
    assert wiring.notify_run_end(event) == {"sent": None}
    wiring.on_execution_ended({"executionArn": event["execution"], "status": "FAILED"})
    assert wired.sent() == []


def test_a_run_with_nothing_to_report_sends_nothing(wired: Shop) -> None:
    event = {"execution": wired.settings.execution_arn("run")}
    assert wiring.notify_run_end(event) == {"sent": None}
    wiring.on_execution_ended({"executionArn": event["execution"], "status": "SUCCEEDED"})
    assert wired.sent() == []


def test_a_failed_run_that_sent_no_message_is_reported_when_its_execution_has_ended(
    wired: Shop,
) -> None:
    run_id, arn = "cut", wired.settings.execution_arn("cut")
    wired.pipeline.sfn.start_execution(
        stateMachineArn=wired.settings.state_machine_arn, name=run_id, input="{}"
    )
    wired.pipeline.sfn.stop_execution(executionArn=arn)
    for _ in range(2):
        wiring.on_execution_ended({"executionArn": arn, "status": "ABORTED"})
    [sent] = wired.sent()
    assert sent.subject == "Run stopped - dev cut"
    assert "Run cut of stage dev was stopped.\n" in sent.message


def test_a_message_that_could_not_be_sent_is_sent_when_the_execution_has_ended(
    wired: Shop, monkeypatch
) -> None:
    wired.usual_sundays()
    wired.had(SUNDAY, 12)
    wired.published("run", SUNDAY)
    event = {"execution": wired.settings.execution_arn("run")}
    with monkeypatch.context() as broken:
        broken.setenv("TOPIC_ARN", f"{wired.settings.topic_arn}-gone")
        for _ in range(2):
            with pytest.raises(ClientError, match="NotFound"):
                wiring.notify_run_end(event)
    assert wired.sent() == []
    for _ in range(2):
        wiring.on_execution_ended({"executionArn": event["execution"], "status": "SUCCEEDED"})
    [sent] = wired.sent()
    assert sent.subject == "Run succeeded, 1 unusual figure - dev run"
    assert "12 orders" in sent.message


def test_a_failed_run_whose_documents_cannot_be_read_is_reported_without_them(wired: Shop) -> None:
    wired.pipeline.s3.put_object(
        Bucket=wired.settings.bucket, Key=RunKeys("run").verdict, Body=b"no JSON"
    )
    event = {"execution": wired.settings.execution_arn("run"), "failure": CLAIM_ERROR}
    wiring.notify_run_end(event)
    [sent] = wired.sent()
    assert sent.subject == "Run failed: ClaimError - dev run"
    assert "the documents of the run could not be read" in sent.message
    assert "    shopkpi replay run --wait --stage dev\n" in sent.message


def test_a_message_is_not_sent_again_because_it_could_not_be_marked_as_sent(shop: Shop) -> None:
    def refuse(params, **_: object) -> None:
        if params["url_path"].endswith("notified.json"):
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    shop.pipeline.s3.meta.events.register("before-call.s3.PutObject", refuse)
    assert shop.notifier.notify_run_end("run", "FAILED", "cause") is not None
    assert len(shop.sent()) == 1


def test_without_a_topic_an_error_names_the_setting_that_is_missing(shop_with) -> None:
    shop = shop_with()
    shop.usual_sundays()
    shop.pipeline.settings = replace(shop.settings, topic_arn="")
    with pytest.raises(SettingsError, match="TOPIC_ARN is not set"):
        shop.notifier.notify_last_day()
