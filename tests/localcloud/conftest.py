"""One embedded AWS for the contract of the hooks; state machines of the tests' own."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from localcloud.cloud import LocalCloud
from localcloud.provision import Plan, Stack, provision

_numbers = itertools.count(1)
ROLE = "arn:aws:iam::123456789012:role/local"


@dataclass
class Aws:
    cloud: LocalCloud
    stack: Stack
    session: boto3.Session

    def __post_init__(self) -> None:
        self.sfn = self.session.client("stepfunctions")
        subnet = self.session.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.network = {"AwsvpcConfiguration": {"Subnets": [subnet]}}

    def task(self, code: str, **fields: Any) -> dict[str, Any]:
        """Return a state that runs a Python program as the transformer's container."""
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::ecs:runTask.sync",
            "Parameters": {
                "LaunchType": "FARGATE",
                "Cluster": "ecommerce-data-pipeline-cluster",
                "TaskDefinition": "ecommerce-transformer-task",
                "NetworkConfiguration": {
                    "AwsvpcConfiguration": {
                        **self.network["AwsvpcConfiguration"],
                        "SecurityGroups": [],
                    }
                },
                "Overrides": {
                    "ContainerOverrides": [
                        {
                            "Name": "transformer",
                            "Command": ["python", "-c", code],
                            "Environment": [{"Name": "EXTRA", "Value": "override"}],
                        }
                    ]
                },
            },
            "End": True,
            **fields,
        }

    def start(self, state: dict[str, Any], **fields: Any) -> str:
        machine = self.sfn.create_state_machine(
            name=f"Contract{next(_numbers)}",
            roleArn=ROLE,
            definition=json.dumps({"StartAt": "S", "States": {"S": state}}),
        )["stateMachineArn"]
        return self.sfn.start_execution(stateMachineArn=machine, **fields)["executionArn"]

    def run(self, state: dict[str, Any], *, within: float = 60) -> dict[str, Any]:
        arn = self.start(state)
        self.wait_for(lambda: self.described(arn)["status"] != "RUNNING", within)
        return self.described(arn)

    def described(self, arn: str) -> dict[str, Any]:
        return self.sfn.describe_execution(executionArn=arn)

    @staticmethod
    def wait_for(condition: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"did not happen within {seconds} s"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with LocalCloud.start(tmp_path_factory.mktemp("contract"), time_scale=1 / 100) as cloud:
        stack = provision(Plan(task_environment={"SHARED": "definition"}), cloud)
        yield Aws(cloud, stack, cloud.session())
