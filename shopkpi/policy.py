"""The IAM policy of an operator: what the commands ask of AWS, and nothing else."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import Pipeline


def document(pipeline: "Pipeline", *, read_only: bool) -> dict[str, Any]:
    """Return the policy; ``read_only`` leaves out what starts, frees and sends back."""
    settings = pipeline.settings
    partition, region, account = settings.place
    bucket = f"arn:{partition}:s3:::{settings.bucket}"

    def arn(service: str, resource: str) -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    functions = arn("lambda", f"function:{pipeline.function_name('*')}")
    executions = f"{settings.execution_arn('*')}"
    queue = arn("sqs", pipeline.dead_letters_name)
    runs = arn("dynamodb", f"table/{settings.runs_table}")
    kpis = [
        arn("dynamodb", f"table/{name}")
        for name in (settings.category_kpis_table, settings.order_kpis_table)
    ]
    statements = [
        _allow("FindTheStack", ["cloudformation:DescribeStacks"], "*"),
        _allow(
            "SeeTheBucket",
            [
                "s3:GetBucketNotification",
                "s3:GetBucketVersioning",
                "s3:ListBucket",
                "s3:ListBucketVersions",
            ],
            bucket,
        ),
        _allow(
            "ReadTheBucket",
            ["s3:GetObject"],
            [
                f"{bucket}/{settings.lock_key}",
                f"{bucket}/runs/*",
                f"{bucket}/quarantine/*",
            ],
        ),
        _allow(
            "ReadKpis", ["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:Query"], kpis
        ),
        _allow(
            "ReadRuns",
            ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query"],
            [runs, f"{runs}/index/by_month"],
        ),
        _allow(
            "SeeRuns",
            [
                "states:DescribeExecution",
                "states:DescribeStateMachine",
                "states:GetExecutionHistory",
                "states:ListExecutions",
            ],
            [settings.state_machine_arn, executions],
        ),
        _allow("SeeFunctions", ["lambda:GetFunctionConfiguration"], functions),
        _allow("SeeSchedule", ["events:DescribeRule", "events:ListRuleNamesByTarget"], "*"),
        _allow("SeeImages", ["ecr:DescribeImages"], arn("ecr", "repository/ecommerce-*")),
        _allow("SeeDeadLetters", ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"], queue),
        _allow(
            "ReadLogs",
            ["logs:FilterLogEvents"],
            [
                arn("logs", f"log-group:/aws/lambda/{pipeline.function_name('*')}"),
                arn("logs", f"log-group:/ecommerce-kpi/{pipeline.stage}/*"),
            ],
        ),
    ]
    if not read_only:
        statements += [
            _allow("StartRuns", ["states:StartExecution"], settings.state_machine_arn),
            _allow("FreeDeadLocks", ["s3:DeleteObject"], f"{bucket}/{settings.lock_key}"),
            _allow(
                "TakeDeadLetters",
                ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"],
                queue,
            ),
            _allow("SendThemBack", ["lambda:InvokeFunction"], functions),
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: list[str], resources: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
