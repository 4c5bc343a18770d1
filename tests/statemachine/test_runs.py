"""The shipped machine, executed: uploads in, KPI items out, and every way to fail."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

OPERATOR = Path(sys.executable).with_name("shopkpi")
ELEVEN = {"2025-01-01": 1, "2025-01-02": 1, "2025-01-03": 1, "2025-01-04": 1, "2025-01-05": 1}


def test_eleven_uploads_become_kpis_and_end_in_processed(shop) -> None:
    shop.deliver()
    [run] = shop.ended(known=shop.before)
    assert shop.status(run) == "SUCCEEDED"
    assert shop.states(run) == [
        "CheckFileThreshold",
        "EvaluateThreshold",
        "ValidateFiles",
        "QuarantineRejected",
        "ChooseTransformer",
        "TransformFiles",
        "ResetLock",
        "NotifyResults",
        "Success",
    ]
    assert shop.orders_per_day() == ELEVEN
    assert shop.names("incoming/") == []
    assert len(shop.names("processed/")) == 11
    assert not shop.locked()
    assert shop.messages() == []
    shop.wait_for(lambda: "Success" in shop.record(run)["seconds_by_state"], 30)
    record = shop.record(run)
    assert (record["state"], record["files"], record["engine"]) == ("SUCCEEDED", 11, "stand-in")
    assert record["dates"] == list(ELEVEN)
    assert set(record["seconds_by_state"]) == set(shop.states(run))
    assert record["seconds_by_state"]["TransformFiles"] > 0
    assert record["transitions"] == 9
    # Two containers on Spot are billed a minute each, of 1 vCPU with 2 and with 4 GB.
    assert record["cost_by_service"]["fargate"] == Decimal("0.000592")


def test_a_file_without_its_header_is_reported_and_the_others_are_processed(shop) -> None:
    shop.put("orders_bad.csv", "no,such,columns\n1,2,3\n")
    shop.deliver()
    [run] = shop.ended(known=shop.before)
    assert shop.status(run) == "SUCCEEDED"
    assert shop.states(run)[-3:] == ["ResetLock", "NotifyResults", "Success"]
    assert shop.names("quarantine/") == ["orders_bad.csv"]
    assert shop.names("incoming/") == []
    assert shop.orders_per_day() == ELEVEN
    [sent] = shop.messages()
    run_id = run.rsplit(":", 1)[-1]
    assert sent.subject == f"Run succeeded, 1 file rejected - dev {run_id}"
    assert "- orders_bad.csv: missing_column\n" in sent.message
    assert f"s3://ecommerce-data/quarantine/{run_id}/files/" in sent.message
    assert "The KPIs of 5 dates (2025-01-01 to 2025-01-05) are published" in sent.message
    assert f"shopkpi quarantine {run_id} --download bad --stage dev" in sent.message


def test_a_delivery_of_only_bad_files_fails_and_leaves_nothing_behind(shop) -> None:
    for n in range(5):
        shop.put(f"orders_{n}.csv", "x\n")
        shop.put(f"order_items_{n}.csv", "x\n")
    shop.put("products.csv", "x\n")
    [run] = shop.ended(known=shop.before)
    assert shop.status(run) == "FAILED"
    assert shop.states(run)[-5:] == [
        "QuarantineRejected",
        "NotifyFailure",
        "LogFailure",
        "ReleaseLock",
        "Fail",
    ]
    assert shop.names("incoming/") == []
    assert len(shop.names("quarantine/")) == 11
    assert not shop.locked()
    [sent] = shop.messages()
    assert sent.subject.startswith("Run failed: AllFilesRejected - dev ")
    assert "Rejected, 11 of 11 files" in sent.message
    assert "No KPI has changed." in sent.message
    record = shop.record(run)
    assert (record["state"], record["rejected_file_count"]) == ("FAILED", 11)
    assert record["cause"].startswith("AllFilesRejected: No row was accepted; 11 files")


def replayed(shop, sent) -> str:
    """Type the message's command to replay, which waits for the end; return its run."""
    [command] = [line.strip() for line in sent.message.splitlines() if " replay " in line]
    known = shop.executions()
    subprocess.run(
        [OPERATOR, *shlex.split(command)[1:]],
        env={**os.environ, **shop.cloud.environment},
        check=True,
        timeout=60,
    )
    [replay] = set(shop.executions()) - {*known}
    return replay


