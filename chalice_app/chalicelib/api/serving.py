"""Connects the REST API with AWS. Every error becomes a problem."""

import functools
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..aws.executions import Executions
from ..aws.kpi_tables import KpiQueries, TableBusyError
from ..aws.run_table import RunTable
from ..settings import Settings
from . import problems
from .responses import Response, of_problem
from .routes import Api, ApiRequest

log = logging.getLogger(__name__)

# API Gateway waits 29 seconds: three attempts and their pauses must be over by then.
_CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=50,
)
_FAULT: Final = 500


def serve(operation: Callable[..., Response], request: Any, *path: str) -> Response:
    """Return the response to Chalice's request."""
    return respond(operation, _api, request, *path)


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


@functools.cache
def _api() -> Api:
    settings = Settings.from_env(os.environ)
    dynamodb = boto3.client("dynamodb", config=_CONFIG)
    return Api(
        kpis=KpiQueries(
            dynamodb,
            category_kpis=settings.category_kpis_table,
            order_kpis=settings.order_kpis_table,
        ),
        runs=RunTable(dynamodb, settings.runs_table),
        executions=Executions(boto3.client("stepfunctions", config=_CONFIG), settings),
        clock=lambda: datetime.now(UTC),
    )
