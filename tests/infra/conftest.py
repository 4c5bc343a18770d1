"""The stack of the template, and a day of the pipeline on it with every component's own role."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from chalice_app.chalicelib.aws.execution_history import read_history
from infra.deploy import Stage
from localcloud.api import LocalApi
from localcloud.cloud import LocalCloud
from localcloud.iam import PermissionCheck
from localcloud.provision import STAGE, Plan, Stack, provision, receive

HEADERS = {
    "orders": "order_id,user_id,order_date,total_amount,status\n",
    "order_items": "order_id,product_id,quantity,unit_price\n",
    "products": "product_id,category,name,price\n",
}
PRODUCTS = "p1,Books,Dune,10.00\n"
# What EventBridge sends when a schedule is due.
SCHEDULED = {
    **dict.fromkeys(("version", "id", "account", "time", "region"), "0"),
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "resources": [],
    "detail": {},
}


@dataclass
class Day:
    """The pipeline on the embedded AWS, with real tasks."""

    cloud: LocalCloud
    stack: Stack
    session: boto3.Session
    runs: dict[str, str] = field(default_factory=dict)
    subjects: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.s3 = self.session.client("s3")
        self.sfn = self.session.client("stepfunctions")
        self.functions = self.session.client("lambda")

    def upload(self, name: str, body: str, **fields: Any) -> None:
        self.s3.put_object(
            Bucket=self.stack.bucket, Key=f"incoming/{name}", Body=body.encode(), **fields
        )

    def orders(self, name: str, *rows: str, **fields: Any) -> None:
        self.upload(f"orders_{name}.csv", HEADERS["orders"] + "\n".join(rows) + "\n", **fields)

    def lines(self, name: str, *rows: str) -> None:
        self.upload(f"order_items_{name}.csv", HEADERS["order_items"] + "\n".join(rows) + "\n")

    def call(self, function: str, event: dict[str, Any]) -> None:
        """Call a function as an event source does: without waiting for its answer."""
        self.functions.invoke(
            FunctionName=f"ecommerce-kpi-{STAGE}-{function}",
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )

    def break_setting(self, function: str) -> None:
        name = f"ecommerce-kpi-{STAGE}-{function}"
        found = self.functions.get_function_configuration(FunctionName=name)["Environment"]
        variables = {**found["Variables"], "MIN_ORDER_FILES": "five"}
        self.functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables}
        )

    def ask(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self.functions.invoke(
            FunctionName=f"ecommerce-kpi-{STAGE}-{function}", Payload=json.dumps(event).encode()
        )
        found: dict[str, Any] = json.loads(answer["Payload"].read())
        return found

    def start(self, **document: Any) -> str:
        return self.sfn.start_execution(
            stateMachineArn=self.stack.state_machine_arn, input=json.dumps(document)
        )["executionArn"]

    def ended(self, number: int) -> list[str]:
        """Wait until as many runs have ended; return their states, oldest first."""

        def states() -> list[str]:
            found = self.sfn.list_executions(stateMachineArn=self.stack.state_machine_arn)
            return [run["status"] for run in reversed(found["executions"])]

        wait_for(lambda: len(states()) >= number and "RUNNING" not in states(), 240)
        return states()

    def newest(self) -> str:
        found = self.sfn.list_executions(stateMachineArn=self.stack.state_machine_arn)
        return found["executions"][0]["executionArn"]

    def state_of(self, arn: str) -> str:
        """Return the state that an execution has entered last, if any."""
        visit = read_history(self.sfn, arn, with_data=False).last
        return visit.state if visit else ""

    def exists(self, key: str) -> bool:
        listed = self.s3.list_objects_v2(Bucket=self.stack.bucket, Prefix=key)
        return listed["KeyCount"] > 0

    def told(self, subject: str) -> bool:
        """Say whether people have been told anything whose subject begins like that."""
        sent = receive(self.session.client("sqs"), self.stack.messages_url)
        self.subjects += [notice.subject for notice in sent]
        return any(known.startswith(subject) for known in self.subjects)

    def checked(self) -> list[dict[str, Any]]:
        lines = (self.cloud.home / "access.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"did not happen within {seconds} s"
        time.sleep(0.2)


def check_of(line: dict[str, Any]) -> PermissionCheck:
    return PermissionCheck(
        action=line["action"],
        resource=line["resource"],
        context=tuple(sorted(line["context"].items())),
    )


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Everything that the pipeline does in its life, once."""
    with LocalCloud.start(tmp_path_factory.mktemp("day"), time_scale=1 / 60) as cloud:
        plan = Plan(
            environment={
                "MIN_ORDER_FILES": "1",
                "MIN_ITEM_FILES": "1",
                "FORCE_PROCESS_AFTER_MINUTES": "0.2",
                "CHECK_WINDOW_SECONDS": "0.05",
                "LOCK_GRACE_SECONDS": "1",
                # One week before is enough to compare with, and yesterday is complete.
                "MIN_HISTORY_WEEKS": "1",
                "DAY_COMPLETE_HOUR": "0",
            },
            task_environment={"ENGINE": "sail"},
        )
        day = Day(cloud, provision(plan, cloud), cloud.session())
        live(day)
        yield day


