"""What infra/ and ``chalice deploy`` create in AWS, created on the embedded one with boto3.

CloudFormation on moto is no test of a deployment, so the resources are made directly;
the state machine is the shipped file, with its placeholders filled in.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3

from .ecs_processes import PROJECT_ROOT

APP_NAME: Final = "ecommerce-kpi"
STAGE: Final = "dev"
CLUSTER: Final = "ecommerce-data-pipeline-cluster"
STATE_MACHINE: Final = "ECommercePipeline"
_ROLE: Final = "arn:aws:iam::{account}:role/local"
# What infra/ has to supply for the state machine.
PLACEHOLDERS: Final = frozenset(
    {
        "BucketName",
        "TopicArn",
        "RecountFilesFunction",
        "ReadVerdictFunction",
        "FinishRunFunction",
        "EcsCluster",
        "ValidatorTaskDefinition",
        "TransformerTaskDefinition",
        "SubnetIds",
        "SecurityGroupIds",
        "AssignPublicIp",
    }
)
# Lambda function → its handler in app.py.
FUNCTIONS: Final = {
    "CheckFileThreshold": "check_file_threshold",
    "CheckOnObjectCreated": "check_on_object_created",
    "CheckOnSchedule": "check_on_schedule",
    "OnExecutionEnded": "on_execution_ended",
    "RecountFiles": "recount_files",
    "ReadVerdict": "read_verdict",
    "FinishRun": "finish_run",
}


class PlaceholderError(ValueError):
    """The state machine needs a value that nobody supplies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What differs from one embedded AWS to another.

    ``commands`` replaces a task's command by a stand-in program's; ``environment`` is
    added to the functions', ``task_environment`` to the containers'.
    """

    bucket: str = "ecommerce-data"
    events: str = "s3"
    environment: Mapping[str, str] = field(default_factory=dict)
    task_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where things are."""

    bucket: str
    state_machine_arn: str
    topic_arn: str
    messages_url: str
    environment: Mapping[str, str]


def provision(plan: Plan, session: boto3.Session) -> Stack:
    """Create everything, in the order in which the parts need one another."""
    account = session.client("sts").get_caller_identity()["Account"]
    region = session.region_name
    arn = f"arn:aws:states:{region}:{account}:stateMachine:{STATE_MACHINE}"
    environment = {
        "S3_BUCKET": plan.bucket,
        "S3_PREFIX": "incoming/",
        "LOCK_KEY": "incoming/pipeline.lock",
        "THRESHOLD_MET_TIMESTAMP_KEY": "incoming/threshold_not_met_timestamp.json",
        "STEP_FUNCTION_ARN": arn,
        "MIN_ORDER_FILES": "5",
        "MIN_ITEM_FILES": "5",
        "MIN_PRODUCT_FILES": "1",
        "FORCE_PROCESS_AFTER_MINUTES": "30",
        **plan.environment,
    }
    _bucket(session, plan.bucket)
    _tables(session)
    topic_arn, messages_url = _topic(session)
    _tasks(session, plan)
    functions = _functions(session, environment, account)
    _state_machine(
        session,
        account,
        {
            "BucketName": plan.bucket,
            "TopicArn": topic_arn,
            "RecountFilesFunction": functions["RecountFiles"],
            "ReadVerdictFunction": functions["ReadVerdict"],
            "FinishRunFunction": functions["FinishRun"],
            "EcsCluster": CLUSTER,
            "ValidatorTaskDefinition": "ecommerce-validator-task",
            "TransformerTaskDefinition": "ecommerce-transformer-task",
            **_network(session),
        },
    )
    _events(session, plan, arn, functions)
    return Stack(
        bucket=plan.bucket,
        state_machine_arn=arn,
        topic_arn=topic_arn,
        messages_url=messages_url,
        environment=environment,
    )


def definition(substitutions: Mapping[str, str]) -> str:
    """Return the shipped state machine with every ``${Name}`` filled in."""
    text = (PROJECT_ROOT / "statemachine.asl.json").read_text(encoding="utf-8")
    missing = placeholders(text) - set(substitutions)
    if missing:
        raise PlaceholderError(f"statemachine.asl.json: no value for {', '.join(sorted(missing))}")
    return re.sub(r"\$\{(\w+)\}", lambda match: json.dumps(substitutions[match[1]])[1:-1], text)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", text))


