"""The errors that API Gateway answers by itself, as problem details with what to do.

Without these it answers ``{"message": "Forbidden"}``. Chalice has no setting for them and removes
them with every deployment, so they are put after each.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from chalice.constants import DEFAULT_APIGATEWAY_STAGE_NAME

from chalice_app.chalicelib.api import problems
from chalice_app.chalicelib.api.problems import Problem

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.literals import GatewayResponseTypeType

_UNSIGNED: Final = Problem(
    problems.NOT_SIGNED,
    "compare the path with openapi.yaml, GET /kpis/daily is one, and sign the request with AWS"
    " credentials: Signature Version 4 for the service execute-api",
)
_BADLY_SIGNED: Final = Problem(
    problems.BAD_SIGNATURE,
    "sign again with credentials that have not expired, for the service execute-api and the API's"
    " own region, on a clock that is right to five minutes",
)
_NOT_ALLOWED: Final = Problem(
    problems.NOT_ALLOWED,
    "ask for execute-api:Invoke on this route; the project's README has the resources that let"
    " somebody read or replay",
)
_TOO_MANY: Final = Problem(
    problems.TOO_MANY,
    "try again in a second, with fewer requests at a time",
    headers={"Retry-After": "1"},
)
_NO_ANSWER: Final = Problem(
    problems.NO_ANSWER,
    "try again; if that does not help, request a shorter period or a lower limit",
)
RESPONSES: "Final[Mapping[GatewayResponseTypeType, Problem]]" = {
    "MISSING_AUTHENTICATION_TOKEN": _UNSIGNED,
    "UNAUTHORIZED": _UNSIGNED,
    "RESOURCE_NOT_FOUND": _UNSIGNED,
    "INVALID_SIGNATURE": _BADLY_SIGNED,
    "EXPIRED_TOKEN": _BADLY_SIGNED,
    "ACCESS_DENIED": _NOT_ALLOWED,
    "THROTTLED": _TOO_MANY,
    "QUOTA_EXCEEDED": _TOO_MANY,
    "INTEGRATION_TIMEOUT": _NO_ANSWER,
    "INTEGRATION_FAILURE": _NO_ANSWER,
    "DEFAULT_5XX": problems.unforeseen(),
}


def put(gateway: "APIGatewayClient", *, api_id: str) -> None:
    """Put the responses of an API that Chalice has deployed, and deploy them."""
    for kind, problem in RESPONSES.items():
        gateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(problem.kind.status),
            responseParameters={
                f"gatewayresponse.header.{name}": f"'{value}'"
                for name, value in {**problem.headers, "Content-Type": problems.MEDIA_TYPE}.items()
            },
            # Its type is that of the template, not of the answer: the header says that.
            responseTemplates={
                "application/json": problem.to_json("urn:uuid:$context.requestId"),
            },
        )
    gateway.create_deployment(restApiId=api_id, stageName=DEFAULT_APIGATEWAY_STAGE_NAME)
