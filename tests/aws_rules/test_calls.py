"""The calls of a deployment and of the demo's delivery against the rules of the services."""

import time

import pytest

from localcloud.cloud import LocalCloud
from localcloud.provision import Plan, provision
from tests.conftest import ROOT

from .call_rules import RULES, Calls, recorded
from .rules import Rule


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    home = tmp_path_factory.mktemp("calls")
    with LocalCloud.start(home, time_scale=1 / 60) as cloud:
        stack = provision(Plan(task_environment={"ENGINE": "sail"}), cloud)
        s3, sfn = cloud.session().client("s3"), cloud.session().client("stepfunctions")
        for path in sorted((ROOT / "samples/incoming").iterdir()):
            s3.upload_file(str(path), stack.bucket, f"incoming/{path.name}")
        ends = time.monotonic() + 240
        while not (
            found := sfn.list_executions(
                stateMachineArn=stack.state_machine_arn, statusFilter="SUCCEEDED"
            )["executions"]
        ):
            assert time.monotonic() < ends, "the run has not ended"
            time.sleep(0.5)
        assert len(found) == 1
    return recorded(home / "calls.jsonl")


def test_what_is_recorded_is_all_of_a_deployment_and_of_a_run(calls: Calls) -> None:
    made = {(call.service, call.operation) for call in calls}
    assert made >= {
        ("cloudformation", "CreateChangeSet"),
        ("iam", "CreateServiceLinkedRole"),
        ("lambda", "POST /2015-03-31/functions"),
        ("states", "StartExecution"),
        ("ecs", "RunTask"),
        ("dynamodb", "TransactWriteItems"),
        ("dynamodb", "PutItem"),
    }
    assert any(call.operation.endswith("/invocations") for call in calls)
    assert any(call.body.get("Environment") for call in calls if call.service == "lambda")


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_aws_accepts_the_calls(rule: Rule[Calls], calls: Calls) -> None:
    assert list(rule.findings(calls)) == []


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_call_that_aws_refuses_is_found(rule: Rule[Calls]) -> None:
    assert list(rule.findings(rule.refused)) != []