def package() -> bytes:
    """Return the Chalice app as a deployment package, without what the machine has installed."""
    folder = PROJECT_ROOT / "chalice_app"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [folder / "app.py", *sorted((folder / "chalicelib").glob("*.py"))]:
            archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def _bucket(session: boto3.Session, bucket: str) -> None:
    s3 = session.client("s3")
    s3.create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": session.region_name},  # type: ignore[typeddict-item]
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _tables(session: boto3.Session) -> None:
    dynamodb = session.client("dynamodb")
    dynamodb.create_table(
        TableName="CategoryKPIs",
        AttributeDefinitions=[
            {"AttributeName": "category", "AttributeType": "S"},
            {"AttributeName": "order_date", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "category", "KeyType": "HASH"},
            {"AttributeName": "order_date", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.create_table(
        TableName="OrderKPIs",
        AttributeDefinitions=[{"AttributeName": "order_date", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "order_date", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def _topic(session: boto3.Session) -> tuple[str, str]:
    """Create the topic, and a queue subscribed to it so that its messages can be read."""
    sns, sqs = session.client("sns"), session.client("sqs")
    topic_arn = sns.create_topic(Name="ecommerce-pipeline-notifications")["TopicArn"]
    url = sqs.create_queue(QueueName="ecommerce-pipeline-messages")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return topic_arn, url


def _tasks(session: boto3.Session, plan: Plan) -> None:
    ecs = session.client("ecs")
    ecs.create_cluster(clusterName=CLUSTER)
    environment = {
        "CATEGORY_KPIS_TABLE": "CategoryKPIs",
        "ORDER_KPIS_TABLE": "OrderKPIs",
        "GX_ANALYTICS_ENABLED": "false",
        **plan.task_environment,
    }
    for name in ("validator", "transformer"):
        ecs.register_task_definition(
            family=f"ecommerce-{name}-task",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="1024",
            memory="4096",
            containerDefinitions=[
                {
                    "name": name,
                    "image": f"ecommerce-{name}:local",
                    "essential": True,
                    "memory": 4096,
                    "environment": [
                        {"name": key, "value": value} for key, value in environment.items()
                    ],
                }
            ],
        )


def _functions(
    session: boto3.Session, environment: Mapping[str, str], account: str
) -> dict[str, str]:
    client, code = session.client("lambda"), package()
    role = _ROLE.format(account=account)
    session.client("iam").create_role(RoleName="local", AssumeRolePolicyDocument="{}")
    return {
        name: client.create_function(
            FunctionName=f"{APP_NAME}-{STAGE}-{name}",
            Runtime="python3.11",
            Role=role,
            Handler=f"app.{handler}",
            Code={"ZipFile": code},
            Environment={"Variables": dict(environment)},
            Timeout=60,
        )["FunctionArn"]
        for name, handler in FUNCTIONS.items()
    }


def _network(session: boto3.Session) -> dict[str, str]:
    ec2 = session.client("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])[
        "SecurityGroups"
    ]
    return {
        "SubnetIds": ",".join(subnets),
        "SecurityGroupIds": groups[0]["GroupId"],
        "AssignPublicIp": "ENABLED",
    }


def _state_machine(session: boto3.Session, account: str, substitutions: Mapping[str, str]) -> None:
    session.client("stepfunctions").create_state_machine(
        name=STATE_MACHINE,
        definition=definition(substitutions),
        roleArn=_ROLE.format(account=account),
    )


def _events(
    session: boto3.Session, plan: Plan, state_machine_arn: str, functions: Mapping[str, str]
) -> None:
    """Connect uploads (by S3 notification or EventBridge), the schedule and the runs' ends."""
    configuration: Any = {"EventBridgeConfiguration": {}}
    if plan.events == "s3":
        configuration = {
            "LambdaFunctionConfigurations": [
                {
                    "Id": "uploads",
                    "LambdaFunctionArn": functions["CheckFileThreshold"],
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {
                        "Key": {
                            "FilterRules": [
                                {"Name": "prefix", "Value": "incoming/"},
                                {"Name": "suffix", "Value": ".csv"},
                            ]
                        }
                    },
                }
            ]
        }
    session.client("s3").put_bucket_notification_configuration(
        Bucket=plan.bucket, NotificationConfiguration=configuration
    )
    events = session.client("events")
    uploaded = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [plan.bucket]},
            "object": {"key": [{"prefix": "incoming/"}]},
        },
    }
    ended = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
            "stateMachineArn": [state_machine_arn],
        },
    }
    if plan.events == "eventbridge":
        events.put_rule(Name="uploads", EventPattern=json.dumps(uploaded))
        _target(session, "uploads", functions["CheckOnObjectCreated"])
    events.put_rule(Name="ended", EventPattern=json.dumps(ended))
    _target(session, "ended", functions["OnExecutionEnded"])
    events.put_rule(Name="schedule", ScheduleExpression="rate(5 minutes)")
    _target(session, "schedule", functions["CheckOnSchedule"])


def _target(session: boto3.Session, rule: str, function_arn: str) -> None:
    session.client("events").put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function_arn}])
