"""What the code must not leave out of its calls to AWS."""

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore import xform_name

from .rules import Rule

# Those that the pipeline, its deployment and its command call.
_SERVICES: Final = (
    *("apigateway", "budgets", "cloudformation", "cloudwatch", "dynamodb", "ecr", "ecs"),
    *("emr-serverless", "events", "iam", "lambda", "logs", "s3", "sns", "sqs", "stepfunctions"),
)
# One of these says that the caller reads page by page, or wants no more than a few.
_BOUNDED: Final = {
    *("ExclusiveStartKey", "Limit", "Marker", "MaxItems", "MaxKeys", "MaxResults", "NextToken"),
    *("ContinuationToken", "KeyMarker", "maxResults", "nextToken", "limit"),
}
# Asked about one thing by its name, the answer is that thing.
_OF_ONE: Final = {"describe_stacks": {"StackName"}, "describe_images": {"imageIds"}}

Source = dict[str, ast.Module]


def sources(*packages: Path) -> Source:
    return {
        str(path): ast.parse(path.read_text(encoding="utf-8"))
        for package in packages
        for path in sorted(package.rglob("*.py"))
    }


def _paged_operations() -> set[str]:
    """Return the client methods whose answer may be one page of several."""
    loader: Any = botocore.session.get_session()
    return {
        xform_name(operation)
        for service in _SERVICES
        for operation in loader.get_paginator_model(service)._paginator_config
    }


def _first_pages(source: Source) -> Iterator[str]:
    paged = _paged_operations()
    for path, tree in source.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, given = node.func.attr, {keyword.arg for keyword in node.keywords}
            # A call without keywords is no call of a client; ``**arguments`` are looked at by hand.
            if name not in paged or (not given and node.args):
                continue
            if None in given or given & (_BOUNDED | _OF_ONE.get(name, set())):
                continue
            yield f"{path}:{node.lineno}: {name} reads the first page only: use get_paginator"


def _conditions_that_s3_lacks(source: Source) -> Iterator[str]:
    for path, tree in source.items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="get_object" | "head_object")):
                    continue
                case ast.Call(keywords=keywords):
                    given = [(keyword.arg, keyword.value) for keyword in keywords]
                case ast.Dict(keys=keys, values=values):
                    names = [key.value if isinstance(key, ast.Constant) else "" for key in keys]
                    given = list(zip(map(str, names), values, strict=True))
                case _:
                    continue
            for name, value in given:
                if name == "IfNoneMatch" and ast.unparse(value) != "'*'":
                    yield f"{path}:{value.lineno}: IfNoneMatch of a write is *, not an ETag"


def _overlapping_notifications(source: Source) -> Iterator[str]:
    for path, tree in source.items():
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".on_s3_event")
        ]
        for one, other in combinations(calls, 2):
            if all(_overlap(_given(one, end), _given(other, end), end) for end in _FILTERS):
                yield f"{path}:{other.lineno}: its keys may be those of line {one.lineno}"


# What a filter without a value is: any key.
_FILTERS: Final = ("prefix", "suffix")


def _given(call: ast.Call, name: str) -> str:
    """Return a filter as text; one that is no literal, as its expression."""
    values = {keyword.arg: keyword.value for keyword in call.keywords}
    value = values.get(name, ast.Constant(""))
    return str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)


def _overlap(one: str, other: str, end: str) -> bool:
    longer, shorter = sorted((one, other), key=len, reverse=True)
    return longer.startswith(shorter) if end == "prefix" else longer.endswith(shorter)


RULES: Final = (
    Rule(
        name="no key is in two notifications of a bucket",
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
        "notification-how-to-filtering.html,"
        " https://repost.aws/knowledge-center/lambda-s3-event-configuration-error",
        findings=_overlapping_notifications,
        refused={
            "x.py": ast.parse(
                "app.on_s3_event(bucket=B, prefix=P, suffix='.gz')\n"
                "app.on_s3_event(bucket=B, prefix=P, suffix='.csv.gz')\n"
            )
        },
    ),
    Rule(
        name="a write to S3 has no other IfNoneMatch than a star",
        source="https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html",
        findings=_conditions_that_s3_lacks,
        refused={"x.py": ast.parse("s3.put_object(Bucket='b', Key='k', IfNoneMatch=etag)")},
    ),
    Rule(
        name="an answer in pages is read to its end",
        source="https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"
        " (IsTruncated), botocore's paginator models",
        findings=_first_pages,
        refused={"x.py": ast.parse("client.list_object_versions(Bucket='b', Prefix='incoming/')")},
    ),
)
