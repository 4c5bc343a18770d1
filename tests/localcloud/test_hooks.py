"""The contract that an upgrade of moto has to keep: what the hooks promise, seen from outside."""

import json
import socket
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from infra import account

RECORDER = """
import pathlib, signal, sys, time
def note(*_):
    pathlib.Path({path!r}).write_text("SIGTERM")
    sys.exit(0)
signal.signal(signal.SIGTERM, note)
pathlib.Path({ready!r}).write_text("ready")
time.sleep(60)
"""


def test_moto_is_the_version_that_the_hooks_were_written_for() -> None:
    assert version("moto") == "5.2.5"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux lists sockets there")
def test_the_server_listens_on_the_loopback_address_only(aws) -> None:
    port = int(aws.cloud.endpoint.rsplit(":", 1)[-1])
    listening = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    addresses = {
        line.split()[1].split(":")[0]
        for line in listening
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    assert addresses == {f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}"}


def role_with(aws, name: str, *statements: dict[str, object]) -> str:
    iam = aws.session.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_role_policy(RoleName=name, PolicyName="run", PolicyDocument=policy)
    return role["Arn"]


def test_a_machine_is_refused_whose_role_may_not_use_the_managed_rule_of_a_sync_state(aws) -> None:
    state = {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": True}
    definition = json.dumps({"StartAt": "Run", "States": {"Run": state}})
    rule = "arn:aws:events:eu-north-1:123456789012:rule/StepFunctionsGetEventsForECSTaskRule"
    actions = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    allowed = {"Effect": "Allow", "Action": actions, "Resource": rule}
    without = role_with(aws, "without-rule", {**allowed, "Action": actions[:2]})
    with pytest.raises(aws.sfn.exceptions.ClientError, match="not authorized to create managed-r"):
        aws.sfn.create_state_machine(name="refused", definition=definition, roleArn=without)
    role = role_with(aws, "with-rule", allowed)
    created = aws.sfn.create_state_machine(name="created", definition=definition, roleArn=role)
    with pytest.raises(aws.sfn.exceptions.ClientError, match="not authorized to create managed-r"):
        aws.sfn.update_state_machine(
            stateMachineArn=created["stateMachineArn"], definition=definition, roleArn=without
        )


def test_a_cluster_with_capacity_providers_needs_the_service_linked_role_of_ecs(aws) -> None:
    iam, stacks = aws.session.client("iam"), aws.session.client("cloudformation")
    cluster = {
        "Type": "AWS::ECS::Cluster",
        "Properties": {"ClusterName": "another", "CapacityProviders": ["FARGATE"]},
    }
    body = json.dumps({"Resources": {"Cluster": cluster}})
    iam.delete_role(RoleName="AWSServiceRoleForECS")
    with pytest.raises(stacks.exceptions.ClientError, match="service linked role"):
        stacks.create_stack(StackName="another", TemplateBody=body)
    account.create_service_linked_role(iam)
    account.create_service_linked_role(iam)
    stacks.create_stack(StackName="with-role", TemplateBody=body)


def test_a_task_is_a_process_with_its_definitions_environment_and_command(aws, tmp_path) -> None:
    seen = tmp_path / "seen.json"
    code = (
        "import json, os, pathlib; keys = ('SHARED', 'EXTRA', 'ORDER_KPIS_TABLE',"
        " 'AWS_ENDPOINT_URL', 'AWS_REGION', 'AWS_DEFAULT_REGION', 'ECS_TASK_ARN');"
        f" pathlib.Path({str(seen)!r}).write_text("
        "json.dumps({'cwd': os.getcwd(), **{k: os.environ[k] for k in keys}}))"
    )
    answer = aws.run(aws.task(code))
    assert answer["status"] == "SUCCEEDED"
    output = json.loads(answer["output"])
    assert output["Containers"][0]["ExitCode"] == 0
    assert output["LastStatus"] == "STOPPED"
    environment = json.loads(seen.read_text())
    assert environment == {
        "cwd": str(Path(__file__).parents[2]),
        "SHARED": "definition",
        "EXTRA": "override",
        "ORDER_KPIS_TABLE": "OrderKPIs",
        "AWS_ENDPOINT_URL": aws.cloud.endpoint,
        "AWS_REGION": aws.cloud.region,
        "AWS_DEFAULT_REGION": aws.cloud.region,
        "ECS_TASK_ARN": output["TaskArn"],
    }


def test_a_task_whose_definition_has_no_region_has_none(aws) -> None:
    ecs = aws.session.client("ecs")
    found = ecs.describe_task_definition(taskDefinition="ecommerce-transformer-task")
    definition = found["taskDefinition"]
    [container] = definition["containerDefinitions"]
    container["memory"] = int(definition["memory"])
    kept = ("cpu", "executionRoleArn", "family", "networkMode", "taskRoleArn", "volumes")

    def register(environment: list[dict[str, str]]) -> str:
        registered = ecs.register_task_definition(
            containerDefinitions=[{**container, "environment": environment}],
            requiresCompatibilities=["FARGATE"],
            memory=definition["memory"],
            **{name: definition[name] for name in kept},
        )
        return registered["taskDefinition"]["taskDefinitionArn"]

    code = (
        "import boto3, botocore.exceptions, sys\n"
        "try: boto3.client('dynamodb')\n"
        "except botocore.exceptions.NoRegionError: sys.exit(7)"
    )
    state = aws.task(code)
    state["Parameters"]["TaskDefinition"] = register(
        [item for item in container["environment"] if not item["name"].endswith("_REGION")]
    )
    answer = aws.run(state)
    register(container["environment"])
    assert json.loads(answer["cause"])["Containers"][0]["ExitCode"] == 7


def test_a_non_zero_exit_code_fails_the_state_with_the_task_as_its_cause(aws) -> None:
    answer = aws.run(aws.task("import sys; sys.exit(3)"))
    assert (answer["status"], answer["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(answer["cause"])["Containers"][0]["ExitCode"] == 3


def test_a_task_killed_by_a_signal_has_128_plus_its_number(aws) -> None:
    answer = aws.run(aws.task("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert json.loads(answer["cause"])["Containers"][0]["ExitCode"] == 137


def test_a_time_out_ends_the_process_with_sigterm(aws, tmp_path) -> None:
    note, ready = tmp_path / "note", tmp_path / "ready"
    code = RECORDER.format(path=str(note), ready=str(ready))
    answer = aws.run(aws.task(code, TimeoutSeconds=1))
    assert answer["status"] in {"FAILED", "TIMED_OUT"}
    aws.wait_for(note.exists, 30)


def test_stopping_the_execution_ends_the_process_with_sigterm(aws, tmp_path) -> None:
    note, ready = tmp_path / "note", tmp_path / "ready"
    arn = aws.start(aws.task(RECORDER.format(path=str(note), ready=str(ready))))
    aws.wait_for(ready.exists, 30)
    aws.sfn.stop_execution(executionArn=arn)
    aws.wait_for(note.exists, 30)
    aws.wait_for(lambda: aws.described(arn)["status"] == "ABORTED", 30)


def test_a_task_that_is_retried_after_a_time_out_gets_its_full_time_again(aws, tmp_path) -> None:
    marker = tmp_path / "first"
    code = (
        f"import pathlib, time; p = pathlib.Path({str(marker)!r}); again = p.exists();"
        " p.touch(); time.sleep(0.5 if again else 60)"
    )
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    answer = aws.run(aws.task(code, TimeoutSeconds=5, Retry=retry))
    assert answer["status"] == "SUCCEEDED"


def test_waits_and_retry_intervals_are_scaled(aws) -> None:
    began = time.monotonic()
    assert aws.run({"Type": "Wait", "Seconds": 100, "End": True})["status"] == "SUCCEEDED"
    assert 1 <= time.monotonic() - began < 5
    retry = [
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 50, "MaxAttempts": 2, "BackoffRate": 2}
    ]
    began = time.monotonic()
    assert aws.run(aws.task("raise SystemExit(1)", Retry=retry))["status"] == "FAILED"
    assert 1.5 <= time.monotonic() - began < 10


def test_executions_without_a_name_get_one_each(aws) -> None:
    state = {"Type": "Pass", "Parameters": {"name.$": "$$.Execution.Name"}, "End": True}
    answers = [aws.run(state), aws.run(state)]
    names = [json.loads(answer["output"])["name"] for answer in answers]
    assert names == [answer["name"] for answer in answers]
    assert len(set(names)) == 2


def test_a_functions_error_reaches_the_machine_by_its_type(aws) -> None:
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": "ecommerce-kpi-dev-QuarantineRejected",
            "Payload": {"run_id": "no-such-run"},
        },
        "End": True,
    }
    answer = aws.run(state)
    assert (answer["status"], answer["error"]) == ("FAILED", "VerdictError")
    assert "runs/no-such-run/manifest.json" in answer["cause"]


@pytest.mark.parametrize("source", ["s3", "eventbridge"])
def test_an_upload_reaches_the_trigger_by_either_kind_of_event(aws, source: str) -> None:
    s3, bucket = aws.session.client("s3"), aws.stack.bucket
    before = s3.get_bucket_notification_configuration(Bucket=bucket)
    before.pop("ResponseMetadata")
    waiting = "incoming/threshold_not_met_timestamp.json"
    if source == "eventbridge":
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
    try:
        s3.put_object(Bucket=bucket, Key="incoming/orders a+b.csv", Body=b"x")
        aws.wait_for(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=waiting)["KeyCount"] == 1, 30)
    finally:
        for key in ("incoming/orders a+b.csv", waiting):
            s3.delete_object(Bucket=bucket, Key=key)
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=before)


@pytest.fixture
def table(aws) -> Iterator[tuple[Any, str]]:
    """A DynamoDB table with a partition key and a sort key."""
    dynamodb = aws.session.client("dynamodb")
    dynamodb.create_table(
        TableName="Transactions",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "day", "AttributeType": "S"},
            {"AttributeName": "category", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "day", "KeyType": "HASH"},
            {"AttributeName": "category", "KeyType": "RANGE"},
        ],
    )
    yield dynamodb, "Transactions"
    dynamodb.delete_table(TableName="Transactions")


