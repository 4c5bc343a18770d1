"""An execution's history as Step Functions returns it, read into records."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from chalice_app.chalicelib.aws.execution_history import Attempt, Event, History, Visit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def raw(kind: str, seconds: float, **details: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": at(seconds), **details}


def entered(state: str, seconds: float) -> dict[str, Any]:
    return raw("TaskStateEntered", seconds, stateEnteredEventDetails={"name": state})


RETRIED = [
    raw("ExecutionStarted", 0),
    entered("ValidateFiles", 1),
    raw("TaskScheduled", 2, taskScheduledEventDetails={"parameters": '{"Cluster": "c"}'}),
    raw("TaskSubmitted", 3, taskSubmittedEventDetails={"output": '{"Tasks": []}'}),
    raw("TaskFailed", 9, taskFailedEventDetails={"error": "Oom", "cause": '{"ExitCode": 137}'}),
    raw("TaskScheduled", 39, taskScheduledEventDetails={}),
]


def test_each_attempt_of_a_task_has_its_times_and_what_the_service_answered() -> None:
    [visit] = History.of(RETRIED).visits
    assert visit == Visit(
        state="ValidateFiles",
        entered_at=at(1),
        attempts=(
            Attempt(
                scheduled_at=at(2),
                submitted_at=at(3),
                ended_at=at(9),
                failed=True,
                parameters={"Cluster": "c"},
                submission={"Tasks": []},
                result={"ExitCode": 137},
            ),
            Attempt(scheduled_at=at(39)),
        ),
    )


def test_an_event_knows_its_state_and_a_failure_its_cause() -> None:
    events = History.of(RETRIED).events
    assert [event.state for event in events] == ["", *["ValidateFiles"] * 5]
    assert [event.failed for event in events] == [False] * 4 + [True, False]
    assert events[4] == Event(
        at=at(9), kind="TaskFailed", state="ValidateFiles", error="Oom", cause='{"ExitCode": 137}'
    )


def test_the_end_of_an_execution_ends_its_last_state() -> None:
    failed = raw("ExecutionFailed", 40, executionFailedEventDetails={"error": "PipelineFailed"})
    history = History.of([*RETRIED, failed])
    assert history.last == history.visits[-1]
    assert history.last.exited_at == at(40)
    assert History.of(RETRIED).last.exited_at is None
    assert History.of([]).last is None


def test_times_are_utc_and_a_cause_may_be_any_text() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=2)))
    stopped = raw("TaskFailed", 3, taskFailedEventDetails={"cause": "no JSON"})
    events = [entered("ResetLock", 1), raw("TaskScheduled", 2), {**stopped, "timestamp": local}]
    [visit] = History.of(events).visits
    assert visit.attempts[0].ended_at.tzinfo is UTC
    assert visit.attempts[0].result == {}


def test_numbers_are_decimals_so_that_money_can_be_computed_from_them() -> None:
    job = json.dumps({"JobRun": {"vCPUHour": 0.1}})
    events = [*RETRIED, raw("TaskSucceeded", 60, taskSucceededEventDetails={"output": job})]
    [visit] = History.of(events).visits
    assert str(visit.attempts[-1].result["JobRun"]["vCPUHour"]) == "0.1"
