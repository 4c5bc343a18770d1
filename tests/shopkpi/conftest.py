"""A localcloud that has processed a delivery with a bad row and a bad file, for all commands."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from localcloud.cloud import LocalCloud
from localcloud.provision import Plan, Stack, provision
from shopkpi.app import main

ORDERS = "order_id,user_id,order_date,total_amount,status\n"
ITEMS = "order_id,product_id,quantity,unit_price\n"
PRODUCTS = "product_id,category,name,price\n"
DATES = ["2025-03-01", "2025-03-01", "2025-03-01", "2025-03-02"]


def delivery() -> Iterator[tuple[str, str]]:
    """Four orders of two books at 10.00, the last one returned; a bad file, and a bad line."""
    yield "orders_without_header.csv", "o9,u1,2025-03-01,20.00,delivered\n"
    for n in range(5):
        lines = "".join(f"o{n % 4},p{1 + k % 2},1,10.00\n" for k in range(2))
        if n == 4:
            # The fifth file has the lines of the first, and one bad line in eleven.
            lines = "o0,p1,1,10.00\no0,p2,1,10.00\n" * 5 + "o0,p1,-3,10.00\n"
        yield f"order_items_{n}.csv", ITEMS + lines
    yield "products.csv", PRODUCTS + "p1,Books,Dune,10.00\np2,Books,Emma,10.00\n"
    for n, date in enumerate(DATES):
        status = "returned" if n == 3 else "delivered"
        yield f"orders_{n}.csv", f"{ORDERS}o{n},u{n % 2},{date},20.00,{status}\n"


@dataclass
class Shop:
    """A localcloud in ``folder``/.localcloud."""

    cloud: LocalCloud
    stack: Stack
    session: boto3.Session
    folder: Path
    run: str = ""

    def client(self, service: str) -> Any:
        return self.session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.endpoint,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - what the embedded AWS takes
        )

    def write_lock(self, run_id: str, *, owner: str | None = None) -> None:
        """Write a lock, as a function does that dies immediately after it."""
        machine = self.stack.state_machine_arn
        document = {
            "owner": owner or f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}",
            "run_id": run_id,
            "acquired_at": "2026-01-02T03:04:05+00:00",
            "expires_at": "2026-01-02T03:06:05+00:00",
        }
        self.client("s3").put_object(
            Bucket=self.stack.bucket, Key="incoming/pipeline.lock", Body=json.dumps(document)
        )

    def has_lock(self) -> bool:
        found = self.client("s3").list_objects_v2(
            Bucket=self.stack.bucket, Prefix="incoming/pipeline.lock"
        )
        return found["KeyCount"] == 1

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        ends = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < ends, f"did not happen within {seconds} s"
            time.sleep(0.2)
        return value


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Answer]


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Time is not scaled here, so that the schedule of five minutes changes nothing in between."""
    folder = tmp_path_factory.mktemp("operator")
    with (
        pytest.MonkeyPatch.context() as patch,
        LocalCloud.start(folder / ".localcloud", time_scale=1) as cloud,
    ):
        for name, value in cloud.environment.items():
            patch.setenv(name, value)
        stack = provision(Plan(task_environment={"ENGINE": "sail"}), cloud)
        shop = Shop(cloud, stack, cloud.session(), folder)
        # From here on, only --local finds it.
        for name in cloud.environment:
            patch.delenv(name)
        with cloud.announced():
            for name, text in delivery():
                shop.client("s3").put_object(
                    Bucket=stack.bucket, Key=f"incoming/{name}", Body=text.encode()
                )
            [execution] = shop.wait_for(lambda: ended(shop))
            assert execution["status"] == "SUCCEEDED"
            shop.run = execution["name"]
            # The event of its end releases a lock of this run: also one that a test writes.
            shop.wait_for(lambda: has_final_record(shop))
            yield shop
    shutil.rmtree(folder, ignore_errors=True)


def ended(shop: Shop) -> list[Any]:
    executions = shop.client("stepfunctions").list_executions(
        stateMachineArn=shop.stack.state_machine_arn
    )["executions"]
    return [found for found in executions if found["status"] != "RUNNING"]


def has_final_record(shop: Shop) -> bool:
    found = shop.client("dynamodb").get_item(
        TableName="PipelineRuns", Key={"run_id": {"S": shop.run}}
    )
    return "final" in found.get("Item", {})


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell without AWS: no variables, no credentials file, no instance metadata."""
    ours = ("AWS_", "SHOPKPI_", "S3_BUCKET", "STEP_FUNCTION_ARN")
    for name in [name for name in os.environ if name.startswith(ours)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def type_(shell: None, capsys: pytest.CaptureFixture[str]) -> Type:
    """Run a command line; its output must not have a traceback."""

    def type_in(line: str) -> Answer:
        capsys.readouterr()
        code = main(line.split())
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Answer(code, out, err)

    return type_in


@pytest.fixture
def local(shop: Shop, type_: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Run a command line in the folder of the localcloud, with --local."""
    monkeypatch.chdir(shop.folder)
    return lambda line: type_(f"{line} --local")