def test_a_crash_is_retried_then_notified_and_its_replay_command_works(shop) -> None:
    shop.tell("validator", "crash")
    shop.deliver()
    [run] = shop.ended(known=shop.before)
    assert shop.status(run) == "FAILED"
    answer = shop.sfn.describe_execution(executionArn=run)
    assert answer["error"] == "PipelineFailed"
    assert '"ExitCode": 1' in answer["cause"] or '"ExitCode":1' in answer["cause"]
    history = shop.sfn.get_execution_history(executionArn=run)["events"]
    assert sum(event["type"] == "TaskFailed" for event in history) == 3
    assert not shop.locked()
    assert len(shop.names("incoming/")) == 11
    [sent] = shop.messages()
    assert sent.subject.startswith("Run failed: States.TaskFailed - dev ")
    assert "- incoming/orders_4.csv\n" in sent.message
    failed = shop.session.client("cloudwatch").list_metrics(
        Namespace="ECommercePipeline", MetricName="FailedRuns"
    )
    assert failed["Metrics"][0]["Dimensions"] == [{"Name": "Stage", "Value": "dev"}]

    shop.tell("validator", "on")
    replay = replayed(shop, sent)
    assert shop.status(replay) == "SUCCEEDED"
    assert shop.orders_per_day() == ELEVEN
    assert shop.names("incoming/") == []


@pytest.mark.parametrize(
    ("state", "how", "code", "validator", "transformer"),
    [
        # What Spot sends when AWS wants the capacity back.
        ("ValidateFiles", signal.SIGTERM, 143, ["FARGATE_SPOT", "FARGATE"], ["FARGATE_SPOT"]),
        ("TransformFiles", signal.SIGKILL, 137, ["FARGATE_SPOT"], ["FARGATE_SPOT", "FARGATE"]),
    ],
)
def test_a_task_that_is_ended_on_spot_is_retried_on_demand_and_its_batch_completes(
    shop, state: str, how: signal.Signals, code: int, validator: list[str], transformer: list[str]
) -> None:
    task = "validator" if state == "ValidateFiles" else "transformer"
    shop.tell(task, "sleep 30")
    shop.deliver()
    run = shop.in_state(state)
    time.sleep(0.8)
    shop.tell(task, "on")
    shop.end_task(how)
    assert shop.ended(known=shop.before) == [run]
    assert shop.status(run) == "SUCCEEDED"
    failed = [
        event["taskFailedEventDetails"]["cause"]
        for event in shop.sfn.get_execution_history(executionArn=run)["events"]
        if event["type"] == "TaskFailed"
    ]
    assert [json.loads(cause)["Containers"][0]["ExitCode"] for cause in failed] == [code]
    assert shop.capacity_providers(run) == [validator, transformer]
    assert shop.orders_per_day() == ELEVEN
    assert not shop.locked()
    shop.wait_for(lambda: "Success" in shop.record(run)["seconds_by_state"], 5)
    # A minute each of 1 vCPU with 2 or with 4 GB: two on Spot, the retry on demand.
    assert shop.record(run)["cost_by_service"]["fargate"] == (
        Decimal("0.001497") if task == "validator" else Decimal("0.001660")
    )


