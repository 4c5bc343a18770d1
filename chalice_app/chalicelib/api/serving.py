"""Responds to the requests of API Gateway. Every error becomes a problem."""

import logging
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.kpi_tables import TableBusyError
from . import problems
from .responses import Response, of_problem
from .routes import Api, ApiRequest

log = logging.getLogger(__name__)

_FAULT: Final = 500


def respond(
    operation: Callable[..., Response], connect: Callable[[], Api], request: Any, *path: str
) -> Response:
    """Return the response of an operation, or the problem that it raises: never a traceback."""
    request_id = request.lambda_context.aws_request_id
    cause: Exception | None = None
    try:
        return operation(connect(), ApiRequest.of(request.to_original_event()), *path)
    except problems.Problem as problem:
        found = problem
    except TableBusyError as error:
        found, cause = problems.busy(), error
    except (BotoCoreError, ClientError) as error:
        found, cause = problems.of_aws(error), error
    except Exception as error:
        found, cause = problems.unforeseen(), error
    if found.kind.status >= _FAULT:
        fields = {"request_id": request_id, "problem": found.kind.name}
        log.error("request failed", extra=fields, exc_info=cause)
    return of_problem(found, f"urn:uuid:{request_id}")
