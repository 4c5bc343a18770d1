"""Two stages in one account and region, each with names, files and KPIs of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import boto3
import pytest

from infra.deploy import Stage
from infra.template import PROJECT_ROOT
from localcloud.cloud import LocalCloud
from localcloud.provision import Plan, Stack, provision

ENVIRONMENT = {"MIN_ORDER_FILES": "1", "MIN_ITEM_FILES": "1"}
ORDERS = "order_id,user_id,order_date,total_amount,status\n"
LINES = "order_id,product_id,quantity,unit_price\n"
PRODUCTS = "product_id,category,name,price\np1,Books,Dune,10.00\n"


@dataclass
class Deployed:
    stage: Stage
    stack: Stack
    session: boto3.Session

    def deliver(self, number: int, *, date: str, amount: str) -> None:
        s3 = self.session.client("s3")
        for name, text in (
            ("products.csv", PRODUCTS),
            (f"orders_{number}.csv", f"{ORDERS}o{number},u1,{date},{amount},delivered\n"),
            (f"order_items_{number}.csv", f"{LINES}o{number},p1,1,{amount}\n"),
        ):
            s3.put_object(Bucket=self.stack.bucket, Key=f"incoming/{name}", Body=text.encode())

    def runs(self) -> list[str]:
        found = self.session.client("stepfunctions").list_executions(
            stateMachineArn=self.stack.state_machine_arn
        )
        return [run["status"] for run in found["executions"]]

    def revenue(self) -> dict[str, str]:
        """Return total_revenue by date, from the table of this stage."""
        table = self.stage.stack.outputs()["OrderKpisTable"]
        items = self.session.client("dynamodb").scan(TableName=table)["Items"]
        return {item["order_date"]["S"]: item["total_revenue"]["N"] for item in items}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("stages"), time_scale=1 / 60) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def stages(cloud: LocalCloud) -> dict[str, Deployed]:
    found = {}
    for name, bucket in (("dev", "shop-dev"), ("second", "shop-second")):
        plan = Plan(
            stage=name,
            bucket=bucket,
            environment=ENVIRONMENT,
            task_environment={"ENGINE": "sail"},
        )
        stack, session = provision(plan, cloud), cloud.session()
        found[name] = Deployed(Stage.open(name, session, pause=0), stack, session)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < ends, "did not happen within 240 s"
        time.sleep(0.5)


def test_the_default_stage_has_the_fixed_names_and_a_second_one_a_suffix(
    stages: dict[str, Deployed],
) -> None:
    first, second = (stages[name].stage.stack for name in ("dev", "second"))
    fixed = {
        "CategoryKpis": "CategoryKPIs",
        "OrderKpis": "OrderKPIs",
        "PipelineRuns": "PipelineRuns",
        "Cluster": "ecommerce-data-pipeline-cluster",
        "ValidatorRepository": "ecommerce-validator",
        "TransformerRepository": "ecommerce-transformer",
    }
    names, others = first.resources(), second.resources()
    assert {resource: names[resource] for resource in fixed} == fixed
    assert {resource: others[resource] for resource in fixed} == {
        resource: f"{name}-second" for resource, name in fixed.items()
    }
    assert first.outputs()["StateMachineArn"].endswith(":ECommercePipeline")
    assert second.outputs()["StateMachineArn"].endswith(":ECommercePipeline-second")
    families = {task.split("/")[-1].split(":")[0] for task in others.values() if "/" in task}
    assert families >= {"ecommerce-validator-task-second", "ecommerce-transformer-task-second"}


def test_no_two_stages_share_a_resource_or_a_function(stages: dict[str, Deployed]) -> None:
    first, second = (set(stages[n].stage.stack.resources().values()) for n in ("dev", "second"))
    # moto gives no id to a policy.
    assert (first & second) - {""} == set()
    session = stages["dev"].session
    names = [
        function["FunctionName"]
        for page in session.client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
    ]
    # Ten functions of events and states, and one that answers the API, for each.
    assert len(names) == len(set(names)) == 22
    assert len(session.client("apigateway").get_rest_apis()["items"]) == 2


def test_each_stage_computes_its_own_kpis_and_destroying_one_leaves_the_other(
    stages: dict[str, Deployed], cloud: LocalCloud
) -> None:
    """One test, because each step needs the one before."""
    dev, second = stages["dev"], stages["second"]
    dev.deliver(1, date="2025-03-01", amount="10.00")
    second.deliver(1, date="2025-03-02", amount="25.00")
    wait_for(lambda: dev.runs() == second.runs() == ["SUCCEEDED"])
    assert dev.revenue() == {"2025-03-01": "10.00"}
    assert second.revenue() == {"2025-03-02": "25.00"}

    before = dev.stage.stack.resources()
    down = subprocess.run(
        [sys.executable, "-m", "infra.deploy", "down", "--stage", "second", "--delete-data"],
        cwd=PROJECT_ROOT,
        env={**os.environ, **cloud.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert down.returncode == 0, down.stderr
    assert second.stage.stack.status() is None
    assert dev.stage.stack.resources() == before
    tables = dev.session.client("dynamodb").list_tables()["TableNames"]
    assert sorted(tables) == ["CategoryKPIs", "OrderKPIs", "PipelineRuns"]
    functions = dev.session.client("lambda").list_functions()["Functions"]
    assert {function["FunctionName"].startswith("ecommerce-kpi-dev") for function in functions} == {
        True
    }
    assert len(dev.session.client("apigateway").get_rest_apis()["items"]) == 1

    dev.deliver(2, date="2025-03-01", amount="5.00")
    wait_for(lambda: dev.runs() == ["SUCCEEDED"] * 2)
    assert dev.revenue() == {"2025-03-01": "15.00"}
