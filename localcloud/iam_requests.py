"""The permission checks that IAM makes for a request: actions on resources, under conditions.

The request is one to the embedded AWS, as WSGI gives it. A service that is not known here raises an
error, so that no request passes unchecked.
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

from .iam import PermissionCheck

_check: Final = PermissionCheck.of
ACCOUNT: Final = "123456789012"
PARTITION: Final = "aws"
# The rule through which Step Functions learns that a job of an integration has ended.
MANAGED_RULES: Final = {
    "ecs:runTask.sync": "StepFunctionsGetEventsForECSTaskRule",
    "emr-serverless:startJobRun.sync": "StepFunctionsGetEventsForEMRServerlessJobRule",
}


def permission_checks(environ: Mapping[str, Any]) -> list[PermissionCheck]:
    """Return the permission checks that AWS makes for a request.

    Raises:
        NotImplementedError: the service is not known here.
    """
    match service_of(environ):
        case "s3":
            return list(_checks_of_s3(environ))
        case "dynamodb":
            return list(_checks_of_dynamodb(_operation(environ), json.loads(body_of(environ))))
        case "states":
            return [_checks_of_states(_operation(environ), json.loads(body_of(environ)))]
        case "ecs":
            return list(_checks_of_ecs(_operation(environ), json.loads(body_of(environ))))
        case "lambda":
            name = unquote(environ["PATH_INFO"].split("/")[3]).rsplit(":", 1)[-1]
            return [_check("lambda:InvokeFunction", _arn("lambda", f"function:{name}"))]
        case "sns":
            form = parse_qs(body_of(environ).decode())
            return [_check(f"sns:{form['Action'][0]}", form["TopicArn"][0])]
        case "sqs":
            queue = json.loads(body_of(environ))["QueueUrl"].rsplit("/", 1)[-1]
            return [_check(f"sqs:{_operation(environ)}", _arn("sqs", queue))]
        case "monitoring":
            return [_checks_of_cloudwatch(environ)]
        case service:
            raise NotImplementedError(
                f"{service}: add the permission checks of its requests to {__name__}"
            )


def _checks_of_s3(environ: Mapping[str, Any]) -> Iterator[PermissionCheck]:
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    first = {name: values[0] for name, values in query.items()}
    bucket_arn = f"arn:{PARTITION}:s3:::{bucket}"
    arn, versioned = f"{bucket_arn}/{key}", "versionId" in first
    match environ["REQUEST_METHOD"]:
        case "GET" | "HEAD" if not key:
            action = "s3:ListBucketVersions" if "versions" in first else "s3:ListBucket"
            yield _check(action, bucket_arn, s3__prefix=first.get("prefix", ""))
        case "GET" | "HEAD":
            yield _check("s3:GetObjectVersion" if versioned else "s3:GetObject", arn)
        case "POST" if not key and "delete" in first:
            for found in ET.fromstring(body_of(environ)).iter():  # noqa: S314 - our own components
                if found.tag.endswith("}Key") or found.tag == "Key":
                    yield _check("s3:DeleteObject", f"{bucket_arn}/{found.text}")
        case "DELETE" if "uploadId" in first:
            yield _check("s3:AbortMultipartUpload", arn)
        case "DELETE":
            yield _check("s3:DeleteObjectVersion" if versioned else "s3:DeleteObject", arn)
        case _:
            yield _check("s3:PutObject", arn)
            if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
                yield from _checks_of_a_copy(unquote(source).lstrip("/"), arn)
    # A conditional write reveals something about the object.
    if environ.get("HTTP_IF_MATCH") and environ["REQUEST_METHOD"] in {"PUT", "DELETE"}:
        yield _check("s3:GetObject", arn)


def _checks_of_a_copy(source: str, to: str) -> Iterator[PermissionCheck]:
    path, _, version = source.partition("?versionId=")
    bucket, _, key = path.partition("/")
    which = "ObjectVersion" if version else "Object"
    arn = f"arn:{PARTITION}:s3:::{path}"
    yield _check(f"s3:Get{which}", arn)
    backend = s3_backends[ACCOUNT][PARTITION]
    found = backend.get_object(bucket, key, version_id=version or None)
    # A copy includes the tags, and needs permissions for them where there are any.
    if found is not None and backend.tagger.list_tags_for_resource(found.arn)["Tags"]:
        yield _check(f"s3:Get{which}Tagging", arn)
        yield _check("s3:PutObjectTagging", to)


def _checks_of_dynamodb(operation: str, body: Mapping[str, Any]) -> Iterator[PermissionCheck]:
    def table(name: str) -> str:
        return _arn("dynamodb", f"table/{name.rsplit('/', 1)[-1]}")

    match operation:
        case "TransactWriteItems" | "TransactGetItems":
            # There are no actions of these names: IAM checks each of their items.
            names = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
            names |= {"ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}
            for item in body["TransactItems"]:
                for kind, fields in item.items():
                    yield _check(f"dynamodb:{names[kind]}", table(fields["TableName"]))
        case "BatchGetItem" | "BatchWriteItem":
            for name in body["RequestItems"]:
                yield _check(f"dynamodb:{operation}", table(name))
        case _:
            index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
            yield _check(f"dynamodb:{operation}", table(body["TableName"]) + index)


def _checks_of_states(operation: str, body: Mapping[str, Any]) -> PermissionCheck:
    return _check(f"states:{operation}", body.get("executionArn") or body["stateMachineArn"])


def _checks_of_ecs(operation: str, body: Mapping[str, Any]) -> Iterator[PermissionCheck]:
    cluster = str(body["cluster"]).rsplit("/", 1)[-1]
    match operation:
        case "RunTask":
            definition = boto3.client("ecs").describe_task_definition(
                taskDefinition=body["taskDefinition"]
            )["taskDefinition"]
            yield _check(
                "ecs:RunTask",
                definition["taskDefinitionArn"],
                ecs__cluster=_arn("ecs", f"cluster/{cluster}"),
            )
            for role in (definition.get("taskRoleArn"), definition.get("executionRoleArn")):
                if role:
                    yield _check(
                        "iam:PassRole", role, iam__PassedToService="ecs-tasks.amazonaws.com"
                    )
        case _:
            for task in body.get("tasks") or [body["task"]]:
                name = str(task).rsplit("/", 1)[-1]
                yield _check(f"ecs:{operation}", _arn("ecs", f"task/{cluster}/{name}"))


def _checks_of_cloudwatch(environ: Mapping[str, Any]) -> PermissionCheck:
    body = body_of(environ)
    # boto3 chooses the first of three protocols that both sides support.
    if "HTTP_X_AMZ_TARGET" in environ:
        operation, namespace = _operation(environ), json.loads(body)["Namespace"]
    elif "cbor" in environ.get("CONTENT_TYPE", ""):
        operation = environ["PATH_INFO"].rsplit("/", 1)[-1]
        namespace = RpcV2CBORParser().parse_data_item(BytesIO(body))["Namespace"]
    else:
        form = parse_qs(body.decode())
        operation, namespace = form["Action"][0], form["Namespace"][0]
    return _check(f"cloudwatch:{operation}", "*", cloudwatch__namespace=namespace)


def log_check(group: str, action: str) -> PermissionCheck:
    """Return the check for writing to a log stream of a group."""
    return _check(f"logs:{action}", _arn("logs", f"log-group:{group}:log-stream:any"))


def task_start_checks(family: str, container: Mapping[str, Any]) -> Iterator[PermissionCheck]:
    """Return the checks of a task's execution role before the task starts.

    The embedded AWS pulls no image, and log_groups.py keeps lines without a request.
    """
    yield _check("ecr:GetAuthorizationToken", "*")
    # The image of the task ecommerce-validator-task-STAGE is in ecommerce-validator-STAGE.
    repository = _arn("ecr", f"repository/{family.replace('-task', '', 1)}")
    for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        yield _check(f"ecr:{action}", repository)
    for action in ("CreateLogStream", "PutLogEvents"):
        yield log_check(container["logConfiguration"]["options"]["awslogs-group"], action)


def machine_creation_checks(definition: Mapping[str, Any]) -> Iterator[PermissionCheck]:
    """Return the checks of a machine's role when the machine is created.

    A .sync state waits for an event that a rule of Step Functions sends.

    Raises:
        NotImplementedError: the rule of an integration is not known here.
    """
    for state in definition["States"].values():
        resource = str(state.get("Resource", "")).removeprefix("arn:aws:states:::")
        if ".sync" not in resource:
            continue
        if resource not in MANAGED_RULES:
            raise NotImplementedError(f"{resource}: add its managed rule to {__name__}")
        for action in ("DescribeRule", "PutRule", "PutTargets"):
            yield _check(f"events:{action}", _arn("events", f"rule/{MANAGED_RULES[resource]}"))


def execution_start_checks() -> Iterator[PermissionCheck]:
    """Return the checks of a machine's role at the start of an execution, for logs and X-Ray.

    The Step Functions guide lists these actions.
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
        yield _check(f"logs:{action}", "*")
    for action in (
        "GetSamplingRules",
        "GetSamplingTargets",
        "PutTelemetryRecords",
        "PutTraceSegments",
    ):
        yield _check(f"xray:{action}", "*")


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
    """Return the body; the next reader gets it, too."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body