def item(day: str, category: str, **attributes: str) -> dict[str, Any]:
    values = {"day": day, "category": category, **attributes}
    return {name: {"S": value} for name, value in values.items()}


@pytest.mark.parametrize(
    "change",
    [
        {"Put": {"Item": item("1", "Books", revenue="2")}},
        {"Put": {"Item": item("1", "Toys", revenue="2")}},
        {"Put": {"Item": item("2", "Books", revenue="2")}},
        {"Delete": {"Key": item("1", "Books")}},
        {
            "Update": {
                "Key": item("1", "Books"),
                "UpdateExpression": "SET revenue = :new",
                "ExpressionAttributeValues": {":new": {"S": "2"}},
            }
        },
    ],
    ids=["replaces an item", "adds an item", "adds a key", "deletes an item", "changes an item"],
)
def test_a_transaction_that_fails_leaves_the_table_as_it_was(
    table, change: dict[str, dict[str, Any]]
) -> None:
    dynamodb, name = table
    dynamodb.put_item(TableName=name, Item=item("1", "Books", revenue="1"))
    [(action, parameters)] = change.items()
    check = {
        "TableName": name,
        "Key": item("9", "none"),
        "ConditionExpression": "attribute_exists(revenue)",
    }
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        dynamodb.transact_write_items(
            TransactItems=[{action: {"TableName": name, **parameters}}, {"ConditionCheck": check}]
        )
    assert dynamodb.scan(TableName=name)["Items"] == [item("1", "Books", revenue="1")]
    dynamodb.transact_write_items(TransactItems=[{action: {"TableName": name, **parameters}}])
    assert dynamodb.scan(TableName=name)["Items"] != [item("1", "Books", revenue="1")]
