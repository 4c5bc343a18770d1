"""Commands that change something: what --dry-run says is what happens without it."""

import json

import pytest

from tests.shopkpi.conftest import Shop, Type


def executions(shop: Shop) -> list[str]:
    found = shop.client("stepfunctions").list_executions(
        stateMachineArn=shop.stack.state_machine_arn
    )["executions"]
    return [execution["name"] for execution in found]


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ("replay RUN", {"replay_of": "RUN"}),
        (
            "backfill --from 2025-03-01 --to 2025-03-31",
            {"recompute": {"from": "2025-03-01", "to": "2025-03-31"}},
        ),
        ("rebuild", {"rebuild": True}),
    ],
)
def test_a_dry_run_shows_the_machines_input_and_starts_nothing(
    shop: Shop, local: Type, line: str, document: dict[str, object]
) -> None:
    before = executions(shop)
    answer = local(f"{line.replace('RUN', shop.run)} --dry-run --json")
    assert answer.code == 0
    assert answer.data["input"] == json.loads(json.dumps(document).replace("RUN", shop.run))
    assert executions(shop) == before


def test_a_backfill_is_waited_for_and_its_kpis_are_its_own(shop: Shop, local: Type) -> None:
    answer = local("backfill --from 2025-03-02 --to 2025-03-02 --wait --json")
    assert answer.code == 0, answer.err
    # Progress is on standard error, so that standard output is one document.
    assert "publishes the KPIs of 1 date again" in answer.err
    assert "TransformFiles" in answer.err
    run = answer.data
    assert (run["state"], run["record"]["task"]) == ("SUCCEEDED", "recompute")
    days = {day["order_date"]: day["run_id"] for day in local("kpis --json").data["items"]}
    assert days == {"2025-03-01": shop.run, "2025-03-02": run["run_id"]}


def test_a_run_that_fails_is_exit_code_1_with_its_cause(shop: Shop, local: Type) -> None:
    # A run that stopped after it claimed its files: it has only a manifest.
    manifest = {
        "run_id": "gone",
        "bucket": shop.stack.bucket,
        "created_at": "2026-01-02T03:04:05+00:00",
        "forced": False,
        "files": [],
        "task": "process",
        "start": None,
        "end": None,
    }
    shop.client("s3").put_object(
        Bucket=shop.stack.bucket, Key="runs/gone/manifest.json", Body=json.dumps(manifest)
    )
    answer = local("replay gone --wait")
    assert answer.code == 1
    assert "FAILED" in answer.out
    assert "a later run has taken its files" in answer.out
    assert "Traceback" not in answer.out
    # It claimed no files, so it cannot be replayed.
    assert "shopkpi replay" not in answer.out


def test_a_stale_lock_is_freed_and_a_dry_run_leaves_it(shop: Shop, local: Type) -> None:
    shop.write_lock(shop.run)
    seen = local("status").out
    assert f"by run {shop.run}, which succeeded; free it with `shopkpi unlock`" in seen
    assert local("doctor --json").code == 1
    assert local("unlock --dry-run").out.startswith("would free it: stale: taken ")
    assert shop.has_lock()
    assert local("unlock --json").data["freed"] is True
    assert not shop.has_lock()
    assert local("unlock").out == "there is no lock to free\n"


def test_unlock_refuses_to_free_the_lock_of_a_running_run_and_names_the_run(
    shop: Shop, local: Type
) -> None:
    sfn = shop.client("stepfunctions")
    # There are no files: it takes the lock and waits for them.
    arn = sfn.start_execution(
        stateMachineArn=shop.stack.state_machine_arn, name="by-hand", input="{}"
    )["executionArn"]
    try:
        shop.wait_for(
            lambda: [
                run
                for run in local("status --json").data["running"]
                if run["state"] == "WaitForFiles"
            ]
        )
        refused, seen = local("unlock"), local("status --json").data
        waiting = local(f"replay {shop.run} --dry-run")
    finally:
        # Without the rule on its end, which would free the lock at once.
        events, rule = shop.client("events"), "ecommerce-kpi-dev-OnExecutionEnded-event"
        events.disable_rule(Name=rule)
        sfn.stop_execution(executionArn=arn)
    shop.wait_for(lambda: sfn.describe_execution(executionArn=arn)["status"] == "ABORTED")
    assert "which was stopped" in local("status").out
    assert local("unlock").out.startswith("freed the lock of run by-hand. ")
    events.enable_rule(Name=rule)
    assert refused.code == 6
    assert refused.err.startswith("error: the lock is not stale: run by-hand has held it for ")
    assert f"aws stepfunctions stop-execution --execution-arn {arn}\n" in refused.err
    assert (seen["lock"]["run_id"], seen["lock"]["verdict"]) == ("by-hand", "running")
    assert [run["run_id"] for run in seen["running"]] == ["by-hand"]
    assert "it waits until run by-hand ends, which holds the lock" in waiting.out


def test_a_dead_letter_is_sent_back_to_its_function_which_processes_it(
    shop: Shop, local: Type
) -> None:
    """The letter is the end of a run, at which the function frees the run's lock."""
    execution = shop.stack.state_machine_arn.replace(":stateMachine:", ":execution:")
    function = "arn:aws:lambda:eu-north-1:123456789012:function:ecommerce-kpi-dev-OnExecutionEnded"
    event = {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "account": "123456789012",
        "region": "eu-north-1",
        "time": "2026-01-02T03:04:05Z",
        "resources": [f"{execution}:{shop.run}"],
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"executionArn": f"{execution}:{shop.run}", "status": "FAILED"},
    }
    letter = {
        "version": "1.0",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "requestContext": {"functionArn": f"{function}:$LATEST", "condition": "RetriesExhausted"},
        "requestPayload": event,
        "responsePayload": {"errorType": "EndpointConnectionError", "errorMessage": "no answer"},
    }
    sqs = shop.client("sqs")
    queue = sqs.get_queue_url(QueueName="ecommerce-kpi-dev-dead-letters")["QueueUrl"]
    for body in (json.dumps(letter), "not a letter"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    # The letter's function finds this lock and frees it.
    shop.write_lock(shop.run)

    planned = local("redrive --dry-run --json").data
    assert sorted((str(d["function"]), d["error"], d["outcome"]) for d in planned) == [
        ("None", "not a letter", "left: Lambda did not write it"),
        (
            "ecommerce-kpi-dev-OnExecutionEnded",
            "EndpointConnectionError: no answer",
            "would be sent",
        ),
    ]
    assert shop.has_lock()
    assert "2 dead letters" in local("doctor").out
    outcomes = {d["outcome"] for d in local("redrive --json").data}
    assert outcomes == {"sent", "left: Lambda did not write it"}
    shop.wait_for(lambda: not shop.has_lock())
    sqs.purge_queue(QueueUrl=queue)
    assert local("redrive").out == "no dead letters\n"
