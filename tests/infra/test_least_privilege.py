"""Each role allows what its component asks for, and nothing that it can do without.

The embedded AWS enforces the template's policies while the pipeline lives through a day, and
writes down every question. A statement, an action or a resource of a policy without which all
those questions would still be allowed is one too many.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from infra import template
from localcloud import iam
from localcloud.iam import PermissionCheck
from tests.aws_rules.call_rules import RULES, Calls, recorded
from tests.aws_rules.rules import Rule

from .conftest import Day, check_of

Statement = dict[str, Any]
BUCKET = "arn:aws:s3:::ecommerce-data"
EXECUTION = "arn:aws:states:eu-north-1:123456789012:execution:ECommercePipeline:r"
LOGS = "arn:aws:logs:eu-north-1:123456789012:log-group"
# What only an accident, a race or a thousand runs bring about, or checks that only AWS makes.
NOT_LIVED = {
    # Another starter of the same batch has written its manifest first.
    "UploadRole": [
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/runs/r/manifest.json"),
        # An upload is the first to find that a run has died in line.
        PermissionCheck.of(
            "dynamodb:UpdateItem", "arn:aws:dynamodb:eu-north-1:123456789012:table/PipelineRuns"
        ),
    ],
    "KeeperRole": [
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/runs/r/manifest.json"),
        # A function has died while it gathered uploads.
        PermissionCheck.of("s3:DeleteObjectVersion", f"{BUCKET}/runs/check_pending.json"),
        # A file of no dataset lands before a run that is stopped.
        PermissionCheck.of("s3:PutObject", f"{BUCKET}/runs/reported_names.json"),
    ],
    # A run started by hand takes over the lock of a run that has died.
    "ClaimFilesRole": [
        PermissionCheck.of("s3:DeleteObjectVersion", f"{BUCKET}/incoming/pipeline.lock"),
        # A batch started by hand is too small, so other files join it.
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/runs/crashed_files.json"),
    ],
    # The answer to a move was lost and the move is tried again.
    "QuarantineRejectedRole": [
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/processed/r/orders.csv"),
        # A container has crashed, and the file that is the cause is found.
        PermissionCheck.of("s3:ListBucketVersions", BUCKET, s3__prefix="incoming/"),
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/runs/crashed_files.json"),
        PermissionCheck.of("s3:PutObject", f"{BUCKET}/runs/crashed_files.json"),
        PermissionCheck.of("s3:PutObject", f"{BUCKET}/runs/r/verdict.json"),
    ],
    "FinishRunRole": [
        # A run succeeds while files of a crash wait.
        PermissionCheck.of("s3:PutObject", f"{BUCKET}/runs/crashed_files.json"),
        PermissionCheck.of("s3:GetObject", f"{BUCKET}/processed/r/orders.csv"),
        PermissionCheck.of("s3:ListBucket", BUCKET),
    ],
    # Vacuum, after compaction.
    "TransformerRole": [
        PermissionCheck.of("s3:DeleteObject", f"{BUCKET}/ledger/r/orders/part.parquet")
    ],
    # API Gateway calls it as a function; here it is a server of its own.
    "ApiRole": [
        PermissionCheck.of(f"logs:{action}", f"{LOGS}:/aws/lambda/ecommerce-kpi-dev:log-stream:any")
        for action in ("CreateLogStream", "PutLogEvents")
    ],
}
POLICIES = json.loads(
    (Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text()
)


def roles(day: Day) -> dict[str, list[Statement]]:
    """Return the statements of each role that the stack has made, by its logical name."""
    client = day.session.client("iam")
    found = {}
    for role in client.list_roles()["Roles"]:
        name = role["RoleName"]
        if role["Path"].startswith("/aws-service-role/"):
            continue
        documents = [
            client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in client.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        found[name] = [statement for document in documents for statement in document["Statement"]]
    return found


def logical(role: str) -> str:
    return role.removeprefix("ecommerce-kpi-dev-").rsplit("-", 1)[0]


def checks(day: Day) -> dict[str, list[PermissionCheck]]:
    found: dict[str, list[PermissionCheck]] = {}
    for line in day.checked():
        found.setdefault(line["role"], []).append(check_of(line))
    for role, questions in found.items():
        questions += NOT_LIVED.get(logical(role), [])
    return found


def weaker(statements: list[Statement]) -> Iterator[tuple[str, list[Statement]]]:
    """Yield each set of statements that lacks one statement, one action or one resource."""
    for number, statement in enumerate(statements):
        rest = statements[:number] + statements[number + 1 :]
        yield statement["Sid"], rest
        for field in ("Action", "Resource"):
            values = statement[field]
            if isinstance(values, list) and len(values) > 1:
                for value in values:
                    less = copy.deepcopy(statement)
                    less[field] = [kept for kept in values if kept != value]
                    yield f"{statement['Sid']} without {value}", [*rest, less]


def test_no_component_was_denied_anything(day: Day) -> None:
    denied = [line for line in day.checked() if not line["allowed"]]
    assert [f"{logical(line['role'])} {line['action']} {line['resource']}" for line in denied] == []


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_aws_accepts_every_call_of_the_day(rule: Rule[Calls], day: Day) -> None:
    assert list(rule.findings(recorded(day.cloud.home / "calls.jsonl"))) == []


def test_every_role_was_used(day: Day) -> None:
    assert {logical(role) for role in checks(day)} == {logical(role) for role in roles(day)}


def test_without_any_one_statement_action_or_resource_something_is_denied(day: Day) -> None:
    questions, kept, needless = checks(day), 0, []
    for role, statements in roles(day).items():
        assert all(iam.allows(statements, ask) for ask in questions[role])
        for what, rest in weaker(statements):
            denied = [ask for ask in questions[role] if not iam.allows(rest, ask)]
            kept += bool(denied)
            if not denied:
                needless.append(f"{logical(role)}: {what}")
    print(f"{kept} mutations, each denied something")
    assert needless == []


def statements_of_the_template() -> list[tuple[str, Statement]]:
    return [
        (name, statement)
        for name, resource in template.load()["Resources"].items()
        for policy in (
            resource["Properties"].get("Policies", [])
            if resource["Type"] == "AWS::IAM::Role"
            else [resource["Properties"]]
            if resource["Type"] == "AWS::IAM::Policy"
            else []
        )
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def spelt_out(value: Any) -> Any:
    """Return a part of the template with its references as text, ``Machine.Arn`` for each."""
    match value:
        case {"Ref": str() as name}:
            return name
        case {"Fn::GetAtt": [str() as name, str() as attribute]}:
            return f"{name}.{attribute}"
        case {"Fn::Sub": str() as text}:
            return re.sub(r"\$\{([\w.:]+)\}", r"\1", text)
        case dict():
            return {key: spelt_out(found) for key, found in value.items()}
        case list():
            return [spelt_out(found) for found in value]
    return value


def test_big_batches_get_what_a_job_needs_and_no_more() -> None:
    """Nothing runs EMR Serverless here: these are the questions that AWS's guide names."""
    application, job = "SparkApplication.Arn", "SparkApplication.Arn/jobruns/1"
    service = "emr-serverless.amazonaws.com"
    needed = {
        "BigBatchPolicy": [
            PermissionCheck.of("emr-serverless:StartJobRun", application),
            PermissionCheck.of("emr-serverless:GetJobRun", job),
            PermissionCheck.of("emr-serverless:CancelJobRun", job),
            PermissionCheck.of("iam:PassRole", "TransformerRole.Arn", iam__PassedToService=service),
        ],
        "JobPolicy": [
            PermissionCheck.of("s3:GetObject", "Bucket.Arn/code/emr/transform.py"),
            *(
                PermissionCheck.of(f"s3:{a}", "Bucket.Arn/staging/r/part.parquet")
                for a in ("DeleteObject", "GetObject", "PutObject")
            ),
        ],
    }
    for policy, questions in needed.items():
        found = spelt_out([s for name, s in statements_of_the_template() if name == policy])
        assert all(iam.allows(found, ask) for ask in questions)
        for what, rest in weaker(found):
            assert not all(iam.allows(rest, ask) for ask in questions), f"{policy}: {what}"


