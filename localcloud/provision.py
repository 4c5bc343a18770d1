"""Deploys the whole stack to the embedded AWS, with the code that deploys it to AWS.

infra/ applies a change set of the template, and Chalice deploys the functions with the roles of the
template. Only what a laptop needs in addition is made here: the tasks' local images and settings,
and a queue that gets the messages of the topic.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3

from contract.notice import Notice
from infra import account, chalice_record, template
from infra.deploy import DEFAULT_STAGE, Stage

from .cloud import LocalCloud

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

STAGE: Final = DEFAULT_STAGE
BUCKET: Final = "ecommerce-data"
CLUSTER: Final = "ecommerce-data-pipeline-cluster"
# The fields of DescribeTaskDefinition that RegisterTaskDefinition accepts.
_REGISTERED: Final = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "requiresCompatibilities",
    "cpu",
    "memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings of one stage on an embedded AWS.

    ``parameters`` are the template's, ``environment`` is added to the functions',
    ``task_environment`` to the containers'.
    ``transformer`` names the transformer's image: transformer-spark or transformer-sail.
    """

    stage: str = STAGE
    bucket: str = BUCKET
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    task_environment: Mapping[str, str] = field(default_factory=dict)
    transformer: str = "transformer-spark"

    @property
    def images(self) -> dict[str, str]:
        """The image of each container."""
        return {
            "validator": "ecommerce-validator:local",
            "transformer": f"ecommerce-{self.transformer}:local",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The names of the deployed resources."""

    bucket: str
    state_machine_arn: str
    topic_arn: str
    messages_url: str
    environment: Mapping[str, str]


def provision(plan: Plan, cloud: LocalCloud) -> Stack:
    """Deploy the template and the functions, then what only a laptop needs."""
    session = cloud.session()
    # The embedded AWS has finished when it answers: no pause between two polls.
    stage = Stage.open(plan.stage, session, pause=0)
    parameters = {**plan.parameters, "BucketName": plan.bucket}
    account.create_service_linked_role(session.client("iam"))
    stage.stack.apply(stage.plan(parameters, at=datetime.now(UTC)))
    suffix = stage.parameters({})["NameSuffix"]
    stage.deploy_functions(
        cloud.home / f"chalice_app{suffix}",
        variables=plan.environment,
        environment=cloud.environment,
    )
    _tasks(session, plan, suffix)
    outputs = stage.stack.outputs()
    return Stack(
        bucket=plan.bucket,
        state_machine_arn=outputs["StateMachineArn"],
        topic_arn=outputs["TopicArn"],
        messages_url=subscribe(session, outputs["TopicArn"], suffix),
        environment=_environment(session, plan.stage),
    )


def subscribe(session: boto3.Session, topic_arn: str, suffix: str = "") -> str:
    """Subscribe a queue to the topic, so that its messages can be read; return its URL."""
    sns, sqs = session.client("sns"), session.client("sqs")
    url = sqs.create_queue(QueueName=f"ecommerce-pipeline-messages{suffix}")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
    return url


def receive(sqs: "SQSClient", messages_url: str) -> Iterator[Notice]:
    """Yield the messages that were sent to the topic's subscribers since the last call."""
    while batch := sqs.receive_message(QueueUrl=messages_url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        for message in batch:
            sqs.delete_message(QueueUrl=messages_url, ReceiptHandle=message["ReceiptHandle"])
            sent = json.loads(message["Body"])
            yield Notice(subject=sent.get("Subject", ""), message=sent["Message"])


def create_runs_table(dynamodb: "DynamoDBClient", name: str) -> None:
    """Create a table like the template's for run records."""
    _create_table(dynamodb, "PipelineRuns", name)


def create_kpi_tables(dynamodb: "DynamoDBClient", *, category_kpis: str, order_kpis: str) -> None:
    """Create tables like the template's for KPIs."""
    _create_table(dynamodb, "CategoryKpis", category_kpis)
    _create_table(dynamodb, "OrderKpis", order_kpis)


def _create_table(dynamodb: "DynamoDBClient", resource: str, name: str) -> None:
    properties = template.load()["Resources"][resource]["Properties"]
    kept = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    dynamodb.create_table(
        TableName=name, **{key: properties[key] for key in kept if key in properties}
    )


def _tasks(session: boto3.Session, plan: Plan, suffix: str) -> None:
    """Register a newer revision of each task: its local image, and the plan's settings."""
    ecs = session.client("ecs")
    for name, image in plan.images.items():
        family = f"ecommerce-{name}-task{suffix}"
        described: Any = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        [container] = described["containerDefinitions"]
        environment = {item["name"]: item["value"] for item in container["environment"]}
        environment |= plan.task_environment
        container |= {
            "image": image,
            "memory": int(described["memory"]),
            "environment": [{"name": key, "value": value} for key, value in environment.items()],
        }
        ecs.register_task_definition(
            containerDefinitions=[container],
            **{key: described[key] for key in _REGISTERED},
        )


def _environment(session: boto3.Session, stage: str) -> dict[str, str]:
    """Return the environment of the stage's functions, which all have the same."""
    function = session.client("lambda").get_function_configuration(
        FunctionName=chalice_record.function_name(stage, chalice_record.API_HANDLER)
    )
    return function["Environment"]["Variables"]
