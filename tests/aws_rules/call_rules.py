"""What services refuse of the calls that a deployment and a run make."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from .rules import SUBJECT, Rule

_DOCS: Final = "https://docs.aws.amazon.com"
_DYNAMODB: Final = f"{_DOCS}/amazondynamodb/latest/developerguide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: ``body`` is what it says where that is a document, ``bytes`` its length."""

    service: str
    operation: str
    query: Mapping[str, str] = field(default_factory=dict)
    bytes: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.service} {self.operation}"


Calls = list[Call]


def recorded(file: Path) -> Calls:
    """Return the calls that the embedded AWS has written down."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Call(**json.loads(line)) for line in lines]


def _of(calls: Calls, service: str, *operations: str) -> Iterator[Call]:
    for call in calls:
        if call.service == service and (not operations or call.operation in operations):
            yield call


# ---- deployment ----------------------------------------------------------------------------------


def _large_bodies(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "cloudformation", "CreateChangeSet", "CreateStack", "UpdateStack"):
        size = len(call.body.get("TemplateBody", "").encode())
        if size > 51_200:
            yield f"{call}: a template of {size} bytes in the request, at most 51,200"


def _names_given_again(calls: Calls) -> Iterator[str]:
    deleted: set[str] = set()
    for call in _of(calls, "s3"):
        method, _, path = call.operation.partition(" /")
        bucket, _, key = path.partition("/")
        if method == "DELETE" and not key and not call.query:
            deleted.add(bucket)
        if method == "PUT" and not key and not call.query and bucket in deleted:
            yield f"{bucket}: created again after it was deleted"


def _cluster_without_role(calls: Calls) -> Iterator[str]:
    for call in calls:
        if call.operation in {"GetRole", "CreateServiceLinkedRole"} and (
            "AWSServiceRoleForECS" in call.body.values()
            or call.body.get("AWSServiceName") == "ecs.amazonaws.com"
        ):
            return
        if call.operation == "ExecuteChangeSet":
            yield "a stack with a cluster before the service-linked role of ECS"
            return


def _notifications_before_permission(calls: Calls) -> Iterator[str]:
    allowed: set[str] = set()
    for call in calls:
        if call.body.get("Principal") == "s3.amazonaws.com":
            allowed.add(call.body["SourceArn"].rpartition(":")[2])
        method, _, bucket = call.operation.partition(" /")
        if "notification" in call.query and method == "PUT" and bucket not in allowed:
            yield f"{bucket}: notifications before S3 may invoke a function"


_RESERVED_VARIABLES: Final = {
    *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
    *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_RUNTIME_API"),
    *("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "TZ"),
    *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
}


def _environments(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "lambda"):
        variables = call.body.get("Environment", {}).get("Variables", {})
        for name in sorted(_RESERVED_VARIABLES & set(variables)):
            yield f"{call}: {name} is reserved"
        size = sum(len(name) + len(value) for name, value in variables.items())
        if size > 4_096:
            yield f"{call}: an environment of {size} bytes, at most 4,096"


# ---- a run ---------------------------------------------------------------------------------------


def _executions(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "states", "StartExecution"):
        name, size = call.body.get("name", "x"), len(call.body.get("input", "").encode())
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,80}", name):
            yield f"{call}: {name!r} is no name"
        if size > 262_144:
            yield f"{call}: an input of {size} bytes, at most 262,144"


def _state_data(calls: Calls) -> Iterator[str]:
    """The machine invokes its functions with its data as their payload."""
    for call in _of(calls, "lambda"):
        if call.operation.endswith("/invocations") and call.bytes > 262_144:
            yield f"{call}: data of {call.bytes} bytes, at most 262,144"


def _overrides(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "ecs", "RunTask"):
        size = len(json.dumps(call.body.get("overrides", {})))
        if size > 8_192:
            yield f"{call}: overrides of {size} characters, at most 8,192"


def _messages(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "sns", "Publish"):
        if not SUBJECT.fullmatch(call.body.get("Subject", "x")):
            yield f"{call}: {call.body['Subject']!r} is no subject"
        if len(call.body["Message"].encode()) > 262_144:
            yield f"{call}: a message of more than 262,144 bytes"


def _objects(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "s3"):
        key = call.operation.partition(" /")[2].partition("/")[2]
        if len(key.encode()) > 1_024:
            yield f"{call}: a key of {len(key.encode())} bytes, at most 1,024"
        if call.body.get("keys", 0) > 1_000:
            yield f"{call}: {call.body['keys']} keys to delete, at most 1,000"


def _writes(call: Call) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the items that a call writes, with their tables."""
    if call.operation == "PutItem":
        yield call.body["TableName"], call.body["Item"]
    for part in call.body.get("TransactItems", []):
        if "Put" in part:
            yield part["Put"]["TableName"], part["Put"]["Item"]
    if call.operation == "BatchWriteItem":
        for table, requests in call.body["RequestItems"].items():
            for request in requests:
                if "PutRequest" in request:
                    yield table, request["PutRequest"]["Item"]


