"""The IAM policy of an operator: the permissions that the commands need, and no others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from contract.keys import MAPPING, QUARANTINE, RUNS

from .pipeline import APP_NAME

if TYPE_CHECKING:
    from .pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """``on`` names the resources, see _resources. ``writes``: it may change something."""

    sid: str
    actions: tuple[str, ...]
    on: str
    writes: bool = False


STATEMENTS: Final = (
    Statement(sid="FindTheStack", actions=("cloudformation:DescribeStacks",), on="any"),
    Statement(
        sid="SeeTheBucket",
        actions=(
            "s3:GetBucketNotification",
            "s3:GetBucketVersioning",
            "s3:ListBucket",
            "s3:ListBucketVersions",
        ),
        on="bucket",
    ),
    Statement(sid="ReadTheBucket", actions=("s3:GetObject",), on="documents"),
    Statement(
        sid="ReadKpis",
        actions=("dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:Query"),
        on="kpis",
    ),
    Statement(
        sid="ReadRuns",
        actions=("dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query"),
        on="runs",
    ),
    Statement(
        sid="SeeRuns",
        actions=(
            "states:DescribeExecution",
            "states:DescribeStateMachine",
            "states:GetExecutionHistory",
            "states:ListExecutions",
        ),
        on="executions",
    ),
    Statement(sid="SeeFunctions", actions=("lambda:GetFunctionConfiguration",), on="functions"),
    Statement(
        sid="SeeSchedule",
        actions=("events:DescribeRule", "events:ListRuleNamesByTarget"),
        on="rules",
    ),
    Statement(sid="SeeImages", actions=("ecr:DescribeImages",), on="images"),
    Statement(
        sid="SeeDeadLetters", actions=("sqs:GetQueueAttributes", "sqs:GetQueueUrl"), on="queue"
    ),
    Statement(sid="ReadLogs", actions=("logs:FilterLogEvents",), on="logs"),
    Statement(sid="StartRuns", actions=("states:StartExecution",), on="machine", writes=True),
    Statement(
        sid="FreeDeadLocks",
        actions=("s3:DeleteObject", "s3:DeleteObjectVersion"),
        on="lock",
        writes=True,
    ),
    Statement(
        sid="TakeDeadLetters",
        actions=("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"),
        on="queue",
        writes=True,
    ),
    Statement(sid="SendThemBack", actions=("lambda:InvokeFunction",), on="functions", writes=True),
)
# Operations of boto3 whose permission has a different name.
_RENAMED: Final = {
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "Invoke": "InvokeFunction",
}


def needed_for(operation: str) -> tuple[str, str]:
    """Return the permission that an operation of boto3 needs, and the statement that grants it."""
    name = _RENAMED.get(operation, operation)
    for statement in STATEMENTS:
        for action in statement.actions:
            if action.partition(":")[2] == name:
                return action, statement.sid
    return name, ""


def document(pipeline: "Pipeline", *, read_only: bool) -> dict[str, Any]:
    """Return the policy; ``read_only`` leaves out what starts, frees and sends back."""
    resources = _resources(pipeline)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": statement.sid,
                "Effect": "Allow",
                "Action": list(statement.actions),
                "Resource": resources[statement.on],
            }
            for statement in STATEMENTS
            if not (read_only and statement.writes)
        ],
    }


def _resources(pipeline: "Pipeline") -> dict[str, str | list[str]]:
    settings = pipeline.settings
    partition, region, account = settings.place
    bucket = f"arn:{partition}:s3:::{settings.bucket}"

    def arn(service: str, resource: str) -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    runs = arn("dynamodb", f"table/{settings.runs_table}")
    return {
        # The ARN of a stack has a random part; a stack that does not exist has no ARN.
        "any": "*",
        "bucket": bucket,
        "documents": [
            f"{bucket}/{settings.lock_key}",
            f"{bucket}/{RUNS}*",
            f"{bucket}/{QUARANTINE}*",
            f"{bucket}/{MAPPING}",
        ],
        "lock": f"{bucket}/{settings.lock_key}",
        "kpis": [
            arn("dynamodb", f"table/{settings.category_kpis_table}"),
            arn("dynamodb", f"table/{settings.order_kpis_table}"),
        ],
        "runs": [runs, f"{runs}/index/by_month"],
        "machine": settings.state_machine_arn,
        "executions": [settings.state_machine_arn, settings.execution_arn("*")],
        "functions": arn("lambda", f"function:{pipeline.function_name('*')}"),
        "rules": arn("events", "rule/*"),
        "images": arn("ecr", "repository/ecommerce-*"),
        "queue": arn("sqs", pipeline.dead_letters_name),
        "logs": [
            arn("logs", f"log-group:/aws/lambda/{pipeline.function_name('*')}"),
            arn("logs", f"log-group:/{APP_NAME}/{pipeline.stage}/*"),
        ],
    }
