"""Chalice's own commands and its test client, in a checkout of which nothing is deployed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

CHALICE = Path(sys.executable).with_name("chalice")
VARIABLES = {
    "S3_BUCKET": "shop",
    "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:ECommercePipeline",
    "AWS_DEFAULT_REGION": "eu-north-1",
}
MISSING = (
    "error: S3_BUCKET and STEP_FUNCTION_ARN are not set: after make deploy the outputs of the "
    "stack have them, after make localcloud run: . .localcloud/functions.environment"
)
INVOKE = """
import json, sys
from chalice.test import Client
from app import app
with Client(app) as client:
    for name, event in json.loads(sys.argv[1]):
        print(json.dumps(client.lambda_.invoke(name, event).payload))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A copy of chalice_app/, so that nothing is written into the checkout."""
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
    return shutil.copytree(ROOT / "chalice_app", tmp_path / "chalice_app", ignore=ignored)


def environment(**variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **variables}


def run(app: Path, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=app,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        (CHALICE, "local"),
        (CHALICE, "package", "out"),
        (CHALICE, "package", "--pkg-format", "terraform", "out"),
        (sys.executable, "-c", INVOKE, "[]"),
    ],
    ids=["local", "package", "package terraform", "test client"],
)
def test_without_the_variables_it_ends_in_one_line_that_names_them(
    app: Path, command: tuple[object, ...]
) -> None:
    ended = run(app, *command)
    assert (ended.stdout, ended.stderr.splitlines()) == ("", [MISSING])
    # The parent process of chalice local returns 0 however its worker ends.
    assert ended.returncode != 0 or "local" in command


def test_package_writes_terraform_and_a_zip_with_the_contract(app: Path) -> None:
    ended = run(app, CHALICE, "package", "--pkg-format", "terraform", "out", **VARIABLES)
    assert ended.returncode == 0, ended.stderr
    functions = json.loads((app / "out/chalice.tf.json").read_text())["resource"]
    assert "aws_s3_bucket_notification" in functions
    with zipfile.ZipFile(app / "out/deployment.zip") as package:
        assert {"app.py", "chalicelib/wiring.py", "contract/keys.py"} <= set(package.namelist())


@pytest.mark.parametrize(
    "command",
    [
        ("package",),
        ("package", "--pkg-format", "cloudformation"),
        ("--project-dir", ".", "package", "--single-file", "--stage", "terraform"),
    ],
    ids=" ".join,
)
def test_package_as_cloudformation_ends_in_one_line_with_the_option_to_use(
    app: Path, command: tuple[str, ...]
) -> None:
    ended = run(app, CHALICE, *command, "out", **VARIABLES)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: chalice package cannot write this app as CloudFormation")
    assert line.endswith("run chalice package --pkg-format terraform OUT")
    assert ended.stdout == ""
    assert not (app / "out").exists()


def test_the_format_may_be_given_with_an_equals_sign(app: Path) -> None:
    ended = run(app, CHALICE, "package", "--pkg-format=terraform", "out", **VARIABLES)
    assert ended.returncode == 0, ended.stderr
    assert (app / "out/chalice.tf.json").exists()


def test_chalice_writes_nothing_that_git_sees() -> None:
    for folder in ("deployments", "deployed"):
        path = f"chalice_app/.chalice/{folder}/file"
        assert not subprocess.run(
            ["git", "check-ignore", "-q", path], cwd=ROOT, check=False
        ).returncode


def test_the_test_client_invokes_each_function_with_an_event_without_an_object(
    app: Path, pipeline, cloud
) -> None:
    variables = functions_environment(pipeline, cloud)
    sqs = {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}
    calls = [
        ("CheckFileThreshold", {}),
        ("CheckFileThreshold", {"Event": "s3:TestEvent"}),
        ("CheckFileThreshold", sqs),
        ("CheckOnObjectCreated", {}),
        ("CheckOnObjectCreated", sqs),
        ("OnExecutionEnded", {}),
        ("CheckOnSchedule", {}),
    ]
    ended = run(app, sys.executable, "-c", INVOKE, json.dumps(calls), **variables)
    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [answer["decision"] for answer in answers] == [*["ignored"] * 6, "wait"]
    assert all(answer["reason"] for answer in answers)


def test_local_serves_the_api_of_the_embedded_aws(app: Path, pipeline, cloud) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [CHALICE, "local", "--port", str(port)],
        cwd=app,
        env=environment(**functions_environment(pipeline, cloud)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert read(f"http://127.0.0.1:{port}/runs")["items"] == []
    finally:
        server.terminate()
        server.wait(10)


def functions_environment(pipeline, cloud) -> dict[str, str]:
    return {
        **cloud.environment,
        "S3_BUCKET": pipeline.settings.bucket,
        "STEP_FUNCTION_ARN": pipeline.settings.state_machine_arn,
        "RUNS_TABLE": pipeline.settings.runs_table,
    }


def read(url: str) -> dict:
    ends = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310 - this machine
                return json.load(answer)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > ends:
                raise
            time.sleep(0.2)
