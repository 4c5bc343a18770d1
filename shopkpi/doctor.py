"""Checks of a deployment: each returns a finding, and the fix of a problem."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from . import redrive
from .aws_errors import explained
from .errors import AccessError, OperatorError
from .pipeline import FUNCTIONS
from .screen import Screen, table
from .status import describe_lock, describe_not_recognised, read_lock

if TYPE_CHECKING:
    from .pipeline import Pipeline

# AWS refuses requests that are 5 minutes off (S3: 15).
_MAX_SKEW_SECONDS: Final = 60
_JAVA_NEEDED: Final = 17
_SOUND_STACK: Final = re.compile(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``fix`` is None when there is no problem."""

    subject: str
    fact: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        return self.fix is None


Check = Callable[["Pipeline"], Iterator[Finding]]


def collect(pipeline: "Pipeline", screen: Screen) -> list[Finding]:
    """Make every check. A check that AWS refuses is itself a finding.

    Raises OperatorError when AWS does not answer, or nothing is deployed.
    """
    found = list(_identity(pipeline))
    found += _stack(pipeline)
    for check in _CHECKS:
        with screen.busy(f"checking {check.__name__.strip('_')}"):
            found += _carefully(check, pipeline)
    return found


def _carefully(check: Check, pipeline: "Pipeline") -> Iterator[Finding]:
    subject = check.__name__.strip("_")
    try:
        yield from check(pipeline)
    except (BotoCoreError, ClientError) as error:
        known = explained(error, stage=pipeline.stage, where=pipeline.where)
        yield _finding(subject, known or AccessError(str(error)))
    except OperatorError as error:
        yield _finding(subject, error)


def _finding(subject: str, error: OperatorError) -> Finding:
    fact, _, fix = str(error).rpartition(": ")
    return Finding(subject=subject, fact=fact or str(error), fix=fix)


def _identity(pipeline: "Pipeline") -> Iterator[Finding]:
    answer = pipeline.client("sts").get_caller_identity()
    yield Finding(subject="credentials", fact=f"{answer['Arn']} at {pipeline.where}")
    aws = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    yield clock(pipeline.now(), aws)


def clock(here: datetime, aws: datetime) -> Finding:
    """Compare this machine's clock with the Date header of AWS, which has whole seconds."""
    skew = round((here - aws.astimezone(UTC)).total_seconds())
    side = "ahead of" if skew > 0 else "behind"
    if abs(skew) <= _MAX_SKEW_SECONDS:
        return Finding(
            subject="clock", fact=f"{abs(skew)} s {side} AWS" if skew else "equal to AWS"
        )
    return Finding(
        subject="clock",
        fact=f"{abs(skew)} s {side} AWS, which refuses requests that are 5 minutes off",
        fix="set it: timedatectl set-ntp true",
    )


def _stack(pipeline: "Pipeline") -> Iterator[Finding]:
    pipeline.settings  # noqa: B018 - raises when nothing is deployed
    if pipeline.from_environment:
        yield Finding(subject="settings", fact="names are from the environment (S3_BUCKET, …)")
        return
    [stack] = pipeline.client("cloudformation").describe_stacks(StackName=pipeline.stack_name)[
        "Stacks"
    ]
    status = stack["StackStatus"]
    sound = _SOUND_STACK.fullmatch(status)
    yield Finding(
        subject="stack",
        fact=f"{pipeline.stack_name} is {status}",
        fix=None
        if sound
        else "see why: aws cloudformation describe-stack-events --stack-name "
        f"{pipeline.stack_name}",
    )


def _settings(pipeline: "Pipeline") -> Iterator[Finding]:
    given = pipeline.trigger_settings
    yield Finding(
        subject="settings",
        fact=f"a batch is {given.min_order_files} orders, {given.min_item_files} order_items and "
        f"{given.min_product_files} products files, or any files after "
        f"{given.force_after.total_seconds() / 60:g} minutes",
    )


def _bucket(pipeline: "Pipeline") -> Iterator[Finding]:
    s3, bucket = pipeline.client("s3"), pipeline.settings.bucket
    status = s3.get_bucket_versioning(Bucket=bucket).get("Status", "off")
    yield Finding(
        subject="versioning",
        fact=f"of {bucket}: {status}",
        fix=None
        if status == "Enabled"
        else "an overwritten file is lost without it: aws s3api put-bucket-versioning "
        f"--bucket {bucket} --versioning-configuration Status=Enabled",
    )
    yield _uploads(pipeline, s3.get_bucket_notification_configuration(Bucket=bucket))


