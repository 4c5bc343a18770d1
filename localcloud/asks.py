"""What a request to AWS asks of IAM: actions on resources, under conditions.

The request is one to the embedded AWS as WSGI gives it. A service that no component has
called so far is refused, so that nothing passes unread.
"""

import json
import os
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

import boto3
from botocore.parsers import RpcV2CBORParser
from moto.s3.models import s3_backends

from .iam import Ask

ACCOUNT: Final = "123456789012"
PARTITION: Final = "aws"
# The rule through which Step Functions learns that a job of an integration has ended.
MANAGED_RULES: Final = {
    "ecs:runTask.sync": "StepFunctionsGetEventsForECSTaskRule",
    "emr-serverless:startJobRun.sync": "StepFunctionsGetEventsForEMRServerlessJobRule",
}


def asked_by(environ: Mapping[str, Any]) -> list[Ask]:
    """Return the questions that AWS asks IAM about a request.

    Raises:
        NotImplementedError: of a service that no component has called so far.
    """
    match service_of(environ):
        case "s3":
            return list(_asked_of_s3(environ))
        case "dynamodb":
            return list(_asked_of_dynamodb(_operation(environ), json.loads(body_of(environ))))
        case "states":
            return [_asked_of_states(_operation(environ), json.loads(body_of(environ)))]
        case "ecs":
            return list(_asked_of_ecs(_operation(environ), json.loads(body_of(environ))))
        case "lambda":
            name = unquote(environ["PATH_INFO"].split("/")[3]).rsplit(":", 1)[-1]
            return [Ask.of("lambda:InvokeFunction", _arn("lambda", f"function:{name}"))]
        case "sns":
            form = parse_qs(body_of(environ).decode())
            return [Ask.of(f"sns:{form['Action'][0]}", form["TopicArn"][0])]
        case "sqs":
            queue = json.loads(body_of(environ))["QueueUrl"].rsplit("/", 1)[-1]
            return [Ask.of(f"sqs:{_operation(environ)}", _arn("sqs", queue))]
        case "monitoring":
            return [_asked_of_cloudwatch(environ)]
        case service:
            raise NotImplementedError(f"{service}: teach {__name__} what its requests ask for")


def _asked_of_s3(environ: Mapping[str, Any]) -> Iterator[Ask]:
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    first = {name: values[0] for name, values in query.items()}
    bucket_arn = f"arn:{PARTITION}:s3:::{bucket}"
    arn, versioned = f"{bucket_arn}/{key}", "versionId" in first
    match environ["REQUEST_METHOD"]:
        case "GET" | "HEAD" if not key:
            action = "s3:ListBucketVersions" if "versions" in first else "s3:ListBucket"
            yield Ask.of(action, bucket_arn, s3__prefix=first.get("prefix", ""))
        case "GET" | "HEAD":
            yield Ask.of("s3:GetObjectVersion" if versioned else "s3:GetObject", arn)
        case "POST" if not key and "delete" in first:
            for found in ET.fromstring(body_of(environ)).iter():  # noqa: S314 - our own components
                if found.tag.endswith("}Key") or found.tag == "Key":
                    yield Ask.of("s3:DeleteObject", f"{bucket_arn}/{found.text}")
        case "DELETE" if "uploadId" in first:
            yield Ask.of("s3:AbortMultipartUpload", arn)
        case "DELETE":
            yield Ask.of("s3:DeleteObjectVersion" if versioned else "s3:DeleteObject", arn)
        case _:
            yield Ask.of("s3:PutObject", arn)
            if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
                yield from _asked_of_a_copy(unquote(source).lstrip("/"), arn)
    # A conditional write tells something about what is there.
    if environ.get("HTTP_IF_MATCH") and environ["REQUEST_METHOD"] in {"PUT", "DELETE"}:
        yield Ask.of("s3:GetObject", arn)


def _asked_of_a_copy(source: str, to: str) -> Iterator[Ask]:
    path, _, version = source.partition("?versionId=")
    bucket, _, key = path.partition("/")
    which = "ObjectVersion" if version else "Object"
    arn = f"arn:{PARTITION}:s3:::{path}"
    yield Ask.of(f"s3:Get{which}", arn)
    backend = s3_backends[ACCOUNT][PARTITION]
    found = backend.get_object(bucket, key, version_id=version or None)
    # A copy takes the tags with it, and asks about them where there are any.
    if found is not None and backend.tagger.list_tags_for_resource(found.arn)["Tags"]:
        yield Ask.of(f"s3:Get{which}Tagging", arn)
        yield Ask.of("s3:PutObjectTagging", to)