@pytest.mark.parametrize("task", ["validator", "transformer"])
def test_after_a_task_that_always_crashes_the_next_batch_takes_its_files_along(
    shop, task: str
) -> None:
    shop.tell(task, "crash")
    shop.deliver()
    [first] = shop.ended(known=shop.before)
    assert shop.status(first) == "FAILED"
    assert not shop.locked()
    shop.tell(task, "on")
    shop.put("orders_next.csv", "order_id,order_date\nn,2025-01-09\n")
    [second] = shop.ended(known=(*shop.before, first))
    assert shop.status(second) == "SUCCEEDED"
    assert shop.orders_per_day() == {**ELEVEN, "2025-01-09": 1}
    assert shop.names("incoming/") == []


@pytest.mark.parametrize("state", ["WaitForFiles", "ValidateFiles", "TransformFiles"])
@pytest.mark.parametrize("news", ["heard", "lost"])
def test_a_run_that_is_aborted_frees_the_lock_and_the_next_one_completes(
    shop, state: str, news: str
) -> None:
    """By the rule on the execution's end; by the schedule when that event is lost."""
    if news == "lost":
        shop.end_events("off")
    if state == "WaitForFiles":
        shop.start({"files": ["incoming/orders_0.csv"]})
        shop.in_state(state)
        shop.deliver()
    else:
        shop.tell("validator" if state == "ValidateFiles" else "transformer", "sleep 30")
        shop.deliver()
        shop.in_state(state)
    [run] = shop.executions("RUNNING")
    assert shop.locked()
    shop.sfn.stop_execution(executionArn=run)
    # The task is gone when the execution has ended; told earlier, it would go on until then.
    shop.ended(known=shop.before)
    for task in ("validator", "transformer"):
        shop.tell(task, "on")
    assert shop.status(run) == "ABORTED"
    if news == "heard":
        shop.wait_for(lambda: not shop.locked(), 30)
        [sent] = shop.wait_for(shop.messages, 30)
        assert sent.subject == f"Run stopped - dev {run.rsplit(':', 1)[-1]}"
        if state != "WaitForFiles":
            assert (
                "Its 11 files are in s3://ecommerce-data/incoming/ for the next run" in sent.message
            )
    if state == "TransformFiles" and news == "heard":
        shop.wait_for(lambda: shop.record(run)["state"] == "ABORTED", 30)
    shop.schedule("on")
    [second] = shop.ended(known=(*shop.before, run))
    assert shop.status(second) == "SUCCEEDED"
    assert shop.orders_per_day() == ELEVEN
    assert shop.names("incoming/") == []
    shop.wait_for(lambda: not shop.locked(), 30)


def test_four_files_and_no_more_events_are_forced_after_the_scaled_thirty_minutes(
    shop,
) -> None:
    shop.schedule("on")
    began = time.monotonic()
    shop.deliver(orders=4, items=0, products=0)
    time.sleep(3)
    assert shop.executions() == list(shop.before)
    [run] = shop.ended(known=shop.before)
    assert time.monotonic() - began >= 14
    assert json.loads(shop.sfn.describe_execution(executionArn=run)["input"])["forced"] is True
    assert shop.orders_per_day() == dict.fromkeys(list(ELEVEN)[:4], 1)
    assert "incoming/threshold_not_met_timestamp.json" not in shop.stored()


def test_an_execution_started_by_hand_needs_only_its_files(shop) -> None:
    shop.sfn.describe_state_machine(stateMachineArn=shop.stack.state_machine_arn)
    shop.end_events("off")
    unseen = shop.session.client("s3")
    unseen.put_bucket_notification_configuration(
        Bucket=shop.stack.bucket, NotificationConfiguration={}
    )
    try:
        shop.deliver()
        files = [key for key in shop.stored("incoming/") if key.endswith(".csv")]
        run = shop.start({"orders_count": 5, "items_count": 5, "products_count": 1, "files": files})
        shop.ended(known=shop.before)
    finally:
        unseen.put_bucket_notification_configuration(
            Bucket=shop.stack.bucket, NotificationConfiguration=shop.uploads
        )
    assert shop.status(run) == "SUCCEEDED"
    assert shop.orders_per_day() == ELEVEN
    assert not shop.locked()