def _items(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "dynamodb"):
        for table, item in _writes(call):
            size = sum(len(name) + len(json.dumps(value)) for name, value in item.items())
            if size > 409_600:
                yield f"{call}: an item of {table} of about {size} bytes, at most 409,600"
            for name, value in item.items():
                [(kind, content)] = value.items()
                digits = re.sub(r"[eE].*|[^0-9]", "", str(content)).strip("0")
                if kind == "N" and len(digits) > 38:
                    yield f"{call}: {name} of {table} has {len(digits)} digits, at most 38"
                if kind in {"SS", "NS", "BS"} and not content:
                    yield f"{call}: {name} of {table} is an empty set"


# Their names in all tables: the partition keys have 2,048 bytes, the sort keys 1,024.
_KEYS: Final = {
    **dict.fromkeys(("category", "month", "run_id"), 2_048),
    **dict.fromkeys(("order_date", "started_at"), 1_024),
}


def _keys(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "dynamodb"):
        for table, item in _writes(call):
            for name in set(item) & set(_KEYS):
                size = len(item[name].get("S", "").encode())
                if not 1 <= size <= _KEYS[name]:
                    yield f"{call}: {name} of {table} has {size} bytes, 1 to {_KEYS[name]}"


def _batches(calls: Calls) -> Iterator[str]:
    for call in _of(calls, "dynamodb"):
        parts = call.body.get("TransactItems", [])
        tables = call.body.get("RequestItems", {}).values()
        number = {
            "TransactWriteItems": (len(parts), 100),
            "TransactGetItems": (len(parts), 100),
            "BatchWriteItem": (sum(map(len, tables)), 25),
            "BatchGetItem": (sum(len(t["Keys"]) for t in tables if "Keys" in t), 100),
        }.get(call.operation, (0, 0))
        if number[0] > number[1]:
            yield f"{call}: {number[0]} items, at most {number[1]}"
        if parts and call.bytes > 4_194_304:
            yield f"{call}: a transaction of {call.bytes} bytes, at most 4 MB"


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key.endswith("Expression") and isinstance(part, str):
                yield part
            else:
                yield from _expressions(part)
    elif isinstance(value, list):
        for part in value:
            yield from _expressions(part)


# What an expression itself is written with.
_SYNTAX: Final = {"AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE", "SIZE"}


def _reserved_words(calls: Calls) -> Iterator[str]:
    reserved = set(ReservedKeywords.get_reserved_keywords()) - _SYNTAX
    for call in _of(calls, "dynamodb"):
        for expression in _expressions(call.body):
            for word in re.findall(r"(?<![#:\w])[A-Za-z]\w*(?!\w*\()", expression):
                if word.upper() in reserved:
                    yield f"{call}: {word} in {expression!r} is reserved: give it a #name"


def _put(value: Any) -> Calls:
    body = {"TableName": "T", "Item": {"a": value}}
    return [Call(service="dynamodb", operation="PutItem", body=body)]


