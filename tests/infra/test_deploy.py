"""``make deploy`` and ``make destroy`` on the embedded AWS, from nothing to nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from infra import account, functions
from infra import deploy as deployment
from infra.template import PROJECT_ROOT
from localcloud.cloud import LocalCloud

STACK = "ecommerce-kpi-dev"
ACCOUNT = "123456789012"
# It stays: AWS may not give the name of a deleted bucket again for hours.
TEMPLATES = f"ecommerce-kpi-templates-{ACCOUNT}-eu-north-1"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("deploy")) as cloud:
        yield cloud


def deploy(
    cloud: LocalCloud, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; an empty variable is left out of its environment."""
    variables = {**os.environ, **cloud.environment, **environment}
    return subprocess.run(
        [sys.executable, "-m", "infra.deploy", *arguments, "--stage", "dev"],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in variables.items() if value},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def stacks(cloud: LocalCloud) -> dict[str, str]:
    found = cloud.session().client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack["StackStatus"] for stack in found}


def buckets(cloud: LocalCloud) -> list[str]:
    return [found["Name"] for found in cloud.session().client("s3").list_buckets()["Buckets"]]


def apis(cloud: LocalCloud) -> list[str]:
    return [api["id"] for api in cloud.session().client("apigateway").get_rest_apis()["items"]]


def budgets(cloud: LocalCloud) -> dict[str, str]:
    found = cloud.session().client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    return {budget["BudgetName"]: budget["BudgetLimit"]["Amount"] for budget in found}


def put_image(cloud: LocalCloud, repository: str, tag: str) -> None:
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    cloud.session().client("ecr").put_image(
        repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest)
    )


def test_a_stage_goes_up_stays_the_same_and_comes_down(cloud: LocalCloud, tmp_path: Path) -> None:
    """One test, because each step needs the one before."""
    s3 = cloud.session().client("s3")

    dry = deploy(cloud, "up", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith(f"account {ACCOUNT}, region eu-north-1, stage dev\n")
    assert "+ Machine                  AWS::StepFunctions::StateMachine\n" in dry.stdout
    tag = deployment.image_tag({"Engine": "auto", "Architecture": "X86_64"})
    assert dry.stdout.endswith(
        f"image to build and push: ecommerce-validator:local as ecommerce-validator:{tag}\n"
        "image to build and push: ecommerce-transformer-spark:local as"
        f" ecommerce-transformer:{tag}\n"
        f"dry run: {STACK} has not been changed\n"
    )
    assert stacks(cloud) == {}
    assert buckets(cloud) == [TEMPLATES]

    first = ("--parameter", "ImageTag=first")
    email = ("--parameter", "NotificationEmail=ops@example.com")
    up = deploy(cloud, "up", "--no-images", *first, *email)
    assert up.returncode == 0, up.stderr
    assert stacks(cloud) == {STACK: "CREATE_COMPLETE"}
    assert (
        "function: arn:aws:lambda:eu-north-1:123456789012:function:ecommerce-kpi-dev-" in up.stdout
    )
    not_made = {line.split()[5] for line in up.stdout.splitlines() if line.startswith("not made")}
    # Those with a condition that does not hold are not resolved by moto's change set.
    assert not_made - {
        "Subscription",
        "SparkApplication",
        "BigBatchPolicy",
        "JobPolicy",
    } == {
        "BucketPolicy",
        "TopicPolicy",
        "DeadLettersPolicy",
        "FailedRuns",
        "OldestFile",
        "NoRun",
        "DeadLettersThere",
        "Throttles",
    }

    budget = f"{STACK}-eu-north-1"
    assert budgets(cloud) == {budget: "25"}
    # An attempt that failed at the budget: the next one has no changes of the stack.
    cloud.session().client("budgets").delete_budget(AccountId=ACCOUNT, BudgetName=budget)
    again = deploy(cloud, "up", "--no-images", *first)
    assert again.returncode == 0, again.stderr
    assert f"{STACK}: no changes" in again.stdout
    assert budgets(cloud) == {budget: "25"}

    put_image(cloud, "ecommerce-validator", "second")
    changed = deploy(
        cloud, "up", "--dry-run", "--parameter", "ImageTag=second", "--parameter", "Engine=sail"
    )
    assert changed.returncode == 0, changed.stderr
    assert [line for line in changed.stdout.splitlines() if line.startswith("image")] == [
        "image to build and push: ecommerce-transformer-sail:local as ecommerce-transformer:second"
    ]
    assert stacks(cloud) == {STACK: "CREATE_COMPLETE"}

    unknown = deploy(cloud, "up", "--no-images", "--parameter", "Imagetag=x")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: Imagetag: no such parameter; there are Stage, ")

    bucket = "ecommerce-data-123456789012-eu-north-1"
    # What a chalice deploy leaves that fails at its end: everything but its record. The next one by
    # itself creates another API.
    [api] = apis(cloud)
    s3.delete_object(Bucket=bucket, Key="deploy/chalice-dev.json")
    outputs = deployment.Stage.open("dev", cloud.session()).stack.outputs()
    functions.write_app(tmp_path / "app", stage="dev", outputs=outputs, variables={})
    functions.deploy(tmp_path / "app", stage="dev", environment=cloud.environment)
    assert len(apis(cloud)) == 2
    retried = deploy(cloud, "up", "--no-images", "--parameter", "NotificationEmail=", *first)
    assert retried.returncode == 0, retried.stderr
    assert apis(cloud) == [api]
    assert budgets(cloud) == {}

    s3.put_object(Bucket=bucket, Key="incoming/orders_1.csv", Body=b"order_id\n")
    refused = deploy(cloud, "down")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: s3://{bucket} has objects (incoming/orders_1.csv): copy what you need, "
        "then make destroy DELETE_DATA=yes deletes them with the rest\n"
    )
    assert stacks(cloud) == {STACK: "UPDATE_COMPLETE"}

    down = deploy(cloud, "down", "--delete-data")
    assert down.returncode == 0, down.stderr
    session = cloud.session()
    assert stacks(cloud) == {}
    assert buckets(cloud) == [TEMPLATES]
    assert apis(cloud) == []
    assert budgets(cloud) == {}
    assert session.client("dynamodb").list_tables()["TableNames"] == []
    assert session.client("lambda").list_functions()["Functions"] == []


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_PROFILE": "shop"}, "eu-west-1"),
        ({"AWS_PROFILE": "shop", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        (
            {"AWS_PROFILE": "shop", "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-west-2"},
            "us-west-2",
        ),
        ({}, "eu-north-1"),
    ],
)
def test_the_region_is_that_of_the_variables_then_of_the_profile_and_is_printed_first(
    cloud: LocalCloud, tmp_path: Path, variables: dict[str, str], region: str
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile shop]\nregion = eu-west-1\n")
    unset = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": str(config)}
    down = deploy(cloud, "down", **{**unset, **variables})
    assert down.returncode == 0, down.stderr
    assert down.stdout == (
        f"account {ACCOUNT}, region {region}, stage dev\n{STACK}: there is no such stack\n"
    )