def test_a_run_started_by_hand_waits_counts_again_and_goes_on(shop) -> None:
    shop.put("orders_0.csv", "order_id,order_date\n0,2025-01-01\n")
    run = shop.start({"files": ["incoming/orders_0.csv"]})
    shop.in_state("WaitForFiles")
    shop.deliver()
    assert shop.ended(known=shop.before) == [run]
    assert shop.status(run) == "SUCCEEDED"
    states = Counter(shop.states(run))
    assert states["CheckFileThreshold"] == states["WaitForFiles"] + 1 >= 2
    assert shop.orders_per_day() == ELEVEN


def test_a_run_started_by_hand_for_files_that_never_come_fails_by_name(shop) -> None:
    run = shop.start({"files": ["incoming/orders_typo.csv"]})
    assert shop.ended(known=shop.before) == [run]
    assert shop.status(run) == "FAILED"
    assert "incoming/orders_typo.csv" in shop.sfn.describe_execution(executionArn=run)["cause"]
    assert not shop.locked()


def test_a_second_run_started_by_hand_waits_for_the_lock(shop) -> None:
    shop.tell("transformer", "sleep 2")
    shop.deliver()
    first = shop.in_state("TransformFiles")
    shop.put("orders_b.csv", "order_id,order_date\nb,2025-01-08\n")
    second = shop.start({"files": ["incoming/orders_b.csv"], "forced": True})
    shop.ended(2, known=shop.before)
    assert shop.status(first) == shop.status(second) == "SUCCEEDED"
    assert "WaitForFiles" in shop.states(second)
    assert shop.orders_per_day() == {**ELEVEN, "2025-01-08": 1}


def test_a_run_for_the_files_of_a_finished_run_ends_well_at_once_and_names_that_run(shop) -> None:
    shop.deliver()
    files = [key for key in shop.stored("incoming/") if key.endswith(".csv")]
    [first] = shop.ended(known=shop.before)
    second = shop.start({"orders_count": 5, "items_count": 5, "products_count": 1, "files": files})
    shop.ended(2, known=shop.before)
    assert shop.status(second) == "SUCCEEDED"
    output = json.loads(shop.sfn.describe_execution(executionArn=second)["output"])
    assert output["decision"] == "already_processed"
    assert output["processed_by"] == name_of(first)
    assert f"and 10 more are in run {name_of(first)}, processed" in output["reason"]
    assert not {"WaitForFiles", "ValidateFiles"} & set(shop.states(second))
    assert shop.orders_per_day() == ELEVEN
    assert shop.messages() == []
    assert not shop.locked()


def test_runs_that_eventbridge_starts_with_the_uploads_events_process_the_folder_once(shop) -> None:
    shop.s3.put_bucket_notification_configuration(
        Bucket=shop.stack.bucket, NotificationConfiguration={}
    )
    shop.end_events("off")
    try:
        shop.deliver()
        keys = [key for key in shop.stored("incoming/") if key.endswith(".csv")]
        runs = [
            shop.start(
                {
                    "source": "aws.s3",
                    "detail-type": "Object Created",
                    "detail": {"bucket": {"name": shop.stack.bucket}, "object": {"key": key}},
                }
            )
            for key in keys[:3]
        ]
        shop.ended(3, known=shop.before)
    finally:
        shop.s3.put_bucket_notification_configuration(
            Bucket=shop.stack.bucket, NotificationConfiguration=shop.uploads
        )
    assert [shop.status(run) for run in runs] == ["SUCCEEDED"] * 3
    assert sorted("ValidateFiles" in shop.states(run) for run in runs) == [False, False, True]
    assert shop.orders_per_day() == ELEVEN
    assert shop.messages() == []
    assert not shop.locked()