RULES: Final = (
    Rule(
        name="a template sent in the request has at most 51200 bytes",
        source=f"{_DOCS}/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html",
        findings=_large_bodies,
        refused=[
            Call(
                service="cloudformation",
                operation="CreateChangeSet",
                body={"TemplateBody": "x" * 51_201},
            )
        ],
    ),
    Rule(
        name="the name of a deleted bucket is not used again",
        source="https://github.com/aws/aws-cli/issues/2593",
        findings=_names_given_again,
        refused=[
            Call(service="s3", operation="PUT /b"),
            Call(service="s3", operation="DELETE /b"),
            Call(service="s3", operation="PUT /b"),
        ],
    ),
    Rule(
        name="the service-linked role of ECS comes before a cluster",
        source="https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/818",
        findings=_cluster_without_role,
        refused=[Call(service="cloudformation", operation="ExecuteChangeSet")],
    ),
    Rule(
        name="S3 may invoke a function before the bucket notifies it",
        source=f"{_DOCS}/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html",
        findings=_notifications_before_permission,
        refused=[Call(service="s3", operation="PUT /b", query={"notification": ""})],
    ),
    Rule(
        name="a function's environment has 4096 bytes and no reserved name",
        source=f"{_DOCS}/lambda/latest/dg/configuration-envvars.html",
        findings=_environments,
        refused=[
            Call(
                service="lambda",
                operation="POST /2015-03-31/functions",
                body={"Environment": {"Variables": {"AWS_REGION": "eu-west-1"}}},
            )
        ],
    ),
    Rule(
        name="an execution has a name of 80 characters and an input of 262144 bytes",
        source=f"{_DOCS}/step-functions/latest/apireference/API_StartExecution.html",
        findings=_executions,
        refused=[Call(service="states", operation="StartExecution", body={"input": "x" * 262_145})],
    ),
    Rule(
        name="the data of a state has at most 262144 bytes",
        source=f"{_DOCS}/step-functions/latest/dg/service-quotas.html",
        findings=_state_data,
        refused=[
            Call(
                service="lambda",
                operation="POST /2015-03-31/functions/ClaimFiles/invocations",
                bytes=262_145,
            )
        ],
    ),
    Rule(
        name="the overrides of a task have at most 8192 characters",
        source=f"{_DOCS}/AmazonECS/latest/APIReference/API_TaskOverride.html",
        findings=_overrides,
        refused=[Call(service="ecs", operation="RunTask", body={"overrides": "x" * 8_192})],
    ),
    Rule(
        name="a message has 262144 bytes and a subject of one line, fewer than 100 characters",
        source=f"{_DOCS}/sns/latest/api/API_Publish.html",
        findings=_messages,
        refused=[
            Call(service="sns", operation="Publish", body={"Subject": "x" * 100, "Message": ""})
        ],
    ),
    Rule(
        name="a key has at most 1024 bytes, a request to delete 1000 keys",
        source=f"{_DOCS}/AmazonS3/latest/userguide/object-keys.html,"
        f" {_DOCS}/AmazonS3/latest/API/API_DeleteObjects.html",
        findings=_objects,
        refused=[Call(service="s3", operation="PUT /b/" + "ä" * 513)],
    ),
    Rule(
        name="an item has at most 400 KB, a number 38 digits, a set an element",
        source=f"{_DYNAMODB}/Constraints.html",
        findings=_items,
        refused=_put({"N": "1" * 39}),
    ),
    Rule(
        name="a partition key has 1 to 2048 bytes, a sort key 1 to 1024",
        source=f"{_DYNAMODB}/Constraints.html",
        findings=_keys,
        refused=[
            Call(
                service="dynamodb",
                operation="PutItem",
                body={"TableName": "T", "Item": {"category": {"S": "x" * 2_049}}},
            )
        ],
    ),
    Rule(
        name="a batch has 25 writes or 100 reads, a transaction 100 actions",
        source=f"{_DYNAMODB}/Constraints.html",
        findings=_batches,
        refused=[
            Call(
                service="dynamodb",
                operation="BatchWriteItem",
                body={"RequestItems": {"T": [{}] * 26}},
            )
        ],
    ),
    Rule(
        name="an expression names no attribute by a reserved word",
        source=f"{_DYNAMODB}/ReservedWords.html",
        findings=_reserved_words,
        refused=[
            Call(
                service="dynamodb",
                operation="Query",
                body={"KeyConditionExpression": "#day = :day AND month = :month"},
            )
        ],
    ),
)
