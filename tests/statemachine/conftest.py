"""The shipped state machine, provisioned whole, with two small programs as its tasks."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from chalice_app.chalicelib.aws.execution_history import read_history
from chalice_app.chalicelib.aws.run_table import RunRecord, RunTable
from contract.notice import Notice
from localcloud.cloud import LocalCloud
from localcloud.provision import CLUSTER, Plan, Stack, provision, receive

T = TypeVar("T")
STANDINS = Path(__file__).parent / "standins"
# 300 s become 1 s: the wait, the schedule; the retries' 30 s and 60 s a fifth of that.
TIME_SCALE = 1 / 300
# 30 minutes at that scale are 6 s; 9 s more, because a run by hand waits for the lock no longer.
FORCE_AFTER_MINUTES = "0.25"


@dataclass
class Shop:
    """What a person with the AWS console would do and see."""

    cloud: LocalCloud
    stack: Stack
    session: boto3.Session
    before: tuple[str, ...] = ()
    uploads: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s3 = self.session.client("s3")
        self.sfn = self.session.client("stepfunctions")
        self.table = self.session.resource("dynamodb").Table("OrderKPIs")

    def deliver(self, orders: int = 5, items: int = 5, products: int = 1, tag: str = "") -> None:
        for n in range(orders):
            self.put(
                f"orders_{tag}{n}.csv", f"order_id,order_date\n{tag}{n},2025-01-0{n % 9 + 1}\n"
            )
        for n in range(items):
            self.put(f"order_items_{tag}{n}.csv", f"order_id,product_id\n{tag}{n},p\n")
        for n in range(products):
            self.put(f"products_{tag}{n}.csv", f"product_id,category\np{tag}{n},c\n")

    def put(self, name: str, text: str) -> None:
        self.s3.put_object(Bucket=self.stack.bucket, Key=f"incoming/{name}", Body=text.encode())

    def tell(self, task: str, order: str) -> None:
        """Tell a stand-in to ``crash``, to ``sleep N``, or to go ``on``."""
        self.s3.put_object(Bucket=self.stack.bucket, Key=f"control/{task}", Body=order.encode())

    def schedule(self, state: str) -> None:
        events = self.session.client("events")
        (events.enable_rule if state == "on" else events.disable_rule)(
            Name="ecommerce-kpi-dev-CheckOnSchedule-event"
        )

    def end_events(self, state: str) -> None:
        events = self.session.client("events")
        (events.enable_rule if state == "on" else events.disable_rule)(
            Name="ecommerce-kpi-dev-OnExecutionEnded-event"
        )

    @contextmanager
    def without_permissions(self, role: str) -> Iterator[None]:
        """Take a role's own policy away meanwhile."""
        iam = self.session.client("iam")
        [name] = [r["RoleName"] for r in iam.list_roles()["Roles"] if role in r["RoleName"]]
        [policy, *_] = iam.list_role_policies(RoleName=name)["PolicyNames"]
        which = {"RoleName": name, "PolicyName": policy}
        document = iam.get_role_policy(**which)["PolicyDocument"]
        iam.delete_role_policy(**which)
        try:
            yield
        finally:
            iam.put_role_policy(**which, PolicyDocument=json.dumps(document))

    def stored(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.stack.bucket, Prefix=prefix
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def names(self, prefix: str) -> list[str]:
        return sorted(key.rsplit("/", 1)[-1] for key in self.stored(prefix) if key.endswith(".csv"))

    def locked(self) -> bool:
        return "incoming/pipeline.lock" in self.stored("incoming/")

    def executions(self, status: str | None = None) -> list[str]:
        found = self.sfn.list_executions(stateMachineArn=self.stack.state_machine_arn)
        return [
            execution["executionArn"]
            for execution in reversed(found["executions"])
            if status in {None, execution["status"]}
        ]

    def status(self, arn: str) -> str:
        return self.sfn.describe_execution(executionArn=arn)["status"]

    def states(self, arn: str) -> list[str]:
        return [visit.state for visit in read_history(self.sfn, arn, with_data=False).visits]

    def start(self, document: dict[str, Any]) -> str:
        return self.sfn.start_execution(
            stateMachineArn=self.stack.state_machine_arn, input=json.dumps(document)
        )["executionArn"]

    def ended(
        self, count: int = 1, *, known: tuple[str, ...] = (), within: float = 120
    ) -> list[str]:
        """Wait until that many executions, beside the known ones, have ended; return them."""

        def seen() -> list[str]:
            found = self.sfn.list_executions(stateMachineArn=self.stack.state_machine_arn)
            return [
                execution["executionArn"]
                for execution in reversed(found["executions"])
                if execution["status"] != "RUNNING" and execution["executionArn"] not in known
            ]

        wait_for(lambda: len(seen()) >= count, within)
        return seen()

    def in_state(self, name: str, *, within: float = 60) -> str:
        """Wait until an execution is in that state; return it."""

        def found() -> list[str]:
            return [arn for arn in self.executions("RUNNING") if self.states(arn)[-1:] == [name]]

        wait_for(lambda: bool(found()), within)
        return found()[0]

    def end_task(self, how: signal.Signals) -> None:
        """Send the newest task that runs a signal."""
        files = sorted(
            (self.cloud.home / "tasks").glob("*.pid"), key=lambda path: path.stat().st_mtime
        )
        os.killpg(int(files[-1].read_text()), how)

    def capacity_providers(self, arn: str) -> list[list[str]]:
        """Return what ECS says each task of a run was on, the first attempt first, by state."""
        submitted = [
            attempt.submission["Tasks"][0]["TaskArn"]
            for visit in read_history(self.sfn, arn, with_data=True).visits
            for attempt in visit.attempts
            if attempt.submitted_at
        ]
        tasks = self.session.client("ecs").describe_tasks(cluster=CLUSTER, tasks=submitted)["tasks"]
        found = {task["taskArn"]: task for task in tasks}
        by_state: dict[str, list[str]] = {}
        for task in (found[arn] for arn in submitted):
            by_state.setdefault(task["group"], []).append(task["capacityProviderName"])
        return list(by_state.values())

    def messages(self) -> list[Notice]:
        return list(receive(self.session.client("sqs"), self.stack.messages_url))

    def orders_per_day(self) -> dict[str, int]:
        items = self.table.scan()["Items"]
        return {item["order_date"]: len(item["order_ids"]) for item in items}

    def record(self, arn: str) -> RunRecord:
        records = RunTable(self.session.client("dynamodb"), self.stack.environment["RUNS_TABLE"])
        record = records.get(arn.rsplit(":", 1)[-1])
        assert record is not None
        return record

    @staticmethod
    def wait_for(condition: Callable[[], T], seconds: float) -> T:
        return wait_for(condition, seconds)

    def notifications(self) -> dict[str, Any]:
        answer = self.s3.get_bucket_notification_configuration(Bucket=self.stack.bucket)
        del answer["ResponseMetadata"]
        return answer

    def clean(self) -> None:
        self.schedule("off")
        self.end_events("on")
        for arn in self.executions("RUNNING"):
            self.sfn.stop_execution(executionArn=arn)
        wait_for(lambda: not self.executions("RUNNING"), 60)
        wait_for(lambda: not self.locked(), 60)
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.stack.bucket)
        for page in pages:
            for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
                self.s3.delete_object(
                    Bucket=self.stack.bucket, Key=version["Key"], VersionId=version["VersionId"]
                )
        for item in self.table.scan()["Items"]:
            self.table.delete_item(Key={"order_date": item["order_date"]})
        self.messages()


def wait_for(condition: Callable[[], T], seconds: float) -> T:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"did not happen within {seconds} s"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with LocalCloud.start(tmp_path_factory.mktemp("machine"), time_scale=TIME_SCALE) as cloud:
        plan = Plan(
            # Each first attempt below is on Spot, each retry is not.
            parameters={"Spot": "on"},
            environment={
                "FORCE_PROCESS_AFTER_MINUTES": FORCE_AFTER_MINUTES,
                "CHECK_WINDOW_SECONDS": "0.05",
                "LOCK_GRACE_SECONDS": "10",
                "MAX_BATCH_FILES": "500",
            },
            # PYTHONSAFEPATH keeps the project's own packages behind the stand-ins.
            task_environment={"PYTHONPATH": str(STANDINS), "PYTHONSAFEPATH": "1"},
        )
        yield Shop(cloud, provision(plan, cloud), cloud.session())


@pytest.fixture
def shop(provisioned: Shop) -> Iterator[Shop]:
    provisioned.clean()
    provisioned.uploads = provisioned.notifications()
    provisioned.before = tuple(provisioned.executions())
    yield provisioned
    provisioned.tell("validator", "on")
    provisioned.tell("transformer", "on")