def test_a_recompute_goes_straight_to_the_transformer_and_leaves_files_alone(shop) -> None:
    shop.put("orders_waiting.csv", "order_id,order_date\n1,2025-01-01\n")
    run = shop.start({"recompute": {"from": "2025-03-01", "to": "2025-03-31"}})
    assert shop.ended(known=shop.before) == [run]
    assert shop.status(run) == "SUCCEEDED"
    assert shop.states(run) == [
        "CheckFileThreshold",
        "EvaluateThreshold",
        "TransformFiles",
        "ResetLock",
        "NotifyResults",
        "Success",
    ]
    assert shop.names("incoming/") == ["orders_waiting.csv"]
    assert not shop.locked()
    record = shop.record(run)
    assert (record["task"], record["start"], record["end"]) == (
        "recompute",
        "2025-03-01",
        "2025-03-31",
    )


def test_a_finished_run_is_replayed_and_a_rebuild_reads_all_from_processed(shop) -> None:
    shop.deliver()
    [first] = shop.ended(known=shop.before)
    processed = shop.stored("processed/")
    for item in shop.table.scan()["Items"]:
        shop.table.delete_item(Key={"order_date": item["order_date"]})

    replay = shop.start({"replay_of": first.rsplit(":", 1)[-1]})
    shop.ended(known=(*shop.before, first))
    assert shop.status(replay) == "SUCCEEDED"
    assert "WaitForFiles" not in shop.states(replay)
    assert shop.orders_per_day() == ELEVEN

    shop.table.put_item(Item={"order_date": "1999-01-01", "order_ids": {"gone"}})
    rebuild = shop.start({"rebuild": True})
    shop.ended(known=(*shop.before, first, replay))
    assert shop.status(rebuild) == "SUCCEEDED"
    assert "ValidateFiles" in shop.states(rebuild)
    assert shop.orders_per_day() == ELEVEN
    assert shop.stored("processed/") == processed
    assert [shop.record(run)["task"] for run in (first, replay, rebuild)] == [
        "process",
        "process",
        "rebuild",
    ]
    assert not shop.locked()


def test_a_recompute_that_crashes_is_notified_and_its_replay_command_recomputes(shop) -> None:
    shop.tell("transformer", "crash")
    run = shop.start({"recompute": {"from": "2025-03-01", "to": "2025-03-01"}})
    shop.ended(known=shop.before)
    assert shop.status(run) == "FAILED"
    assert not shop.locked()
    shop.tell("transformer", "on")
    [sent] = shop.messages()
    replay = replayed(shop, sent)
    assert shop.status(replay) == "SUCCEEDED"
    assert shop.record(replay)["dates"] == ["2025-03-01"]


def test_dates_in_the_wrong_order_fail_at_once_and_tell_the_right_one(shop) -> None:
    run = shop.start({"recompute": {"from": "2025-03-31", "to": "2025-03-01"}})
    shop.ended(known=shop.before)
    assert shop.status(run) == "FAILED"
    cause = shop.sfn.describe_execution(executionArn=run)["cause"]
    assert "in the wrong order" in cause
    assert "WaitForFiles" not in shop.states(run)
    assert not shop.locked()
    assert shop.record(run)["state"] == "FAILED"


def test_two_thousand_five_hundred_files_are_processed_in_capped_batches(shop) -> None:
    for task in ("validator", "transformer"):
        shop.tell(task, "unread")

    def put(n: int) -> None:
        shop.put(f"orders_{n:04}.csv", f"order_id,order_date\n{n},2025-02-01\n")

    shop.s3.put_bucket_notification_configuration(
        Bucket=shop.stack.bucket, NotificationConfiguration={}
    )
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(2489)))
    finally:
        shop.s3.put_bucket_notification_configuration(
            Bucket=shop.stack.bucket, NotificationConfiguration=shop.uploads
        )
    shop.deliver()
    runs = shop.ended(5, known=shop.before, within=300)
    assert [shop.status(run) for run in runs] == ["SUCCEEDED"] * 5
    inputs = [json.loads(shop.sfn.describe_execution(executionArn=run)["input"]) for run in runs]
    assert [len(given["files"]) for given in inputs] == [500] * 5
    assert len({key for given in inputs for key in given["files"]}) == 2500
    assert len(shop.names("processed/")) == 2500
    assert shop.names("incoming/") == []


