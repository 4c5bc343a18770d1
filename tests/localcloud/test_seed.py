"""docs/seed.md: the manual test of the assignment's README, step by step, on the embedded AWS."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import boto3
import pytest
from boto3.dynamodb.conditions import Key

from contract.states import State
from infra import template
from localcloud.provision import receive
from tests.conftest import ROOT

GUIDE = (ROOT / "docs/seed.md").read_text(encoding="utf-8")
BUCKET = "lab6-ecommerce-shop"
# The names that the assignment's README has.
NAMES = [
    *(BUCKET, "incoming/", "incoming/pipeline.lock", "incoming/threshold_not_met_timestamp.json"),
    *("CheckFileThreshold", "ECommercePipeline", "CategoryKPIs", "OrderKPIs"),
    *("ecommerce-data-pipeline-cluster", "ecommerce-validator-task", "ecommerce-transformer-task"),
    *("EvaluateThreshold", "WaitForFiles", "ValidateFiles", "TransformFiles", "ResetLock"),
    *("Success", "NotifyFailure", "LogFailure", "S3TestEvent", "eu-north-1"),
    *("S3_BUCKET", "S3_PREFIX", "LOCK_KEY", "THRESHOLD_MET_TIMESTAMP_KEY", "STEP_FUNCTION_ARN"),
    *("MIN_ORDER_FILES", "MIN_ITEM_FILES", "MIN_PRODUCT_FILES", "FORCE_PROCESS_AFTER_MINUTES"),
    *("/aws/lambda/CheckFileThreshold", "/aws/ecs"),
]
FILES = [
    *(f"incoming/orders_{n}.csv" for n in range(1, 6)),
    *(f"incoming/order_items_{n}.csv" for n in range(1, 6)),
    "incoming/products.csv",
]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[boto3.Session]:
    """What ``make localcloud BUCKET=lab6-ecommerce-shop`` starts."""
    home = tmp_path_factory.mktemp("seed") / "home"
    ports = [str(port) for port in free_ports(2)]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "localcloud", "serve", "--bucket", BUCKET, "--engine", "sail"),
            *("--home", str(home), "--port", ports[0], "--api-port", ports[1]),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: server.poll() is not None or (home / "environment").exists(), 120)
        variables = exports(home / "functions.environment")
        assert variables["S3_BUCKET"] == BUCKET
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield boto3.Session()
    finally:
        server.terminate()
        server.wait(30)


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def exports(path: Path) -> dict[str, str]:
    command = f". {path} && env -0"
    shown = subprocess.run(["sh", "-c", command], capture_output=True, check=True, env={})
    return dict(
        line.split("=", 1)
        for line in shown.stdout.decode().split("\0")
        if not line.startswith("_=") and "=" in line
    )


def wait_for(condition: Callable[[], object], seconds: float) -> object:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"did not happen within {seconds} s"
        time.sleep(0.2)
    return found


def executions(sfn: object, status: str | None = None) -> list[str]:
    """Return the ARNs of the executions, oldest first."""
    found = sfn.list_executions(stateMachineArn=os.environ["STEP_FUNCTION_ARN"])["executions"]
    return [one["executionArn"] for one in reversed(found) if status in {None, one["status"]}]


def ended(sfn: object, arn: str) -> dict:
    def done() -> dict | None:
        found = sfn.describe_execution(executionArn=arn)
        return None if found["status"] == "RUNNING" else found

    return wait_for(done, 240)


def block(step: int) -> dict:
    """Return the JSON that the guide has in a step."""
    section = GUIDE.partition(f"\n### {step}. ")[2].partition("\n### ")[0]
    return json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_guide_has_each_name_of_the_assignment(name: str) -> None:
    assert f"`{name}`" in GUIDE


def test_each_name_that_the_guide_gives_beside_it_is_in_the_template_or_the_machine() -> None:
    rows = re.findall(r"^\| `[^|]+` \| ([^|]+) \|", GUIDE, re.MULTILINE)
    assert len(rows) >= 12
    known = json.dumps(template.load(), default=str) + (ROOT / "chalice_app/app.py").read_text()
    known += (ROOT / "chalice_app/.chalice/config.json").read_text() + " ".join(State)
    for name in (name for row in rows for name in re.findall(r"`([^`]+)`", row)):
        plain = re.sub(r"-?dev\b|BUCKET|ecommerce-kpi-dev-", "", name)
        assert all(part in known for part in re.split(r"[/*-]+", plain) if part), name


# One test: each step needs what the one before it has left.
def test_the_five_steps_of_the_assignment(aws: boto3.Session) -> None:
    s3, sfn, functions = aws.client("s3"), aws.client("stepfunctions"), aws.client("lambda")

    # 1. Prepare test data.
    for n in range(1, 6):
        put(s3, f"orders_{n}.csv", f"{n}, 100{n}, 2025-07-07, 150.00, completed")
        put(s3, f"order_items_{n}.csv", f"{n}, 2001, 2, 75.00")
    put(s3, "products.csv", "2001, Electronics, Smartphone, 150.00")

    # 2. Trigger the Lambda function, by its plain name.
    invoked = functions.invoke(
        FunctionName="CheckFileThreshold", Payload=json.dumps(block(2)).encode()
    )
    assert "FunctionError" not in invoked
    assert json.load(invoked["Payload"])["decision"] in {"start", "busy", "wait", "deferred"}
    [first] = wait_for(lambda: executions(sfn), 30)
    assert ended(sfn, first)["status"] == "SUCCEEDED"

    # 3. Start the state machine by hand: the files are processed already.
    given = block(3)
    assert given["files"] == FILES
    by_hand = sfn.start_execution(
        stateMachineArn=os.environ["STEP_FUNCTION_ARN"], input=json.dumps(given)
    )["executionArn"]
    began = time.monotonic()
    finished = ended(sfn, by_hand)
    assert finished["status"] == "SUCCEEDED"
    output, run = json.loads(finished["output"]), first.rsplit(":", 1)[-1]
    assert (output["decision"], output["processed_by"]) == ("already_processed", run)
    assert f"incoming/order_items_1.csv and 10 more are in run {run}, processed" in output["reason"]
    assert f"shopkpi replay {run} --wait" in output["reason"]
    # The wait of five minutes is 5 s here.
    assert time.monotonic() - began < 60

    # 4. Verify the output.
    tables = aws.resource("dynamodb")
    daily = tables.Table("OrderKPIs").get_item(Key={"order_date": "2025-07-07"})["Item"]
    assert (daily["total_orders"], daily["total_revenue"]) == (5, Decimal("750.00"))
    [category] = tables.Table("CategoryKPIs").query(
        KeyConditionExpression=Key("category").eq("Electronics")
        & Key("order_date").between("2025-07-01", "2025-07-31")
    )["Items"]
    assert (category["daily_revenue"], category["avg_return_rate"]) == (Decimal("750.00"), 0)
    logs = aws.client("logs")
    for group in re.findall(r"aws logs tail (\S+)", GUIDE):
        assert logs.filter_log_events(logGroupName=group)["events"] != [], group

    # 5. Simulate a failure.
    queue = aws.client("sqs").get_queue_url(QueueName="ecommerce-pipeline-messages")["QueueUrl"]
    list(receive(aws.client("sqs"), queue))
    s3.put_object(Bucket=BUCKET, Key="incoming/orders_bad.csv", Body=b"no,header\n1,2\n")
    forced = wait_for(lambda: executions(sfn)[2:], 120)[0]
    assert ended(sfn, forced)["status"] == "FAILED"
    [notice] = wait_for(lambda: list(receive(aws.client("sqs"), queue)), 30)
    assert "orders_bad.csv" in notice.message
    kept = s3.list_objects_v2(Bucket=BUCKET, Prefix="quarantine/")["Contents"]
    assert any(found["Key"].endswith("orders_bad.csv") for found in kept)
    # A check that ran beside the run may still remove its note.
    wait_for(
        lambda: not s3.list_objects_v2(Bucket=BUCKET, Prefix="incoming/").get("Contents", []), 30
    )


def put(s3: object, name: str, row: str) -> None:
    header = {
        "orders": "order_id,user_id,order_date,total_amount,status",
        "order_items": "order_id,product_id,quantity,unit_price",
        "products": "product_id,category,name,price",
    }[re.match(r"[a-z_]*[a-z]", name)[0]]
    s3.put_object(Bucket=BUCKET, Key=f"incoming/{name}", Body=f"{header}\n{row}\n".encode())


def test_a_bucket_name_that_s3_refuses_is_refused_with_the_rule() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "localcloud", "serve", "--bucket", "Lab6_Shop"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "'Lab6_Shop' is no bucket name: give 3 to 63 lower-case letters" in refused.stderr
