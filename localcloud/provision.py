"""The whole stack on the embedded AWS.

What infra/ creates is created with boto3, because CloudFormation on moto is no test of a
deployment. The state machine is the shipped file with its placeholders filled in; the
functions, their upload notification, schedule and rules are deployed by Chalice itself.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import boto3

from . import deploy
from .cloud import LocalCloud
from .ecs_processes import PROJECT_ROOT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STAGE: Final = "dev"
CLUSTER: Final = "ecommerce-data-pipeline-cluster"
STATE_MACHINE: Final = "ECommercePipeline"
RUNS_TABLE: Final = "PipelineRuns"
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


class PlaceholderError(ValueError):
    """The state machine needs a value that nobody supplies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What differs from one embedded AWS to another.

    ``environment`` is added to the functions', ``task_environment`` to the containers'.
    """

    bucket: str = "ecommerce-data"
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


def provision(plan: Plan, cloud: LocalCloud) -> Stack:
    """Create everything, in the order in which the parts need one another."""
    session = cloud.session()
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
        "RUNS_TABLE": RUNS_TABLE,
        **plan.environment,
    }
    _bucket(session, plan.bucket)
    _tables(session)
    topic_arn, messages_url = _topic(session)
    _tasks(session, plan)
    functions = deploy.deploy(
        cloud.home / "chalice_app",
        stage=STAGE,
        variables=environment,
        environment=cloud.environment,
    )
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
    create_runs_table(dynamodb, RUNS_TABLE)


def create_runs_table(dynamodb: "DynamoDBClient", name: str) -> None:
    """Create the table of run records, with the index that lists them by month."""
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "run_id", "AttributeType": "S"},
            {"AttributeName": "month", "AttributeType": "S"},
            {"AttributeName": "started_at", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_month",
                "KeySchema": [
                    {"AttributeName": "month", "KeyType": "HASH"},
                    {"AttributeName": "started_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
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
        "RUNS_TABLE": RUNS_TABLE,
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