def live(day: Day) -> None:
    bucket, lock = day.stack.bucket, "incoming/pipeline.lock"
    # A lock whose owner has died before its run began: the schedule frees it.
    gone = "2025-01-01T00:00:00+00:00"
    owner = day.stack.state_machine_arn.replace(":stateMachine:", ":execution:") + ":died"
    body = json.dumps(
        {"owner": owner, "run_id": "died", "acquired_at": gone, "expires_at": gone}
    ).encode()
    day.s3.put_object(Bucket=bucket, Key=lock, Body=body)
    wait_for(lambda: not day.exists(lock), 30)

    # A first delivery: a note that files wait, then a run; one file is no CSV, one has tags.
    day.orders("1", "o1,u1,2025-03-01,20.00,delivered", Tagging="shop=north")
    wait_for(lambda: day.exists("incoming/threshold_not_met"), 30)
    day.upload("orders_headless.csv", "1,2,3\n", Tagging="shop=south")
    day.upload("products.csv", HEADERS["products"] + PRODUCTS)
    day.lines("1", "o1,p1,2,10.00", "o9,p1,1,10.00")
    assert day.ended(1) == ["SUCCEEDED"]
    day.runs["first"] = day.newest().rsplit(":", 1)[-1]

    # A second one without products, whose order moves to another date and category. Yesterday
    # there are no orders; a week before there were. A file beside it has a name of no dataset.
    day.upload("sales.csv", "1,2,3\n")
    today = datetime.now(UTC).date()
    weeks = [today - timedelta(days=8), today - timedelta(days=7)]
    day.orders(
        "2",
        "o1,u1,2025-03-02,20.00,returned",
        "o9,u2,2025-03-02,10.00,delivered",
        *(f"w{n},u1,{date},10.00,delivered" for n, date in enumerate(weeks)),
    )
    day.lines("2", "o9,p1,1,10.00")
    assert day.ended(2)[1:] == ["SUCCEEDED"]
    day.call("CheckYesterday", SCHEDULED)
    wait_for(lambda: day.told("No orders of "), 30)

    # Nothing good in it: the run fails, and says so. One file is there twice.
    for name in ("orders_3.csv", "orders_3_again.csv", "order_items_3.csv"):
        day.upload(name, "1,2,3\n", Tagging="shop=south")
    assert day.ended(3)[2:] == ["FAILED"]

    # Too few files, until the schedule no longer waits for more. Their order has six times the
    # value of those a week before.
    day.orders("4", "o4,u1,2025-03-09,100.00,delivered")
    assert day.ended(4)[3:] == ["SUCCEEDED"]
    assert day.told("Run succeeded, 1 unusual figure")

    # By hand: a second run waits for the first one's lock, and may give up.
    day.start(replay_of=day.runs["first"], forced=True)
    day.start(recompute={"from": "2025-03-01", "to": "2025-03-01"})
    assert "SUCCEEDED" in day.ended(6)[4:]
    day.start(recompute={"from": "2025-03-01", "to": "2025-03-02"})
    assert day.ended(7)[6:] == ["SUCCEEDED"]
    # A third one is stopped in line; the end of the run that has the lock removes it.
    day.start(rebuild=True)
    stopped = day.start(recompute={"from": "2025-03-01", "to": "2025-03-01"})
    wait_for(lambda: day.state_of(stopped) == "WaitForFiles", 60)
    day.sfn.stop_execution(executionArn=stopped)
    assert day.ended(9)[7:] == ["SUCCEEDED", "ABORTED"]
    # The first run has processed this file.
    day.start(files=["incoming/orders_1.csv"])
    assert day.ended(10)[9:] == ["SUCCEEDED"]

    # A state's answer is lost and it is tried again: what it moved has been moved.
    answer = day.ask("QuarantineRejected", {"run_id": day.runs["first"]})
    assert answer == {"outcome": "partly_accepted", "files_moved": 0}

    # Started by hand with one file, and stopped while its task runs.
    day.orders("5", "o5,u1,2025-03-03,10.00,delivered")
    stopped = day.start(files=["incoming/orders_5.csv"], forced=True)
    wait_for(lambda: day.state_of(stopped) == "ValidateFiles", 60)
    day.sfn.stop_execution(executionArn=stopped)
    assert "ABORTED" in day.ended(11)[10:]

    wait_for(lambda: day.told("Run stopped"), 30)

    # Somebody asks the API.
    call_api(day)

    # The events of functions that fail, here for a setting, end as dead letters.
    broken = (
        *("CheckFileThreshold", "CheckOnGzipCreated", "CheckOnObjectCreated"),
        *("CheckYesterday", "OnExecutionEnded"),
    )
    event = {
        "Records": [{"s3": {"object": {"key": "incoming/orders_5.csv"}}}],
        "detail": {"executionArn": owner, "status": "FAILED"},
    }
    for function in broken:
        day.break_setting(function)
        day.call(function, event)
    queue = day.session.client("sqs").get_queue_url(
        QueueName=f"ecommerce-kpi-{STAGE}-dead-letters"
    )["QueueUrl"]
    wait_for(lambda: letters(day, queue) == len(broken), 60)