def _uploads(pipeline: "Pipeline", configuration: Any) -> Finding:
    """Check that an upload calls the function of this stage."""
    name, prefix = pipeline.function_name("CheckFileThreshold"), pipeline.settings.prefix
    for rule_set in configuration.get("LambdaFunctionConfigurations", []):
        rules = {
            rule["Name"].lower(): rule["Value"]
            for rule in rule_set.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        }
        ours = rule_set["LambdaFunctionArn"].split(":")[6] == name
        matches = any(event.startswith("s3:ObjectCreated:") for event in rule_set["Events"])
        if ours and matches and prefix.startswith(rules.get("prefix", "")):
            suffix = rules.get("suffix", "")
            if ".csv".endswith(suffix):
                return Finding(subject="uploads", fact=f"to {prefix}*.csv call {name}")
    if "EventBridgeConfiguration" in configuration:
        return Finding(subject="uploads", fact="are sent to EventBridge")
    return Finding(
        subject="uploads",
        fact=f"to {prefix} call nothing: files wait for the 5-minute check",
        fix=f"deploy the functions again: make deploy STAGE={pipeline.stage}",
    )


def _names(pipeline: "Pipeline") -> Iterator[Finding]:
    """Check that a run can claim every file of the landing folder."""
    keys = [file.key for file in pipeline.listing().not_recognised]
    if not keys:
        yield Finding(subject="names", fact="of all files in the landing folder are recognised")
        return
    fact, _, fix = describe_not_recognised(keys).partition(". ")
    yield Finding(subject="names", fact=fact, fix=fix)


def _functions(pipeline: "Pipeline") -> Iterator[Finding]:
    functions, wrong = pipeline.client("lambda"), []
    for function in FUNCTIONS:
        try:
            found = functions.get_function_configuration(
                FunctionName=pipeline.function_name(function)
            )
        except functions.exceptions.ResourceNotFoundException:
            wrong.append(f"{function} is missing")
            continue
        if found.get("State", "Active") not in {"Active", "Inactive"}:
            wrong.append(f"{function} is {found['State']}")
        bucket = found.get("Environment", {}).get("Variables", {}).get("S3_BUCKET")
        if bucket != pipeline.settings.bucket:
            wrong.append(f"{function} works on bucket {bucket}")
    yield Finding(
        subject="functions",
        fact="; ".join(wrong) if wrong else f"all {len(FUNCTIONS)} exist",
        fix=f"deploy them again: make deploy STAGE={pipeline.stage}" if wrong else None,
    )


def _schedule(pipeline: "Pipeline") -> Iterator[Finding]:
    name, events = pipeline.function_name("CheckOnSchedule"), pipeline.client("events")
    _, region, account = pipeline.settings.place
    arn = f"arn:{pipeline.settings.place[0]}:lambda:{region}:{account}:function:{name}"
    pages = events.get_paginator("list_rule_names_by_target").paginate(TargetArn=arn)
    rules = [events.describe_rule(Name=rule) for page in pages for rule in page["RuleNames"]]
    if not rules:
        yield Finding(
            subject="schedule",
            fact=f"nothing calls {name}: it would start late files and free stale locks",
            fix=f"deploy the functions again: make deploy STAGE={pipeline.stage}",
        )
    for rule in rules:
        yield Finding(
            subject="schedule",
            fact=f"{rule['Name']}, {rule.get('ScheduleExpression')}, is {rule['State']}",
            fix=None
            if rule["State"] == "ENABLED"
            else f"late files and stale locks wait: aws events enable-rule --name {rule['Name']}",
        )


def _tables(pipeline: "Pipeline") -> Iterator[Finding]:
    dynamodb, settings = pipeline.client("dynamodb"), pipeline.settings
    wanted = {
        settings.category_kpis_table: ["category", "order_date"],
        settings.order_kpis_table: ["order_date"],
        settings.runs_table: ["run_id"],
    }
    for name, keys in wanted.items():
        try:
            found = dynamodb.describe_table(TableName=name)["Table"]
        except dynamodb.exceptions.ResourceNotFoundException:
            yield Finding(
                subject="table",
                fact=f"{name} does not exist",
                fix=f"deploy the stack: make deploy STAGE={pipeline.stage}",
            )
            continue
        has = [key["AttributeName"] for key in found["KeySchema"]]
        index = name != settings.runs_table or any(
            index["IndexName"] == "by_month" for index in found.get("GlobalSecondaryIndexes", [])
        )
        sound = found["TableStatus"] == "ACTIVE" and has == keys and index
        yield Finding(
            subject="table",
            fact=f"{name} is {found['TableStatus']}, by {' and '.join(has)}"
            + ("" if index else ", without its index by_month"),
            fix=None if sound else f"its key is {' and '.join(keys)}: deploy the stack again",
        )


