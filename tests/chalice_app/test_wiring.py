"""Events as AWS sends them, through to what they start."""

from urllib.parse import quote_plus

import pytest

from chalice_app.chalicelib import wiring


def s3_event(*keys: str) -> dict:
    return {"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]}


def object_created(key: str) -> dict:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"object": {"key": key}},
    }


@pytest.fixture
def wired(pipeline, cloud, monkeypatch):
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3_BUCKET", pipeline.settings.bucket)
    monkeypatch.setenv("STEP_FUNCTION_ARN", pipeline.settings.state_machine_arn)
    monkeypatch.setenv("RUNS_TABLE", pipeline.settings.runs_table)
    monkeypatch.setenv("CHECK_WINDOW_SECONDS", "0")
    yield pipeline
    for client in (wiring._s3, wiring._sfn, wiring._dynamodb, wiring._sns):
        client.cache_clear()


def test_one_event_with_many_records_is_one_check(wired) -> None:
    names = wired.upload_batch()
    answer = wiring.on_created(s3_event(*(f"incoming/{name}" for name in names)))
    assert answer["decision"] == "start"
    assert answer["files"] == 11
    assert wired.executions("RUNNING") == [answer["run_id"]]


@pytest.mark.parametrize(
    "key",
    [
        "incoming/pipeline.lock",
        "incoming/threshold_not_met_timestamp.json",
        "incoming/notes.csv",
        "incoming/",
    ],
)
def test_the_triggers_own_objects_and_unknown_files_start_nothing(wired, key: str) -> None:
    wired.upload_batch()
    for event in (s3_event(key), object_created(key)):
        answer = wiring.on_created(event)
        assert answer["decision"] == "ignored"
        assert answer["reason"].startswith(f"{key} is no file of a delivery")
    assert wired.executions() == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({}, "the event names no object"),
        ([], "the event names no object"),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "a test event of S3"),
        ({"Records": []}, "the event names no object"),
        ({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}, "wrapped by SQS"),
        ({"Records": [{"s3": {}}]}, "no s3.object.key"),
        ({**object_created("x"), "detail-type": "Object Deleted"}, "Object Deleted, not"),
    ],
)
def test_an_event_without_an_object_is_ignored_and_the_answer_says_why(
    wired, event: object, reason: str
) -> None:
    wired.upload_batch()
    answer = wiring.on_created(event)
    assert answer["decision"] == "ignored"
    assert reason in answer["reason"]
    assert wired.executions() == []


def test_the_end_of_no_execution_is_ignored(wired) -> None:
    assert wiring.on_execution_ended({})["decision"] == "ignored"


def test_a_key_with_spaces_and_signs_is_understood(wired) -> None:
    wired.upload("orders a+b (1).csv")
    assert wiring.on_created(s3_event("incoming/orders a+b (1).csv"))["decision"] == "wait"


def test_an_event_during_a_window_is_answered_with_deferred_and_why(wired) -> None:
    wired.upload_batch()
    wired.parts.gatherer.mark.make()
    answer = wiring.on_created(s3_event("incoming/products_.csv"))
    assert answer["decision"] == "deferred"
    assert "sees this file" in answer["reason"]
    assert wired.executions() == []


def test_the_end_of_a_run_starts_what_has_piled_up(wired) -> None:
    wired.upload_batch()
    first = wiring.on_schedule()["run_id"]
    wired.upload_batch("next")
    wired.finish(first)
    detail = {"executionArn": wired.settings.execution_arn(first), "status": "SUCCEEDED"}
    second = wiring.on_execution_ended(detail)
    assert (second["decision"], second["files"]) == ("start", 11)


def test_a_run_started_by_hand_with_unusable_input_fails_with_an_example(wired) -> None:
    from chalice_app.chalicelib.trigger.run_request import ClaimError

    event = {
        "execution": wired.settings.execution_arn("by-hand"),
        "started_at": "2026-03-01T12:00:00.000Z",
        "input": {"files": "incoming/orders_1.csv"},
    }
    with pytest.raises(ClaimError, match="start the machine with"):
        wiring.claim_files(event)
