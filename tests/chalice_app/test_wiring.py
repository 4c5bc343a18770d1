"""Events as AWS sends them, through to what they start."""

from urllib.parse import quote_plus

import pytest

from chalice_app.chalicelib import wiring


def s3_event(*keys: str) -> dict:
    return {"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]}


@pytest.fixture
def wired(pipeline, cloud, monkeypatch):
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("S3_BUCKET", pipeline.settings.bucket)
    monkeypatch.setenv("STEP_FUNCTION_ARN", pipeline.settings.state_machine_arn)
    monkeypatch.setenv("RUNS_TABLE", pipeline.settings.runs_table)
    yield pipeline
    for client in (wiring._s3, wiring._sfn, wiring._dynamodb, wiring._sns):
        client.cache_clear()


def test_one_event_with_many_records_is_one_check(wired) -> None:
    names = wired.upload_batch()
    answer = wiring.on_uploads(s3_event(*(f"incoming/{name}" for name in names)))
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
    assert wiring.on_uploads(s3_event(key)) == {"decision": "ignored"}
    assert wiring.on_object_created({"detail": {"object": {"key": key}}}) == {"decision": "ignored"}
    assert wired.executions() == []


def test_a_test_event_of_s3_is_ignored(wired) -> None:
    assert wiring.on_uploads({"Event": "s3:TestEvent"}) == {"decision": "ignored"}


def test_a_key_with_spaces_and_signs_is_understood(wired) -> None:
    wired.upload("orders a+b (1).csv")
    assert wiring.on_uploads(s3_event("incoming/orders a+b (1).csv"))["decision"] == "wait"


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
