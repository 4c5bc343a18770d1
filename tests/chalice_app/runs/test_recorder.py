"""A run's record: when it is written, what it says, what it survives."""

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from chalice_app.chalicelib.runs import metrics
from chalice_app.chalicelib.runs.outcome import RunOutcome
from chalice_app.chalicelib.runs.records import record
from chalice_app.chalicelib.runs.timeline import Attempt, Timeline
from contract.keys import RunKeys
from tests.documents import published

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARCH = (date(2025, 3, 1), date(2025, 3, 2))


def claimed(pipeline) -> str:
    pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    pipeline.begin(run_id)
    return run_id


def test_a_run_is_running_in_its_record_as_soon_as_it_has_its_files(pipeline) -> None:
    run_id = claimed(pipeline)
    found = pipeline.records.get(run_id)
    started = datetime.fromisoformat(found["started_at"])
    assert found == {
        "run_id": run_id,
        "month": f"{started:%Y-%m}",
        "state": "RUNNING",
        "started_at": found["started_at"],
        "replay": "aws stepfunctions start-execution --state-machine-arn "
        f"{pipeline.settings.state_machine_arn} --input "
        f'\'{{"replay_of":"{run_id}","forced":true}}\'',
        "task": "process",
        "forced": False,
        "files": 11,
        "bytes": 11,
    }