def _asked_of_dynamodb(operation: str, body: Mapping[str, Any]) -> Iterator[Ask]:
    def table(name: str) -> str:
        return _arn("dynamodb", f"table/{name.rsplit('/', 1)[-1]}")

    match operation:
        case "TransactWriteItems" | "TransactGetItems":
            # There is no action of these names: IAM is asked about each of their items.
            names = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
            names |= {"ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}
            for item in body["TransactItems"]:
                for kind, fields in item.items():
                    yield Ask.of(f"dynamodb:{names[kind]}", table(fields["TableName"]))
        case "BatchGetItem" | "BatchWriteItem":
            for name in body["RequestItems"]:
                yield Ask.of(f"dynamodb:{operation}", table(name))
        case _:
            index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
            yield Ask.of(f"dynamodb:{operation}", table(body["TableName"]) + index)


def _asked_of_states(operation: str, body: Mapping[str, Any]) -> Ask:
    return Ask.of(f"states:{operation}", body.get("executionArn") or body["stateMachineArn"])


def _asked_of_ecs(operation: str, body: Mapping[str, Any]) -> Iterator[Ask]:
    cluster = str(body["cluster"]).rsplit("/", 1)[-1]
    match operation:
        case "RunTask":
            definition = boto3.client("ecs").describe_task_definition(
                taskDefinition=body["taskDefinition"]
            )["taskDefinition"]
            yield Ask.of(
                "ecs:RunTask",
                definition["taskDefinitionArn"],
                ecs__cluster=_arn("ecs", f"cluster/{cluster}"),
            )
            for role in (definition.get("taskRoleArn"), definition.get("executionRoleArn")):
                if role:
                    yield Ask.of(
                        "iam:PassRole", role, iam__PassedToService="ecs-tasks.amazonaws.com"
                    )
        case _:
            for task in body.get("tasks") or [body["task"]]:
                name = str(task).rsplit("/", 1)[-1]
                yield Ask.of(f"ecs:{operation}", _arn("ecs", f"task/{cluster}/{name}"))


def _asked_of_cloudwatch(environ: Mapping[str, Any]) -> Ask:
    body = body_of(environ)
    # boto3 takes the first of three protocols that both sides speak.
    if "HTTP_X_AMZ_TARGET" in environ:
        operation, namespace = _operation(environ), json.loads(body)["Namespace"]
    elif "cbor" in environ.get("CONTENT_TYPE", ""):
        operation = environ["PATH_INFO"].rsplit("/", 1)[-1]
        namespace = RpcV2CBORParser().parse_data_item(BytesIO(body))["Namespace"]
    else:
        form = parse_qs(body.decode())
        operation, namespace = form["Action"][0], form["Namespace"][0]
    return Ask.of(f"cloudwatch:{operation}", "*", cloudwatch__namespace=namespace)


def log(group: str, action: str) -> Ask:
    """Return the question for writing to a log stream of a group."""
    return Ask.of(f"logs:{action}", _arn("logs", f"log-group:{group}:log-stream:any"))


def start_of_a_task(container: Mapping[str, Any]) -> Iterator[Ask]:
    """Return what ECS asks on behalf of a task's execution role before the task runs.

    Nothing is pulled here, and log_groups.py needs no request to keep a line.
    """
    yield Ask.of("ecr:GetAuthorizationToken", "*")
    repository = _arn("ecr", f"repository/ecommerce-{container['name']}")
    for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        yield Ask.of(f"ecr:{action}", repository)
    for action in ("CreateLogStream", "PutLogEvents"):
        yield log(container["logConfiguration"]["options"]["awslogs-group"], action)


def creation_of_a_machine(definition: Mapping[str, Any]) -> Iterator[Ask]:
    """Return what Step Functions asks on behalf of a machine's role when it is created.

    A .sync state waits for an event that a rule of Step Functions delivers.

    Raises:
        NotImplementedError: of an integration whose rule is not known here.
    """
    for state in definition["States"].values():
        resource = str(state.get("Resource", "")).removeprefix("arn:aws:states:::")
        if ".sync" not in resource:
            continue
        if resource not in MANAGED_RULES:
            raise NotImplementedError(f"{resource}: add its managed rule to {__name__}")
        for action in ("DescribeRule", "PutRule", "PutTargets"):
            yield Ask.of(f"events:{action}", _arn("events", f"rule/{MANAGED_RULES[resource]}"))


def start_of_an_execution() -> Iterator[Ask]:
    """Return what Step Functions asks on behalf of a machine that logs and traces.

    What it needs for a log group and for X-Ray: AWS names these actions in its guide.
    """
    for action in (
        "CreateLogDelivery",
        "DeleteLogDelivery",
        "DescribeLogGroups",
        "DescribeResourcePolicies",
        "GetLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "UpdateLogDelivery",
    ):
        yield Ask.of(f"logs:{action}", "*")
    for action in (
        "GetSamplingRules",
        "GetSamplingTargets",
        "PutTelemetryRecords",
        "PutTraceSegments",
    ):
        yield Ask.of(f"xray:{action}", "*")


def _arn(service: str, resource: str) -> str:
    return f"arn:{PARTITION}:{service}:{os.environ['AWS_REGION']}:{ACCOUNT}:{resource}"


def access_key(environ: Mapping[str, Any]) -> str:
    return str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split("/")[0]


def service_of(environ: Mapping[str, Any]) -> str:
    scope = str(environ["HTTP_AUTHORIZATION"]).partition("Credential=")[2].split("/")
    return scope[3]


def _operation(environ: Mapping[str, Any]) -> str:
    return str(environ["HTTP_X_AMZ_TARGET"]).rsplit(".", 1)[-1]


def body_of(environ: Any) -> bytes:
    """Read the body, and leave it to be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body
