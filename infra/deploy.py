"""Bring a stage up in AWS, see what that would change, or take it down.

    python -m infra.deploy up --stage dev --dry-run
    python -m infra.deploy up --stage dev --parameter NotificationEmail=ops@example.com
    python -m infra.deploy down --stage dev

Account and region are those of your AWS credentials: AWS_REGION, AWS_DEFAULT_REGION or the region
of AWS_PROFILE, else eu-north-1. Both are printed before anything changes. AWS_ENDPOINT_URL leads
to another AWS, such as the one of ``make localcloud``. Exit code 0: done; 1: AWS or Chalice has
failed; 2: wrong usage, or data is in the way of taking a stage down.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from . import account, budget, chalice_record, functions, gateway_responses, images
from .data import DataError, StageData
from .stack import Plan, Stack, StackError
from .template import PROJECT_ROOT, load, render

DEFAULT_REGION: Final = "eu-north-1"
# Its names are those that the pipeline's contract fixes.
DEFAULT_STAGE: Final = "dev"
# Chalice's record is in the bucket, so that anyone who may deploy can.
_RECORD_KEY: Final = "deploy/chalice-{stage}.json"
# What an image is made of.
_IN_IMAGES: Final = (
    "contract",
    "dashboard",
    "delivery",
    "docker",
    "expectations",
    "requirements",
    "spark_jobs",
)


class UsageError(ValueError):
    """The arguments are wrong; the message says what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One deployment: a stack and the functions on top of it, in one account and region."""

    name: str
    session: boto3.Session
    stack: Stack

    @classmethod
    def open(cls, name: str, session: boto3.Session, *, pause: int = 5) -> "Stage":
        stack = Stack(session.client("cloudformation"), f"ecommerce-kpi-{name}", pause=pause)
        return cls(name=name, session=session, stack=stack)

    def parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return all of the template's parameters. Those not given stay as they are.

        Only a new stack gets a suffix from its stage: another one would replace its tables.
        """
        known = load()["Parameters"]
        if unknown := sorted(set(given) - set(known)):
            raise UsageError(f"{unknown[0]}: no such parameter; there are {', '.join(known)}")
        kept = {name: str(known[name]["Default"]) for name in known}
        before = self.stack.parameters()
        if not before and self.name != DEFAULT_STAGE:
            kept["NameSuffix"] = f"-{self.name}"
        kept |= {key: value for key, value in before.items() if key in known}
        return {**kept, **given, "Stage": self.name}

    def plan(self, given: Mapping[str, str], *, at: datetime) -> Plan:
        """Return what a deployment with these parameters would change."""
        return self.stack.plan(
            account.upload_template(self.session, render()),
            self.parameters(given),
            tags={"Project": "ecommerce-kpi", "Stage": self.name},
            at=at,
        )

    def put_budget(self, *, before: Mapping[str, str]) -> None:
        """Create or change the budget; ``before`` are the parameters before this deployment."""
        after = self.stack.parameters()
        settings = ("NotificationEmail", "MonthlyBudgetUsd")
        budget.put(
            self.session.client("budgets"),
            budget.Budget(
                account=account.account_id(self.session),
                name=self.budget_name,
                limit_usd=after["MonthlyBudgetUsd"],
                email=after["NotificationEmail"],
            ),
            changed=any(before.get(name) != after[name] for name in settings),
        )

    @property
    def budget_name(self) -> str:
        return f"{self.stack.name}-{self.session.region_name}"

    def deploy_functions(
        self, folder: Path, *, variables: Mapping[str, str], environment: Mapping[str, str]
    ) -> list[str]:
        """Deploy the functions from ``folder`` and return their ARNs."""
        outputs = self.stack.outputs()
        functions.write_app(folder, stage=self.name, outputs=outputs, variables=variables)
        self._fetch_record(outputs, folder)
        made = functions.deploy(folder, stage=self.name, environment=environment)
        self.session.client("s3").put_object(
            Bucket=outputs["BucketName"],
            Key=_RECORD_KEY.format(stage=self.name),
            Body=chalice_record.path(folder, self.name).read_bytes(),
        )
        functions.keep_what_fails(
            self.session.client("lambda"), stage=self.name, queue_arn=outputs["DeadLettersArn"]
        )
        [api] = [resource for resource in made if resource["resource_type"] == "rest_api"]
        gateway_responses.put(self.session.client("apigateway"), api_id=api["rest_api_id"])
        return [
            resource["lambda_arn"]
            for resource in made
            if resource["resource_type"] == "lambda_function"
        ]

    def delete_functions(self, folder: Path, *, environment: Mapping[str, str]) -> None:
        outputs = self.stack.outputs()
        if "BucketName" not in outputs:
            return
        functions.write_app(folder, stage=self.name, outputs=outputs, variables={})
        self._fetch_record(outputs, folder)
        functions.delete(folder, stage=self.name, environment=environment)

    def data(self) -> StageData:
        """Return the bucket and the tables, which deleting the stack leaves."""
        return StageData.of(self.session, self.stack.outputs())

    def _fetch_record(self, outputs: Mapping[str, str], folder: Path) -> None:
        """Put Chalice's record into ``folder``; without one, what is found of the stage."""
        path = chalice_record.path(folder, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        s3 = self.session.client("s3")
        try:
            found = s3.get_object(
                Bucket=outputs["BucketName"], Key=_RECORD_KEY.format(stage=self.name)
            )
        except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
            path.write_bytes(
                chalice_record.rebuild(self.session, self.name, functions.with_roles(outputs))
            )
        else:
            path.write_bytes(found["Body"].read())


def up(stage: Stage, given: Mapping[str, str], *, dry_run: bool, with_images: bool = True) -> None:
    before = stage.stack.parameters()
    plan = stage.plan(given, at=datetime.now(UTC))
    print(_table(stage.stack.name, plan), flush=True)
    parameters = stage.parameters(given)
    ecr = stage.session.client("ecr")
    missing = images.missing(ecr, images.wanted(parameters)) if with_images else ()
    for image in missing:
        print(f"image to build and push: {image}", flush=True)
    if dry_run:
        if plan.changes:
            stage.stack.drop(plan)
        print(f"dry run: {stage.stack.name} has not been changed")
        return
    # First: it takes IAM some seconds until ECS may use a new one.
    account.create_service_linked_role(stage.session.client("iam"))
    if missing:
        # Before the stack changes: a build is most of the time, and the most likely to fail.
        engine = images.Engine.find()
        _progress("building the images …")
        engine.build(missing, parameters["Architecture"])
        if not plan.is_new:
            # Before a task definition names them: a run may start at any time.
            _progress("pushing the images …")
            engine.push(ecr, missing)
    if plan.changes:
        _progress("changing the stack …")
        stage.stack.apply(plan)
        for change in stage.stack.missing(plan):
            print(f"not made by this AWS: {change.resource} ({change.kind})")
    # Also without changes: an earlier attempt may have failed here.
    stage.put_budget(before=before)
    if missing and plan.is_new:
        _progress("pushing the images …")
        engine.push(ecr, missing)
    _progress("deploying the functions …")
    with tempfile.TemporaryDirectory() as scratch:
        arns = stage.deploy_functions(Path(scratch) / "app", variables={}, environment={})
    for arn in arns:
        print(f"function: {arn}")
    for name, value in sorted(stage.stack.outputs().items()):
        print(f"{name}: {value}")


def down(stage: Stage, *, delete_data: bool) -> None:
    """Delete everything of a stage.

    Raises:
        DataError: there is data, and ``delete_data`` is false.
    """
    if stage.stack.status() is None:
        print(f"{stage.stack.name}: there is no such stack")
        return
    data = stage.data()
    if not delete_data:
        data.require_empty()
    _progress("deleting the functions …")
    with tempfile.TemporaryDirectory() as scratch:
        stage.delete_functions(Path(scratch) / "app", environment={})
    _progress("deleting the stack …")
    data.empty()
    stage.stack.delete()
    data.delete()
    budget.delete(
        stage.session.client("budgets"),
        account=account.account_id(stage.session),
        name=stage.budget_name,
    )
    print(f"{stage.stack.name}: deleted, with {', '.join(data.names())}")


def image_tag(parameters: Mapping[str, str]) -> str:
    """Return the commit's short name: a tag is never pushed twice.

    The images of one commit differ by engine and architecture, so the tag names those too.

    Raises:
        UsageError: this is no git work tree, so there is no commit to name them by.
    """
    if not (PROJECT_ROOT / ".git").exists() or shutil.which("git") is None:
        raise UsageError("no git commit here: name the images yourself, ImageTag=…")
    tag = _git("rev-parse", "--short=12", "HEAD")
    if parameters["Engine"] == "sail":
        tag += "-sail"
    if parameters["Architecture"] == "ARM64":
        tag += "-arm64"
    return tag


def require_commit() -> None:
    """Raise UsageError when an image that is built now would differ from its commit."""
    if changed := _git("status", "--porcelain", "--", *_IN_IMAGES):
        raise UsageError(
            f"{changed.split()[-1]} is not as it was committed, and images are named by their"
            " commit: commit it, name them yourself (ImageTag=…), or leave them out (IMAGES=no)"
        )


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - arguments of this module
        ["git", *arguments],  # noqa: S607 - the user's own git
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def _table(name: str, plan: Plan) -> str:
    if not plan.changes:
        return f"{name}: no changes"
    kind = "new" if plan.is_new else "update"
    return "\n".join([f"{name} ({kind}): {len(plan.changes)} changes", *map(str, plan.changes)])


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        # boto3 reads AWS_DEFAULT_REGION and the profile, and not AWS_REGION.
        region = os.environ.get("AWS_REGION") or boto3.Session().region_name or DEFAULT_REGION
        # Chalice is a process of its own.
        os.environ["AWS_DEFAULT_REGION"] = region
        stage = Stage.open(options.stage, boto3.Session(region_name=region))
        account_id = account.account_id(stage.session)
        print(f"account {account_id}, region {region}, stage {stage.name}", flush=True)
        if options.command == "up":
            given, with_images = dict(options.parameter), not options.no_images
            if "ImageTag" not in given:
                given["ImageTag"] = image_tag(stage.parameters(given))
                if with_images and not options.dry_run:
                    require_commit()
            up(stage, given, dry_run=options.dry_run, with_images=with_images)
        else:
            down(stage, delete_data=options.delete_data)
    except (DataError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (
        BotoCoreError,
        ClientError,
        StackError,
        account.AccountError,
        functions.ChaliceError,
        images.ImageError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--stage", required=True)
    bring = commands.add_parser("up", parents=[shared], help="create or update everything")
    bring.add_argument("--dry-run", action="store_true", help="show the changes and make none")
    bring.add_argument(
        "--no-images", action="store_true", help="neither build nor push the tasks' images"
    )
    bring.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        type=_parameter,
        action="append",
        default=[],
        help="a parameter of infra/template.yaml; it stays until it is given again",
    )
    take = commands.add_parser("down", parents=[shared], help="delete everything")
    take.add_argument(
        "--delete-data", action="store_true", help="the bucket's objects and the KPIs as well"
    )
    return parser


def _parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
