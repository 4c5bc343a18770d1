"""Errors of the API as RFC 9457 problem details.

The detail of a problem is one line: the error, and what to do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - of all that is wrong with a connection, botocore's name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
)

from ..aws.client_errors import error_code

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:shop-kpi-pipeline:problem"
# Seconds until a request may succeed: on a busy table, and after an outage.
_SOON: Final = "5"
_LATER: Final = "30"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of problem. Programs distinguish problems by ``name``; its meaning never changes."""

    name: str
    status: int
    title: str


BAD_PARAMETER: Final = Kind("bad-parameter", 400, "A parameter cannot be used")
BAD_PERIOD: Final = Kind("bad-period", 400, "The period cannot be used")
BAD_TOKEN: Final = Kind("bad-token", 400, "The token of the next page cannot be used")
NOT_SIGNED: Final = Kind("not-signed", 403, "The request is not signed, or has no such path")
BAD_SIGNATURE: Final = Kind("bad-signature", 403, "The signature cannot be used")
NOT_ALLOWED: Final = Kind("not-allowed", 403, "The caller may not make this request")
UNKNOWN_CATEGORY: Final = Kind("unknown-category", 404, "There is no such category")
UNKNOWN_RUN: Final = Kind("unknown-run", 404, "There is no such run")
NOT_ACCEPTABLE: Final = Kind("not-acceptable", 406, "The response has no such format")
STILL_RUNNING: Final = Kind("still-running", 409, "The run has not ended")
TOO_MANY: Final = Kind("too-many-requests", 429, "There are too many requests at a time")
INTERNAL: Final = Kind("internal", 500, "The API has failed")
NOT_PERMITTED: Final = Kind("not-permitted", 500, "The API lacks a permission")
NOT_DEPLOYED: Final = Kind("not-deployed", 500, "A part of the pipeline is not there")
BUSY: Final = Kind("busy", 503, "The pipeline's tables are busy")
UNREACHABLE: Final = Kind("unreachable", 503, "AWS does not answer")
NO_ANSWER: Final = Kind("no-answer", 504, "The API has not answered in time")

_BUSY_CODES: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)
_REFUSED_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
    }
)
_MISSING_CODES: Final = frozenset({"ResourceNotFoundException", "StateMachineDoesNotExist"})


class Problem(Exception):  # noqa: N818 - what RFC 9457 calls it
    """Raised while a request is handled; the response to the request is this problem."""

    def __init__(
        self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}

    def to_json(self, instance: str) -> str:
        """``instance`` is a URI of this one occurrence."""
        return json.dumps(
            {
                "type": f"{_URN}:{self.kind.name}",
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": self.detail,
                "instance": instance,
            },
            ensure_ascii=False,
        )


def busy() -> Problem:
    return Problem(
        BUSY,
        f"DynamoDB takes no more requests at the moment: try again in {_SOON} seconds",
        headers={"Retry-After": _SOON},
    )


def of_aws(error: BotoCoreError | ClientError) -> Problem:
    """Return the problem that an error of AWS is for the caller of the API."""
    match error:
        case ClientError():
            return _of_client_error(error)
        case NoCredentialsError() | CredentialRetrievalError():
            return Problem(
                NOT_PERMITTED,
                "the API has no AWS credentials: give its function a role (in AWS), "
                "or export those that make localcloud prints (here)",
            )
        case ConnectionError() | HTTPClientError():
            return Problem(
                UNREACHABLE,
                "DynamoDB or Step Functions could not be reached: try again in "
                f"{_LATER} seconds; if that does not help, look at the AWS Health Dashboard, or "
                "whether make localcloud is still running",
                headers={"Retry-After": _LATER},
            )
        case _:
            return unforeseen()


def unforeseen() -> Problem:
    return Problem(
        INTERNAL,
        "the API has failed on this request: try again; if that does not help, look for the "
        "instance given here in the function's log",
    )


def _of_client_error(error: ClientError) -> Problem:
    code, operation = error_code(error), error.operation_name
    if code in _BUSY_CODES:
        return busy()
    if code in _REFUSED_CODES:
        return Problem(
            NOT_PERMITTED,
            f"AWS has refused {operation} to the API ({code}): deploy the stack again, "
            "its template grants what the API needs",
        )
    if code in _MISSING_CODES:
        return Problem(
            NOT_DEPLOYED,
            f"{operation} finds no such table or state machine: deploy the stack of this stage, "
            "or correct CATEGORY_KPIS_TABLE, ORDER_KPIS_TABLE, RUNS_TABLE or STEP_FUNCTION_ARN",
        )
    return unforeseen()
