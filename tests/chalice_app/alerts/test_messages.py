"""A message's limits, and when there is none."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from chalice_app.chalicelib.alerts.anomalies import Anomaly
from chalice_app.chalicelib.alerts.messages import of_day, of_run
from chalice_app.chalicelib.runs.outcome import RunOutcome
from chalice_app.chalicelib.settings import Settings
from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from contract.verdict import HELD_BACK, DataWarning
from delivery.rules import SUITES
from tests.documents import file_verdict, published, verdict

NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
STEP_FUNCTION = "arn:aws:states:eu-north-1:123456789012:stateMachine:ECommercePipeline"
# What an SNS message may hold is 256 KiB; a phone's screen is the narrower limit.
SHORT = 16 * 1024


def settings(*silenced: str) -> Settings:
    return Settings(
        bucket="shop", state_machine_arn=STEP_FUNCTION, silenced=frozenset(silenced), stage="dev"
    )


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


def test_a_run_that_needs_no_attention_has_no_message() -> None:
    held = verdict(file_verdict("orders.csv", reasons={"unknown_order": 2}))
    twice = verdict(file_verdict("orders.csv"), file_verdict("orders_again.csv", "duplicate"))
    for clean in (None, verdict(file_verdict("orders.csv")), held, twice):
        assert of_run(RunOutcome(run_id="r", state="SUCCEEDED", verdict=clean), settings()) is None


def test_silenced_rows_are_not_reported_and_rejected_files_still_are() -> None:
    rows = file_verdict("orders.csv", reasons={"unknown_status": 1})
    silent = settings("quarantined_rows")
    run = RunOutcome(run_id="r", state="SUCCEEDED", verdict=verdict(rows))
    assert of_run(run, silent) is None
    assert of_run(run, settings("volume", "freshness", "return_rate", "avg_order_value"))
    both = verdict(rows, file_verdict("orders_2.csv", "rejected"))
    notice = of_run(RunOutcome(run_id="r", state="SUCCEEDED", verdict=both), silent)
    assert notice is not None
    assert notice.subject == "Run succeeded, 1 file rejected - dev r"
    assert "unknown_status" not in notice.message


def test_an_unknown_status_is_named_with_the_accepted_ones() -> None:
    found = replace(
        file_verdict("orders.csv", reasons={"unknown_status": 3}),
        details={"unknown_status": "'lost' (3); accepted are completed\nand other"},
    )
    notice = of_run(RunOutcome(run_id="r", state="SUCCEEDED", verdict=verdict(found)), settings())
    assert notice is not None
    assert (
        "- orders.csv: 3 rows (unknown_status 3); unknown_status: 'lost' (3); accepted are"
        " completed and other\n"
    ) in notice.message


def test_ambiguous_amounts_are_reported_unless_silenced() -> None:
    warnings = [
        DataWarning(reason=reason, dataset="orders", file="orders.csv", count=9, detail=detail)
        for reason, detail in (("volume", "few rows"), ("ambiguous_total_amount", "total 1.000"))
    ]
    found = replace(verdict(file_verdict("orders.csv")), warnings=tuple(warnings))
    run = RunOutcome(run_id="r", state="SUCCEEDED", verdict=found)
    notice = of_run(run, settings())
    assert notice is not None
    assert notice.subject == "Run succeeded, ambiguous amounts in 1 column - dev r"
    assert "Accepted with ambiguous amounts:\n- orders.csv: total 1.000\n" in notice.message
    assert "few rows" not in notice.message
    assert "shopkpi show r --stage dev" in notice.message
    assert of_run(run, settings("ambiguous_amounts")) is None


def test_a_file_that_is_not_recognised_is_named_with_how_to_name_it() -> None:
    other = manifest("olist_orders\nSuccess.csv").files
    run = RunOutcome(run_id="r", state="SUCCEEDED", verdict=verdict(file_verdict("orders.csv")))
    notice = of_run(run, settings(), not_recognised=other)
    assert notice is not None
    assert notice.subject == "Run succeeded, 1 file not recognised - dev r"
    assert "no run reads what stays in s3://shop/incoming/" in notice.message
    assert "- olist_orders?Success.csv: No dataset has this name: name the file orders*.csv" in (
        notice.message
    )
    assert "shopkpi status --stage dev" in notice.message


def test_five_hundred_rejected_files_with_the_longest_names_make_a_short_message() -> None:
    names = [f"orders_{n:03}_{'x' * 1000}.csv" for n in range(500)]
    run = RunOutcome(
        run_id="r",
        state="FAILED",
        cause="States.TaskFailed: " + "y" * 32_000,
        manifest=manifest(*names, *(f"more_{name}" for name in names)),
        verdict=verdict(
            file_verdict("orders.csv"), *(file_verdict(name, "rejected") for name in names)
        ),
    )
    notice = of_run(run, settings())
    assert notice is not None
    assert len(notice.message.encode()) < SHORT
    assert "Rejected, 500 of 501 files" in notice.message
    assert notice.message.count("- and 480 files more\n") == 2


def test_many_unusual_figures_are_the_newest_ten_and_a_number() -> None:
    run = RunOutcome(run_id="r", state="SUCCEEDED")
    notice = of_run(run, settings(), anomalies=[low(day) for day in range(1, 32)])
    assert notice is not None
    listed = [line for line in notice.message.splitlines() if line.startswith("- ")]
    assert listed == [
        *(f"- January {day} was low. [volume]" for day in range(31, 21, -1)),
        "- and 21 more",
    ]


@pytest.mark.parametrize("name", ["orders\n\nSubject: pay here.csv", "orders\x1b[2J.csv"])
def test_a_file_name_cannot_pretend_to_be_a_line_of_the_message(name: str) -> None:
    rejected = verdict(file_verdict(name, "rejected"))
    notice = of_run(RunOutcome(run_id="r", state="SUCCEEDED", verdict=rejected), settings())
    assert notice is not None
    assert "\n\nSubject:" not in notice.message
    assert all(line.isprintable() for line in notice.message.splitlines())


def test_sns_takes_the_subject_of_every_run_id_and_error() -> None:
    def subject(run_id: str, error: str) -> str:
        run = RunOutcome(run_id=run_id, state="FAILED", cause=f"{error}: cause")
        notice = of_run(run, settings())
        assert notice is not None
        return notice.subject

    assert subject("été", "E") == "Run failed: E - dev ?t?"
    assert subject("r" * 80, "Timeout") == "Run failed: Timeout - dev"
    assert subject("r", "E" * 200) == f"Run failed: {'E' * 87}"
    assert subject("r", "E\nBcc") == "Run failed: E?Bcc - dev r"


def test_a_run_that_has_no_files_waiting_is_not_tried_again_by_itself() -> None:
    recompute = RunOutcome(
        run_id="r", state="FAILED", cause="E: c", manifest=manifest(task="recompute")
    )
    again = RunOutcome(
        run_id="r", state="FAILED", cause="E: c", manifest=manifest("o.csv", folder="processed/x/")
    )
    for run in (recompute, again):
        notice = of_run(run, settings())
        assert notice is not None
        assert "See why, then run it again:\n" in notice.message
        assert "for the next run" not in notice.message
    assert "A date shows its KPIs as before" in (of_run(recompute, settings()) or notice).message


def test_a_run_that_fails_after_it_has_published_says_so() -> None:
    run = RunOutcome(
        run_id="r",
        state="FAILED",
        cause="E: c",
        manifest=manifest("orders.csv"),
        verdict=verdict(file_verdict("orders.csv")),
        published=published([date(2025, 1, 1), date(2025, 1, 2)], superseded=(date(2025, 1, 2),)),
    )
    notice = of_run(run, settings())
    assert notice is not None
    assert "The KPIs of 1 date (2025-01-01) are published, ledger version 8.\n" in notice.message
    assert "Its 1 file is in s3://shop/processed/r/, or still in s3://shop/incoming/," in (
        notice.message
    )


def test_a_day_without_anything_unusual_has_no_message() -> None:
    assert of_day(date(2025, 1, 1), [], settings()) is None


def test_rows_that_wait_have_the_reasons_that_the_suites_hold_rows_for() -> None:
    rules = [
        rule["meta"]
        for path in SUITES.glob("*.json")
        for rule in json.loads(path.read_text(encoding="utf-8"))["expectations"]
    ]
    held = {rule["reason"] for rule in rules if rule["effect"] == "hold_row"}
    assert held == set(HELD_BACK)


def test_the_message_of_a_run_is_beside_its_verdict() -> None:
    assert RunKeys("r").notice == "runs/r/notice.json"


def test_a_date_that_cannot_be_published_is_named_with_its_reason_although_the_run_succeeded() -> (
    None
):
    report = published(
        [date(2025, 3, 1), date(2025, 3, 2)],
        unpublished_dates={"2025-03-01": "OrderKPIs: the item has 500,000 bytes"},
    )
    clean = verdict(file_verdict("orders.csv"))
    run = RunOutcome(run_id="r", state="SUCCEEDED", verdict=clean, published=report)
    notice = of_run(run, settings())
    assert notice is not None
    assert notice.subject == "Run succeeded, 1 date not published - dev r"
    assert "- 2025-03-01: OrderKPIs: the item has 500,000 bytes\n" in notice.message
    assert "The KPIs of 1 date (2025-03-02) are published" in notice.message
    assert "shopkpi kpis --from 2025-03-01 --to 2025-03-01 --stage dev" in notice.message


def test_the_commit_says_what_is_held_back() -> None:
    lines = verdict(
        file_verdict("orders.csv", "rejected"),
        file_verdict("order_items.csv", reasons={"unknown_product": 3}),
    )
    report = published(delivery_held_lines=1, delivery_held_reasons={"unknown_order": 1})
    run = RunOutcome(run_id="r", state="SUCCEEDED", verdict=lines, published=report)
    notice = of_run(run, settings())
    assert notice is not None
    assert "Held back, 1 row: 1 whose order is unknown;" in notice.message