def actions(statement: Statement) -> list[str]:
    found = statement["Action"]
    return found if isinstance(found, list) else [found]


def test_every_policy_is_one_of_the_templates() -> None:
    assert len(statements_of_the_template()) > 50
    chalice = json.loads((template.PROJECT_ROOT / "chalice_app/.chalice/config.json").read_text())
    assert not {"autogen_policy", "iam_policy_file"} & set(chalice)


def test_no_action_has_a_wildcard() -> None:
    wild = [(name, a) for name, s in statements_of_the_template() for a in actions(s) if "*" in a]
    assert wild == []


def test_every_action_exists() -> None:
    unknown = [
        action
        for _, statement in statements_of_the_template()
        for action in actions(statement)
        if action.split(":")[1].lower() not in POLICIES[action.split(":")[0]]["Actions"]
    ]
    assert unknown == []


def test_a_resource_is_a_star_only_where_aws_knows_no_resource_for_the_action() -> None:
    # A namespace is only a condition; the data set that AWS lists is for other metrics.
    by_condition = {"cloudwatch:PutMetricData"}
    avoidable = [
        (name, action)
        for name, statement in statements_of_the_template()
        if statement["Resource"] == "*"
        for action in actions(statement)
        if POLICIES[action.split(":")[0]]["Actions"][action.split(":")[1].lower()].get("Resources")
        and action not in by_condition
    ]
    assert avoidable == []