def _machine(pipeline: "Pipeline") -> Iterator[Finding]:
    found = pipeline.client("stepfunctions").describe_state_machine(
        stateMachineArn=pipeline.settings.state_machine_arn
    )
    left = sorted(set(re.findall(r"\$\{(\w+)\}", found["definition"])))
    fact = f"{found['name']} is {found.get('status', 'ACTIVE')}"
    yield Finding(
        subject="machine",
        fact=fact if not left else f"{fact}, with the placeholder {left[0]}",
        fix=f"deploy the stack again: make deploy STAGE={pipeline.stage}"
        if left or found.get("status", "ACTIVE") != "ACTIVE"
        else None,
    )


def _images(pipeline: "Pipeline") -> Iterator[Finding]:
    """Check the tasks' images; the embedded AWS runs processes or local images instead."""
    if pipeline.target.environment.get("AWS_ENDPOINT_URL") or pipeline.from_environment:
        return
    ecr = pipeline.client("ecr")
    for output in ("ValidatorImage", "TransformerImage"):
        image = pipeline.outputs.get(output, "")
        repository, _, tag = image.partition("/")[2].partition(":")
        try:
            ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
            yield Finding(
                subject="image",
                fact=f"{repository}:{tag} is not in ECR: its task cannot start",
                fix=f"build and push it: make deploy STAGE={pipeline.stage}",
            )
        else:
            yield Finding(subject="image", fact=f"{repository}:{tag} is in ECR")


def _java(pipeline: "Pipeline") -> Iterator[Finding]:
    """Check Java where tasks are processes of this machine; an image has its own."""
    if pipeline.target.environment.get("AWS_ENDPOINT_URL"):
        yield java(_java_version())


def java(version: str) -> Finding:
    """``version`` is the output of ``java -version``, empty when there is no Java."""
    major = re.search(r'version "(\d+)', version)
    if major and int(major[1]) >= _JAVA_NEEDED:
        return Finding(subject="java", fact=f"{major[1]}, for the engine spark")
    return Finding(
        subject="java",
        fact=f"{major[1]} is too old" if major else "not found",
        fix="for the engine spark install Java 17 (apt-get install openjdk-17-jre-headless) or "
        "name it in JAVA_HOME; or use ENGINE=sail, which computes the same",
    )


def _java_version() -> str:
    import os

    home = os.environ.get("JAVA_HOME")
    program = f"{home}/bin/java" if home else shutil.which("java")
    if program is None:
        return ""
    try:
        # Java prints its version to standard error.
        return subprocess.run(  # noqa: S603 - the user's own Java
            [program, "-version"], capture_output=True, text=True, timeout=20, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _letters(pipeline: "Pipeline") -> Iterator[Finding]:
    count = redrive.waiting(pipeline)
    yield Finding(
        subject="letters",
        fact=f"{count} dead letters: events that a function failed on"
        if count
        else "no dead letters",
        fix="see the errors with `shopkpi redrive --dry-run`, then `shopkpi redrive`"
        if count
        else None,
    )


def _lock(pipeline: "Pipeline") -> Iterator[Finding]:
    now = pipeline.now()
    lock = read_lock(pipeline, now)
    stale = lock is not None and lock.verdict == "stale"
    fact, _, fix = describe_lock(lock, now).partition("; ")
    yield Finding(subject="lock", fact=fact, fix=fix if stale else None)


_CHECKS: Final = (
    _settings,
    _bucket,
    _names,
    _functions,
    _schedule,
    _tables,
    _machine,
    _images,
    _java,
    _letters,
    _lock,
)


def render(found: list[Finding]) -> list[Any]:
    from rich.text import Text

    return [
        table(
            "doctor",
            {"": "left", "what": "left", "found": "left", "fix": "left"},
            (
                (
                    Text("ok", "green") if finding.ok else Text("problem", "bold red"),
                    finding.subject,
                    finding.fact,
                    finding.fix or "",
                )
                for finding in found
            ),
        )
    ]
