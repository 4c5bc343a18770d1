"""Chalice's record of what it has deployed, and how to write it again when it is missing.

Chalice finds functions and rules by their names, and a REST API only by the id in its record. It
writes the record at the end of a deployment that succeeds: without this, each attempt after a
failure would create another API, and nothing would be deleted with the stage.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient

APP_NAME: Final = "ecommerce-kpi"
# Chalice's own name for the function that answers all routes.
API_HANDLER: Final = "api_handler"


def path(app: Path, stage: str) -> Path:
    return app / ".chalice" / "deployed" / f"{stage}.json"


def function_name(stage: str, function: str) -> str:
    base = f"{APP_NAME}-{stage}"
    return base if function == API_HANDLER else f"{base}-{function}"


def rebuild(session: boto3.Session, stage: str, functions: Iterable[str]) -> bytes:
    """Return the record of what there is of a stage; of several APIs all but one are deleted.

    ``functions`` are Chalice's names of the stage's functions.
    """
    by_name = {function_name(stage, function): function for function in functions}
    resources = [*_functions(session, by_name), *_rules(session, by_name)]
    gateway = session.client("apigateway")
    first, *others = [*_apis(gateway, function_name(stage, API_HANDLER)), None]
    for api in others:
        if api is not None:
            gateway.delete_rest_api(restApiId=api)
    if first is not None:
        resources.append({"name": "rest_api", "resource_type": "rest_api", "rest_api_id": first})
    document = {"resources": resources, "schema_version": "2.0", "backend": "api"}
    return json.dumps(document, indent=2).encode()


def _functions(session: boto3.Session, by_name: dict[str, str]) -> Iterator[dict[str, Any]]:
    pages = session.client("lambda").get_paginator("list_functions").paginate()
    for page in pages:
        for found in page["Functions"]:
            if found["FunctionName"] in by_name:
                yield {
                    "name": by_name[found["FunctionName"]],
                    "resource_type": "lambda_function",
                    "lambda_arn": found["FunctionArn"],
                }


def _rules(session: boto3.Session, by_name: dict[str, str]) -> Iterator[dict[str, Any]]:
    pages = session.client("events").get_paginator("list_rules").paginate(NamePrefix=APP_NAME)
    for page in pages:
        for rule in page["Rules"]:
            function = by_name.get(rule["Name"].removesuffix("-event"))
            if function is not None:
                yield {
                    "name": f"{function}-event",
                    "resource_type": "cloudwatch_event",
                    "rule_name": rule["Name"],
                }


def _apis(gateway: "APIGatewayClient", function: str) -> Iterator[str]:
    """Yield the ids of the APIs that call a function, the oldest first.

    All stages' APIs have the same name.
    """
    apis = [
        api
        for page in gateway.get_paginator("get_rest_apis").paginate()
        for api in page["items"]
        if api.get("name") == APP_NAME
    ]
    for api in sorted(apis, key=lambda found: str(found["createdDate"])):
        pages = gateway.get_paginator("get_resources").paginate(
            restApiId=api["id"], embed=["methods"]
        )
        # .../functions/arn:aws:lambda:eu-north-1:123456789012:function:NAME/invocations
        if any(
            f":function:{function}/" in json.dumps(page["items"], default=str) for page in pages
        ):
            yield api["id"]