def test_only_a_new_stage_that_is_not_the_default_gets_a_suffix(cloud: LocalCloud) -> None:
    session = cloud.session()

    def suffix(stage: str, **given: str) -> str:
        return deployment.Stage.open(stage, session).parameters(given)["NameSuffix"]

    assert suffix("dev") == ""
    assert suffix("test") == "-test"
    assert suffix("test", NameSuffix="") == ""
    # A stage from before there were suffixes has the fixed names.
    earlier = {
        "Parameters": {"Stage": {"Type": "String"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    session.client("cloudformation").create_stack(
        StackName="ecommerce-kpi-old",
        TemplateBody=json.dumps(earlier),
        Parameters=[{"ParameterKey": "Stage", "ParameterValue": "old"}],
    )
    assert suffix("old") == ""


def test_a_bucket_of_the_templates_that_is_somebody_elses_is_named() -> None:
    """S3 in moto knows no other owner: the answer is AWS's own, 403."""
    session = boto3.Session("key", "secret", region_name="eu-north-1")
    sts, s3 = session.client("sts"), session.client("s3")
    with Stubber(sts) as identity, Stubber(s3) as storage, pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "client", {"sts": sts, "s3": s3}.get)
        identity.add_response("get_caller_identity", {"Account": ACCOUNT})
        storage.add_client_error("head_bucket", "403", "Forbidden", 403)
        with pytest.raises(account.AccountError, match=f"s3://{TEMPLATES}, .* another account"):
            account.upload_template(session, "{}")


def test_images_are_named_by_a_commit_only_while_they_are_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "PROJECT_ROOT", tmp_path)
    spark, sail = (
        {"Engine": "spark", "Architecture": "X86_64"},
        {"Engine": "sail", "Architecture": "ARM64"},
    )
    with pytest.raises(deployment.UsageError, match="no git commit here"):
        deployment.image_tag(spark)

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/Dockerfile").write_text("FROM scratch\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    (tmp_path / "notes.txt").write_text("in no image\n")
    deployment.require_commit()
    commit = deployment.image_tag(spark)
    assert len(commit) == 12
    assert deployment.image_tag(sail) == f"{commit}-sail-arm64"

    (tmp_path / "docker/new.txt").write_text("in all images\n")
    with pytest.raises(deployment.UsageError, match=r"docker/new\.txt is not as it was committed"):
        deployment.require_commit()


def test_the_functions_can_be_packaged_for_terraform(tmp_path: Path) -> None:
    app, package = tmp_path / "app", tmp_path / "package"
    outputs = dict.fromkeys(functions.ENVIRONMENT.values(), "none")
    outputs |= {"ValidatorTaskSize": "1024/2048", "TransformerTaskSize": "1024/4096"}
    outputs |= {"MinHistoryWeeks": "4", "DayCompleteHour": "6"}
    outputs["StateMachineArn"] = "arn:aws:states:eu-north-1:123456789012:stateMachine:M"
    outputs["RoleOfFinishRun"] = "arn:aws:iam::123456789012:role/finish"
    functions.write_app(app, stage="dev", outputs=outputs, variables={})
    code = "import sys; from chalice.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "package", "--pkg-format", "terraform", str(package)]
    subprocess.run(
        command,
        cwd=app,
        check=True,
        capture_output=True,
        env={**os.environ, "AWS_DEFAULT_REGION": "eu-north-1"},
    )
    described = json.loads((package / "chalice.tf.json").read_text())
    made = described["resource"]["aws_lambda_function"]["FinishRun"]
    assert made["role"] == "arn:aws:iam::123456789012:role/finish"
    assert made["timeout"] == 300
