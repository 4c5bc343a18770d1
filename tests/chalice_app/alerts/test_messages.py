"""A message's limits, and when there is none."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from chalice_app.chalicelib.alerts.anomalies import Anomaly
from chalice_app.chalicelib.alerts.messages import WAITING_FOR, Ended, of_day, of_run
from chalice_app.chalicelib.settings import Settings
from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from expectations.rules import SUITES

NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
STEP_FUNCTION = "arn:aws:states:eu-north-1:123456789012:stateMachine:ECommercePipeline"
# What an SNS message may hold is 256 KiB; a phone's screen is the narrower limit.
SHORT = 16 * 1024


def settings(*silenced: str) -> Settings:
    return Settings(
        bucket="shop", state_machine_arn=STEP_FUNCTION, silenced=frozenset(silenced), stage="dev"
    )


def a_file(name: str, status: str = "accepted", bad: int = 0, **reasons: int) -> dict[str, Any]:
    return {
        "key": f"incoming/{name}",
        "name": name,
        "status": status,
        "reason": "too_many_bad_rows" if status == "rejected" else None,
        "detail": "40 of its 40 rows are bad" if status == "rejected" else None,
        "rows": 40,
        "quarantined_rows": bad,
        "held_rows": sum(reasons.get(reason, 0) for reason in WAITING_FOR),
        "reasons": reasons,
    }


def verdict(*files: dict[str, Any], outcome: str = "accepted") -> dict[str, Any]:
    return {"outcome": outcome, "files": list(files), "data_docs": None}


def manifest(*names: str, task: str = "process", folder: str = "incoming/") -> Manifest:
    files = tuple(
        FileVersion(
            key=f"{folder}{name}", name=name, version_id="v", etag="e", size=1, landed_at=NOON
        )
        for name in names
    )
    return Manifest(
        run_id="r", bucket="shop", created_at=NOON, forced=False, files=files, task=task
    )


def low(day: int) -> Anomaly:
    return Anomaly(day=date(2025, 1, day), check="volume", sentence=f"January {day} was low.")


def test_a_run_without_anything_to_look_at_tells_nobody() -> None:
    held = verdict(a_file("orders.csv", unknown_order=2))
    twice = verdict(a_file("orders.csv"), a_file("orders_again.csv", "duplicate"))
    for clean in (None, verdict(a_file("orders.csv")), held, twice):
        assert of_run(Ended(run_id="r", state="SUCCEEDED", verdict=clean), settings()) is None


def test_silenced_rows_are_not_told_of_and_rejected_files_still_are() -> None:
    rows = a_file("orders.csv", bad=1, unknown_status=1)
    silent = settings("quarantined_rows")
    run = Ended(run_id="r", state="SUCCEEDED", verdict=verdict(rows))
    assert of_run(run, silent) is None
    assert of_run(run, settings("volume", "freshness", "return_rate", "avg_order_value"))
    both = verdict(rows, a_file("orders_2.csv", "rejected", bad=40))
    notice = of_run(Ended(run_id="r", state="SUCCEEDED", verdict=both), silent)
    assert notice is not None
    assert notice.subject == "Run succeeded, 1 file rejected - dev r"
    assert "unknown_status" not in notice.message


def test_five_hundred_rejected_files_with_the_longest_names_make_a_short_message() -> None:
    names = [f"orders_{n:03}_{'x' * 1000}.csv" for n in range(500)]
    run = Ended(
        run_id="r",
        state="FAILED",
        cause="States.TaskFailed: " + "y" * 32_000,
        manifest=manifest(*names, *(f"more_{name}" for name in names)),
        verdict=verdict(*(a_file(name, "rejected") for name in names), outcome="partly_accepted"),
    )
    notice = of_run(run, settings())
    assert notice is not None
    assert len(notice.message.encode()) < SHORT
    assert "Rejected, 500 of 500 files" in notice.message
    assert notice.message.count("- and 480 files more\n") == 2


def test_many_unusual_figures_are_the_newest_ten_and_a_number() -> None:
    run = Ended(run_id="r", state="SUCCEEDED", anomalies=[low(day) for day in range(1, 32)])
    notice = of_run(run, settings())
    assert notice is not None
    told = [line for line in notice.message.splitlines() if line.startswith("- ")]
    assert told == [
        *(f"- January {day} was low. [volume]" for day in range(31, 21, -1)),
        "- and 21 more",
    ]


@pytest.mark.parametrize("name", ["orders\n\nSubject: pay here.csv", "orders\x1b[2J.csv"])
def test_a_file_name_cannot_pretend_to_be_a_line_of_the_message(name: str) -> None:
    rejected = verdict(a_file(name, "rejected"))
    notice = of_run(Ended(run_id="r", state="SUCCEEDED", verdict=rejected), settings())
    assert notice is not None
    assert "\n\nSubject:" not in notice.message
    assert all(line.isprintable() for line in notice.message.splitlines())


def test_a_subject_is_what_sns_takes_whatever_a_run_and_an_error_are_called() -> None:
    def subject(run_id: str, error: str) -> str:
        run = Ended(run_id=run_id, state="FAILED", cause=f"{error}: cause")
        notice = of_run(run, settings())
        assert notice is not None
        return notice.subject

    assert subject("été", "E") == "Run failed: E - dev ?t?"
    assert subject("r" * 80, "Timeout") == "Run failed: Timeout - dev"
    assert subject("r", "E" * 200) == f"Run failed: {'E' * 87}"
    assert subject("r", "E\nBcc") == "Run failed: E?Bcc - dev r"


def test_a_run_that_has_no_files_waiting_is_not_tried_again_by_itself() -> None:
    recompute = Ended(run_id="r", state="FAILED", cause="E: c", manifest=manifest(task="recompute"))
    again = Ended(
        run_id="r", state="FAILED", cause="E: c", manifest=manifest("o.csv", folder="processed/x/")
    )
    for run in (recompute, again):
        notice = of_run(run, settings())
        assert notice is not None
        assert "See why, then run it again:\n" in notice.message
        assert "lie in" not in notice.message
    assert "A date shows its KPIs as before" in (of_run(recompute, settings()) or notice).message


def test_a_run_that_fails_after_it_has_published_says_so() -> None:
    run = Ended(
        run_id="r",
        state="FAILED",
        cause="E: c",
        manifest=manifest("orders.csv"),
        verdict=verdict(a_file("orders.csv")),
        published={"dates": ["2025-01-02", "2025-01-01"], "superseded": ["2025-01-02"]},
    )
    notice = of_run(run, settings())
    assert notice is not None
    assert "The KPIs of 1 date (2025-01-01) are published.\n" in notice.message
    assert "Its 1 file lies in s3://shop/processed/r/, or still in s3://shop/incoming/," in (
        notice.message
    )


def test_a_day_without_anything_unusual_tells_nobody() -> None:
    assert of_day(date(2025, 1, 1), [], settings()) is None


def test_rows_that_wait_have_the_reasons_that_the_suites_hold_rows_for() -> None:
    rules = [
        rule["meta"]
        for path in SUITES.glob("*.json")
        for rule in json.loads(path.read_text(encoding="utf-8"))["expectations"]
    ]
    held = {rule["reason"] for rule in rules if rule["effect"] == "hold_row"}
    assert held == set(WAITING_FOR)


def test_a_runs_notice_lies_beside_its_verdict() -> None:
    assert RunKeys("r").notice == "runs/r/notice.json"
