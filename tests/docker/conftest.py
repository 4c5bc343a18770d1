"""The images as built by docker/build.sh, run as the tasks of an embedded AWS."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core.utils import pascal_to_camelcase, remap_nested_keys

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS
from infra import template
from localcloud.cloud import LocalCloud
from localcloud.containers import Containers, RuntimeMissingError
from localcloud.demo import Shop
from localcloud.provision import CLUSTER, Plan, provision
from tests.conftest import IN_CI

VALIDATOR, SPARK, SAIL = IMAGES = [
    f"ecommerce-{name}:local" for name in ("validator", "transformer-spark", "transformer-sail")
]

# What a task definition of the template says of its container, as ECS's API writes it.
[_CONTAINER] = template.load()["Resources"]["ValidatorTask"]["Properties"]["ContainerDefinitions"]
TASK = remap_nested_keys(
    {
        key: _CONTAINER[key]
        for key in ("User", "MountPoints", "LinuxParameters", "ReadonlyRootFilesystem")
    },
    pascal_to_camelcase,
)


@pytest.fixture(scope="session")
def containers() -> Containers:
    try:
        found = Containers.find()
        found.require(IMAGES)
    except RuntimeMissingError as error:
        if IN_CI:
            raise
        pytest.skip(str(error))
    return found


@dataclass(frozen=True)
class Images:
    """Containers that are not tasks: just an image and a command."""

    containers: Containers
    folder: Path

    def start(self, image: str, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        name = f"test-{os.getpid()}-{time.monotonic_ns()}"
        return self.containers.run(name, {**TASK, "image": image}, command, {}, *options)

    def run(
        self, image: str, *command: str, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.start(image, *command, options=options),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def output(self, image: str, *command: str) -> str:
        done = self.run(image, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def inspect(self, image: str) -> Any:
        asked = subprocess.run(
            [self.containers.program, "image", "inspect", image],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(asked.stdout)[0]


@pytest.fixture
def images(containers: Containers, tmp_path: Path) -> Images:
    return Images(containers, tmp_path)


@dataclass(frozen=True)
class Pipeline:
    """An embedded AWS whose tasks are containers, and what a person there would do."""

    shop: Shop
    containers: Containers
    session: boto3.Session

    def deliver(self, files: dict[str, str]) -> None:
        """Upload in this order: products last, so that all is one batch."""
        self.shop.uploads([(name, text.encode()) for name, text in files.items()])

    def run_ended(self, within: float) -> Any:
        """Wait for the newest run's end and return it."""
        wait_for(
            lambda: [run.status for run in self.shop.runs()][-1:] not in ([], ["RUNNING"]), within
        )
        return self.shop.runs()[-1]

    def replay(self, run_id: str) -> None:
        self.session.client("stepfunctions").start_execution(
            stateMachineArn=self.shop.stack.state_machine_arn,
            input=json.dumps({"replay_of": run_id, "forced": True}),
        )

    def exit_codes(self, container: str) -> list[int | None]:
        """Return the exit codes of a container's tasks, in no order."""
        ecs = self.session.client("ecs")
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=CLUSTER, desiredStatus=status)["taskArns"]
        ]
        if not arns:
            return []
        tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
        return [
            found.get("exitCode")
            for task in tasks
            for found in task["containers"]
            if found["name"] == container
        ]

    def running(self, image: str) -> list[str]:
        """Return the names of the containers that run an image."""
        asked = subprocess.run(
            # podman's ancestor filter wants localhost/ before the name, docker's does not.
            [self.containers.program, "ps", "--format={{.Image}} {{.Names}}"],
            capture_output=True,
            text=True,
            check=True,
        )
        shown = [line.split() for line in asked.stdout.splitlines()]
        return [name for of, name in shown if of.removeprefix("localhost/") == image]

    def terminate(self, name: str) -> None:
        subprocess.run(
            [self.containers.program, "kill", "--signal=TERM", name],
            capture_output=True,
            check=True,
        )

    def give_memory(self, container: str, megabytes: int) -> None:
        """Make a new revision of a task definition with another limit."""
        ecs = self.session.client("ecs")
        family = f"ecommerce-{container}-task"
        definition = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        [only] = definition["containerDefinitions"]
        ecs.register_task_definition(
            family=family,
            taskRoleArn=definition["taskRoleArn"],
            executionRoleArn=definition["executionRoleArn"],
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="4096",
            containerDefinitions=[{**only, "memory": megabytes}],
        )

    def kpis(self, table: str, *names: str) -> list[tuple[str | int | Decimal, ...]]:
        [columns] = [kpis for kpis in (CATEGORY_KPIS, ORDER_KPIS) if kpis.name == table]
        return sorted(tuple(item[name] for name in names) for item in self.shop.items(columns))


@pytest.fixture
def pipeline(containers: Containers, tmp_path: Path) -> Callable[[str], Any]:
    """Return a context manager: an AWS whose transformer is on that engine."""

    @contextmanager
    def started(engine: str) -> Iterator[Pipeline]:
        # The retries' 30 s and 60 s become a tenth of a second.
        with LocalCloud.start(
            tmp_path / engine, time_scale=1 / 600, containers=containers
        ) as cloud:
            plan = Plan(
                # Only what a test starts: the schedule comes round every half second.
                environment={"MAX_BATCH_ATTEMPTS": "1"},
                task_environment={"ENGINE": engine},
                transformer=f"transformer-{engine}",
            )
            shop = Shop(stack=provision(plan, cloud), session=cloud.session())
            yield Pipeline(shop, containers, cloud.session())

    return started


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"did not happen within {seconds} s"
        time.sleep(0.1)