def call_api(day: Day) -> None:
    """PermissionCheck each route once, with the role of the function that answers them."""
    role = Stage.open(STAGE, day.session).stack.outputs()["RoleOfApi"]
    taken = day.session.client("sts").assume_role(RoleArn=role, RoleSessionName="api")[
        "Credentials"
    ]
    environment = {
        **day.cloud.environment,
        **day.stack.environment,
        "AWS_ACCESS_KEY_ID": taken["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": taken["SecretAccessKey"],
        "AWS_SESSION_TOKEN": taken["SessionToken"],
    }
    app, first = day.cloud.home / "chalice_app", day.runs["first"]
    with LocalApi.start(app, environment=environment, log_file=day.cloud.home / "api.log") as api:
        for path in ("kpis/daily", "kpis/categories", "kpis/categories/Books", "runs"):
            assert requests.get(f"{api.url}/{path}", timeout=30).status_code == 200, path
        assert requests.get(f"{api.url}/runs/{first}", timeout=30).json()["run_id"] == first
        assert requests.get(f"{api.url}/runs/never", timeout=30).status_code == 404
        assert requests.post(f"{api.url}/runs/{first}/replay", timeout=30).status_code == 202


def letters(day: Day, queue: str) -> int:
    attributes = day.session.client("sqs").get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[2]
