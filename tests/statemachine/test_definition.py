"""The shipped definition itself: names, retries, time-outs, and where every path ends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from statelint.linter import Linter

from chalice_app.chalicelib.trigger.finish_run import AllFilesRejected, VerdictError
from chalice_app.chalicelib.trigger.run_request import ClaimError
from chalice_app.chalicelib.trigger.waiting_line import MAX_WAIT
from infra import template

TEXT = (Path(__file__).parents[2] / "statemachine.asl.json").read_text(encoding="utf-8")
MACHINE: dict[str, Any] = json.loads(TEXT)
STATES: dict[str, dict[str, Any]] = MACHINE["States"]
TASKS = sorted(name for name, state in STATES.items() if state["Type"] == "Task")


def successors(name: str) -> set[str]:
    state = STATES[name]
    found = {state.get("Next"), state.get("Default")}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    found |= {catcher["Next"] for catcher in state.get("Catch", [])}
    return found - {None}


def test_the_linter_finds_nothing() -> None:
    assert Linter.validate(TEXT) == []


def test_every_fixed_name_is_a_state() -> None:
    assert set(STATES) >= {
        "CheckFileThreshold",
        "EvaluateThreshold",
        "WaitForFiles",
        "ValidateFiles",
        "TransformFiles",
        "ResetLock",
        "Success",
        "NotifyFailure",
        "LogFailure",
        "Fail",
    }


@pytest.mark.parametrize(
    ("state", "seconds", "interval", "attempts"),
    [("ValidateFiles", 600, 30, 2), ("TransformFiles", 1800, 60, 3)],
)
def test_the_containers_have_the_documented_time_outs_and_retries(
    state: str, seconds: int, interval: int, attempts: int
) -> None:
    assert STATES[state]["TimeoutSeconds"] == seconds
    assert STATES[state]["Retry"] == [
        {
            "ErrorEquals": ["States.ALL"],
            "IntervalSeconds": interval,
            "MaxAttempts": attempts,
            "BackoffRate": 2.0,
        }
    ]


@pytest.mark.parametrize("state", ["ValidateFiles", "TransformFiles"])
def test_only_the_first_attempt_is_where_the_stack_says_and_every_retry_on_demand(
    state: str,
) -> None:
    [strategy] = STATES[state]["Parameters"]["CapacityProviderStrategy"]
    providers, index = re.fullmatch(
        r"States\.ArrayGetItem\(States\.Array\((.*)\), (.*)\)", strategy["CapacityProvider.$"]
    ).groups()
    [retry] = STATES[state]["Retry"]
    assert providers.replace("'", "").split(", ") == [
        "${FirstCapacityProvider}",
        *["FARGATE"] * retry["MaxAttempts"],
    ]
    # 0 in the first attempt; Step Functions works the parameters out anew for each.
    assert index == "$$.State.RetryCount"
    # ECS refuses a strategy whose weights are all 0, which is the default.
    assert strategy["Weight"] > 0
    assert "LaunchType" not in STATES[state]["Parameters"]


def test_an_ignored_run_ends_well_and_a_claimed_recompute_has_nothing_to_validate() -> None:
    choice = STATES["EvaluateThreshold"]
    ignored, *others = choice["Choices"]
    assert ignored == {"Variable": "$.decision", "IsPresent": True, "Next": "ResetLock"}
    assert [(len(found.get("And", [0])), found["Next"]) for found in others] == [
        (2, "TransformFiles"),
        (1, "ValidateFiles"),
    ]
    assert choice["Default"] == "WaitForFiles"


def test_a_recompute_and_every_batch_without_an_application_are_for_one_task() -> None:
    assert STATES["ChooseTransformer"]["Default"] == "TransformFiles"
    [big] = STATES["ChooseTransformer"]["Choices"]
    assert big["Next"] == "TransformBigBatch"
    assert [set(rule) - {"Variable"} for rule in big["And"]] == [
        {"StringMatches"},
        {"NumericGreaterThanPath"},
    ]
    leading = {name for name in STATES if "TransformBigBatch" in successors(name)}
    assert leading == {"ChooseTransformer"}


def test_a_big_batch_has_time_for_its_retry_within_the_machines_own() -> None:
    state = STATES["TransformBigBatch"]
    job_minutes = state["Parameters"]["ExecutionTimeoutMinutes"]
    assert job_minutes * 60 < state["TimeoutSeconds"]
    [retry] = state["Retry"]
    job_seconds = (retry["MaxAttempts"] + 1) * state["TimeoutSeconds"]
    waiting_seconds = MAX_WAIT.total_seconds()
    assert waiting_seconds + job_seconds < MACHINE["TimeoutSeconds"]


def test_the_wait_is_five_minutes() -> None:
    assert STATES["WaitForFiles"]["Seconds"] == 300


@pytest.mark.parametrize("name", TASKS)
def test_every_task_retries_catches_everything_and_has_a_time_out(name: str) -> None:
    state = STATES[name]
    assert state["TimeoutSeconds"] > 0
    assert state["Retry"][-1]["ErrorEquals"] == ["States.ALL"]
    assert state["Retry"][-1]["BackoffRate"] > 1
    assert [catcher["ErrorEquals"] for catcher in state["Catch"]] == [["States.ALL"]]


def reached(start: str, *, without: frozenset[str] = frozenset()) -> set[str]:
    """Return every state on a path from one, the paths ending at states to do without."""
    seen: set[str] = set()
    todo = {start} - without
    while todo:
        at = todo.pop()
        seen.add(at)
        todo |= successors(at) - seen - without
    return seen


def test_every_path_to_an_end_releases_the_lock() -> None:
    before = reached(MACHINE["StartAt"], without=frozenset({"ResetLock", "ReleaseLock"}))
    assert "NotifyFailure" in before
    ends = {name for name in before if STATES[name]["Type"] in {"Succeed", "Fail"}}
    assert ends | {name for name in before if STATES[name].get("End")} == set()


def test_a_run_whose_lock_is_released_succeeds_whether_or_not_its_message_is_sent() -> None:
    assert successors("ResetLock") == {"NotifyResults", "NotifyFailure"}
    assert reached("NotifyResults") == {"NotifyResults", "Success"}
    assert {name for name in STATES if "Fail" in successors(name)} == {"ReleaseLock"}


def test_errors_that_an_attempt_more_would_repeat_are_not_retried() -> None:
    once = {
        error
        for state in STATES.values()
        for retry in state.get("Retry", [])
        if retry["MaxAttempts"] == 0
        for error in retry["ErrorEquals"]
    }
    # Lambda reports the name of the exception's class.
    assert once == {error.__name__ for error in (AllFilesRejected, ClaimError, VerdictError)}


def test_every_state_is_reachable_and_every_target_exists() -> None:
    assert reached(MACHINE["StartAt"]) == set(STATES)


def test_every_failure_of_the_main_path_is_notified_and_logged() -> None:
    for name in ("CheckFileThreshold", "QuarantineRejected", "ResetLock"):
        assert STATES[name]["Catch"][0]["Next"] == "NotifyFailure"
    for name in ("ValidateFiles", "TransformFiles", "TransformBigBatch"):
        assert STATES[name]["Catch"][0]["Next"] == "IsolateCrash"
    assert successors("IsolateCrash") == {"NotifyFailure"}
    assert successors("NotifyFailure") == {"LogFailure"}
    assert successors("LogFailure") == {"ReleaseLock"}


def test_the_placeholders_are_exactly_those_that_the_template_fills_in() -> None:
    filled_in = template.load()["Resources"]["Machine"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(filled_in)


def test_placeholders_stand_inside_json_strings() -> None:
    """The file is JSON before and after they are filled in, whatever the values hold."""
    value = json.dumps('a "quoted" \\ value')[1:-1]
    filled_in = json.loads(re.sub(r"\$\{\w+\}", lambda _: value, TEXT))
    assert filled_in["StartAt"] == "CheckFileThreshold"


def test_no_account_region_subnet_or_query_language_is_written_down() -> None:
    assert not re.search(r"\d{12}|subnet-|sg-|eu-|us-", TEXT)
    assert "JSONata" not in TEXT
    assert "QueryLanguage" not in TEXT