def test_a_run_that_has_ended_well_says_what_it_did(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.write_verdict(
        run_id, reasons={"unknown_product": 1, "bad_quantity": 2}, orders_3="rejected"
    )
    pipeline.write_published(run_id, *MARCH)
    pipeline.finish_run(run_id)
    found = pipeline.records.get(run_id)
    assert found["state"] == "SUCCEEDED"
    assert found["ended_at"] >= found["started_at"]
    # Of 11 files with 40 rows each, one is rejected.
    assert found["rows"] == {"accepted": 397, "quarantined": 42, "held": 1}
    assert found["rejected_files"] == [{"name": "orders_3.csv", "reason": "too_many_bad_rows"}]
    assert found["rejected_file_count"] == 1
    assert (found["engine"], found["dates"]) == ("sail", ["2025-03-01", "2025-03-02"])
    assert (found["ledger"], found["previous_version"], found["ledger_version"]) == (
        "ledger/main",
        7,
        8,
    )
    assert (found["items_written"], found["items_deleted"]) == (12, 1)
    assert found["seconds_by_stage"] == {
        "read": Decimal("0.25"),
        "commit": Decimal("1.5"),
        "compute": Decimal(3),
        "publish": Decimal("0.125"),
    }
    # The machine of these tests is one Wait state, which is still running.
    assert list(found["seconds_by_state"]) == ["Run"]
    assert found["transitions"] == 1
    # 13 items at 2 units, the record at 12; one transition; 11 files copied and read.
    assert found["cost_by_service"]["dynamodb"] == Decimal("0.000026")
    assert found["cost_by_service"]["step_functions"] == Decimal("0.000025")
    assert found["cost_by_service"]["s3"] == Decimal("0.000283")
    assert found["estimated_cost"] == sum(found["cost_by_service"].values())


def test_a_record_of_two_hundred_years_and_a_huge_cause_fits_into_its_item(pipeline) -> None:
    dates = [date(1900, 1, 1) + timedelta(days=n) for n in range(73_000)]
    outcome = RunOutcome(
        run_id="r", state="FAILED", cause="x" * 500_000, published=published(dates)
    )
    pipeline.records.write(record(outcome, pipeline.settings, started_at=NOON), final=True)
    found = pipeline.records.get("r")
    assert found["dates"] == [day.isoformat() for day in dates[:1500]]
    assert found["date_count"] == 73_000


def test_a_run_has_no_estimate_as_long_as_a_part_of_its_cost_is_unknown(pipeline) -> None:
    outcome = RunOutcome(run_id="big", state="SUCCEEDED")
    timeline = Timeline(
        seconds={"TransformBigBatch": 600.0},
        attempts={"TransformBigBatch": [Attempt(seconds=600.0)]},
        transitions=1,
    )
    item = record(outcome, pipeline.settings, started_at=NOON, timeline=timeline)
    pipeline.records.write(item, final=True)
    found = pipeline.records.get("big")
    assert found["cost_by_service"]["emr_serverless"] is None
    assert found["cost_by_service"]["step_functions"] == Decimal("0.000025")
    assert "estimated_cost" not in found


def test_a_run_whose_transformer_reports_nothing_is_recorded_all_the_same(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.finish(run_id)
    found = pipeline.records.get(run_id)
    assert (found["state"], found["files"]) == ("SUCCEEDED", 11)
    assert "ledger_version" not in found
    assert "engine" not in found


def test_a_failed_run_keeps_the_beginning_of_its_cause(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.release_lock(run_id, "TransformFiles: " + "x" * 40_000)
    found = pipeline.records.get(run_id)
    assert found["state"] == "FAILED"
    assert found["cause"] == "TransformFiles: " + "x" * 1984


def test_a_run_that_failed_before_it_had_any_files_is_recorded_too(pipeline) -> None:
    pipeline.sfn.start_execution(
        stateMachineArn=pipeline.settings.state_machine_arn, name="by-hand", input="{}"
    )
    pipeline.release_lock("by-hand", "ClaimError: nothing to process")
    found = pipeline.records.get("by-hand")
    assert (found["state"], found["cause"]) == ("FAILED", "ClaimError: nothing to process")
    assert "files" not in found


def test_an_aborted_run_is_recorded_from_what_step_functions_says(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.die(run_id)
    pipeline.trigger.execution_ended(run_id, "ABORTED")
    found = pipeline.records.get(run_id)
    stopped = pipeline.sfn.describe_execution(executionArn=pipeline.settings.execution_arn(run_id))[
        "stopDate"
    ].astimezone(UTC)
    assert found["state"] == "ABORTED"
    assert found["ended_at"] == stopped.isoformat(timespec="milliseconds")


def test_step_functions_has_the_last_word_on_how_a_run_ended(pipeline) -> None:
    """An abort between the step that gives the lock back and the end."""
    run_id = claimed(pipeline)
    pipeline.finish(run_id)
    assert pipeline.records.get(run_id)["state"] == "SUCCEEDED"
    pipeline.trigger.execution_ended(run_id, "ABORTED")
    assert pipeline.records.get(run_id)["state"] == "ABORTED"


def test_nothing_that_comes_late_makes_an_ended_run_run_or_end_otherwise(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.write_verdict(run_id)
    pipeline.finish_run(run_id)
    before = pipeline.records.get(run_id)
    pipeline.later = timedelta(minutes=5)
    pipeline.begin(run_id)
    pipeline.finish_run(run_id)
    pipeline.release_lock(run_id, "late")
    assert pipeline.records.get(run_id) == before


def test_the_end_of_a_run_whose_event_was_lost_is_recorded_by_the_schedule(pipeline) -> None:
    run_id = claimed(pipeline)
    pipeline.trigger.tick()
    assert pipeline.records.get(run_id)["state"] == "RUNNING"
    pipeline.die(run_id)
    pipeline.trigger.tick()
    assert pipeline.records.get(run_id)["state"] == "ABORTED"


def test_a_run_is_measured_once_however_often_its_end_is_heard(
    pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = claimed(pipeline)
    pipeline.write_verdict(run_id, reasons={"unknown_order": 1}, orders_3="rejected")
    with caplog.at_level(logging.INFO):
        pipeline.finish_run(run_id)
        assert measured(caplog) == []
        pipeline.die(run_id)
        for _ in range(2):
            pipeline.trigger.execution_ended(run_id, "ABORTED")
        pipeline.trigger.tick()
    [line] = measured(caplog)
    assert (line.run_id, line.state, line.Stage) == (run_id, "ABORTED", "dev")
    assert (line.RowsAccepted, line.RowsHeld, line.RowsQuarantined) == (399, 1, 40)
    assert (line.Files, line.FilesRejected) == (11, 1)
    # What its transformer has not reported is no zero.
    [directive] = line._aws["CloudWatchMetrics"]
    names = {metric["Name"] for metric in directive["Metrics"]}
    assert set(metrics.OF_A_RUN) - names == {
        *("ItemsWritten", "ItemsDeleted", "ValidateSeconds", "TransformSeconds"),
    }
    assert "final" not in pipeline.records.get(run_id)


def measured(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message == "run measured"]


def test_a_record_that_cannot_be_written_does_not_stop_the_run(
    pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.dynamodb.delete_table(TableName=pipeline.settings.runs_table)
    with caplog.at_level(logging.WARNING):
        run_id = claimed(pipeline)
        pipeline.finish(run_id)
        pipeline.trigger.tick()
    assert pipeline.stored("incoming/") == []
    assert pipeline.lock_owner() is None
    warned = [r for r in caplog.records if r.message == "run record not written"]
    assert [record.run_id for record in warned] == [run_id, run_id, "the latest"]


def test_a_verdict_that_is_no_json_costs_the_record_and_not_the_lock(
    pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = claimed(pipeline)
    pipeline.s3.put_object(Bucket=pipeline.settings.bucket, Key=RunKeys(run_id).verdict, Body=b"{")
    assert pipeline.release_lock(run_id, "QuarantineRejected") == {"released": True}
    assert pipeline.records.get(run_id)["state"] == "RUNNING"
    pipeline.s3.delete_object(Bucket=pipeline.settings.bucket, Key=RunKeys(run_id).verdict)
    pipeline.die(run_id)
    pipeline.trigger.tick()
    assert pipeline.records.get(run_id)["state"] == "ABORTED"


def put(pipeline, run_id: str, started_at: datetime) -> None:
    outcome = RunOutcome(run_id=run_id, state="SUCCEEDED")
    pipeline.records.write(record(outcome, pipeline.settings, started_at=started_at), final=True)


def test_the_latest_runs_come_newest_first_across_months_and_years(pipeline) -> None:
    months = {"a": (2025, 11), "b": (2025, 12), "c": (2026, 1), "d": (2026, 3)}
    for name, (year, month) in months.items():
        for day in (1, 20):
            put(pipeline, f"{name}{day}", datetime(year, month, day, tzinfo=UTC))
    put(pipeline, "too-old", datetime(2025, 3, 31, tzinfo=UTC))

    def latest(limit: int) -> list[str]:
        return [run["run_id"] for run in pipeline.records.latest(limit, now=NOON)]

    assert latest(3) == ["d20", "d1", "c20"]
    assert latest(100) == ["d20", "d1", "c20", "c1", "b20", "b1", "a20", "a1"]


def test_what_the_transformer_keeps_in_the_table_is_no_run(pipeline) -> None:
    pipeline.dynamodb.put_item(
        TableName=pipeline.settings.runs_table,
        Item={"run_id": {"S": "ledger"}, "published": {"N": "7"}},
    )
    assert pipeline.records.get("ledger") is None
    assert pipeline.records.get("no-such-run") is None
    assert pipeline.records.latest(5, now=datetime.now(UTC)) == []


def test_a_month_of_more_than_one_page_is_read_to_its_end(pipeline) -> None:
    """A page of a query holds 1 MB."""
    for n in range(10):
        pipeline.records.write(
            {
                "run_id": f"{n}",
                "month": "2026-03",
                "started_at": f"2026-03-01T12:00:0{n}",
                "state": "FAILED",
                "cause": "x" * 300_000,
            },
            final=True,
        )
    first_page = pipeline.dynamodb.query(
        TableName=pipeline.settings.runs_table,
        IndexName="by_month",
        KeyConditionExpression="#month = :month",
        ExpressionAttributeNames={"#month": "month"},
        ExpressionAttributeValues={":month": {"S": "2026-03"}},
    )
    assert first_page["Count"] < 10
    assert [run["run_id"] for run in pipeline.records.latest(10, now=NOON)] == list("9876543210")