def run_from(shop, state: str, given: dict, **changed: str) -> str:
    """Run the shipped machine from a state on, with another function or topic in its place."""
    described = shop.sfn.describe_state_machine(stateMachineArn=shop.stack.state_machine_arn)
    definition = described["definition"]
    for old, new in changed.items():
        assert old in definition
        definition = definition.replace(old, new)
    machine = shop.sfn.create_state_machine(
        name=f"part-{uuid.uuid4().hex}",
        definition=json.dumps(json.loads(definition) | {"StartAt": state}),
        roleArn=described["roleArn"],
    )["stateMachineArn"]
    run = shop.sfn.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    shop.wait_for(lambda: shop.status(run) != "RUNNING", 20)
    return run


def test_a_run_whose_message_cannot_be_sent_still_succeeds(shop) -> None:
    run = run_from(shop, "NotifyResults", {}, **{"dev-NotifyRunEnd": "dev-NoSuchFunction"})
    assert shop.status(run) == "SUCCEEDED"
    assert shop.states(run) == ["NotifyResults", "Success"]


def test_a_failure_that_the_machine_cannot_report_is_counted_and_the_lock_is_released(shop) -> None:
    failure = {"failure": {"Error": "States.Timeout", "Cause": "too slow"}}
    run = run_from(shop, "NotifyFailure", failure, **{"dev-NotifyRunEnd": "dev-NoSuchFunction"})
    assert shop.status(run) == "FAILED"
    assert shop.states(run) == ["NotifyFailure", "LogFailure", "ReleaseLock", "Fail"]
    answer = shop.sfn.describe_execution(executionArn=run)
    assert (answer["error"], answer["cause"]) == ("PipelineFailed", "States.Timeout: too slow")


def test_a_failure_is_reported_even_when_the_function_that_reports_it_may_do_nothing(shop) -> None:
    shop.tell("validator", "crash")
    with shop.without_permissions("NotifyRunEndRole"):
        shop.deliver()
        [run] = shop.ended(known=shop.before)
    assert shop.states(run)[-4:] == ["NotifyFailure", "LogFailure", "ReleaseLock", "Fail"]
    assert not shop.locked()
    [sent] = shop.wait_for(shop.messages, 30)
    assert sent.subject.startswith("Run failed: States.TaskFailed - dev ")
    assert "- incoming/orders_4.csv\n" in sent.message


@pytest.mark.parametrize(
    ("application", "size", "transformer"),
    [
        ("00f1abcdefghijkl", 10_000_000_001, "TransformBigBatch"),
        ("00f1abcdefghijkl", 10_000_000_000, "TransformFiles"),
        ("", 10_000_000_001, "TransformFiles"),
    ],
)
def test_only_a_big_batch_goes_to_emr_serverless_and_only_where_there_is_an_application(
    shop, application: str, size: int, transformer: str
) -> None:
    described = shop.sfn.describe_state_machine(stateMachineArn=shop.stack.state_machine_arn)
    machine = json.loads(described["definition"]) | {"StartAt": "ChooseTransformer"}
    for name in ("TransformFiles", "TransformBigBatch"):
        machine["States"][name] = {"Type": "Succeed"}
    big = {"application": application, "bytes": 10_000_000_000}
    created = shop.sfn.create_state_machine(
        name=f"choice-{uuid.uuid4().hex}",
        definition=json.dumps(machine),
        roleArn=described["roleArn"],
    )["stateMachineArn"]
    run = shop.sfn.start_execution(
        stateMachineArn=created,
        input=json.dumps({"bytes": size, "big": big}),
    )["executionArn"]
    shop.wait_for(lambda: shop.status(run) == "SUCCEEDED", 20)
    assert shop.states(run) == ["ChooseTransformer", transformer]


def name_of(arn: str) -> str:
    return arn.rsplit(":", 1)[-1]
