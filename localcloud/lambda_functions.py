"""Runs Lambda functions: imports the deployed package and calls it in this process.

moto starts a Docker container for an invocation. Here the deployed zip is unpacked once, and its
handler is called with the event, through Chalice's event classes. An event source (S3, EventBridge)
gets its response at once and the function runs on another thread, as in AWS; a call from the state
machine gets the function's result or its error.
"""

import importlib
import io
import json
import logging
import os
import sys
import threading
import traceback
import uuid
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaBackend, LambdaFunction

from infra import chalice_record
from infra.deploy import DEFAULT_STAGE

from . import access, environments, iam_requests, log_groups

log = logging.getLogger(__name__)

# Lambda retries an asynchronous event twice.
_ASYNC_ATTEMPTS: Final = 3
# The top-level modules of a deployed package.
_SHIPPED: Final = frozenset({"app", "chalicelib", "contract"})
_workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="lambda")
_loading = threading.Lock()
_handlers: dict[str, Callable[[Any, Any], Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a function gets about its invocation."""

    function_name: str
    invoked_function_arn: str
    aws_request_id: str
    memory_limit_in_mb: str = "512"


def install(home: Path) -> None:
    """Patch moto; packages are unpacked below ``home``/packages."""

    def invoke(
        self: LambdaFunction, body: Any, request_headers: Any, response_headers: Any
    ) -> str | bytes:
        event = json.loads(body or "{}")
        kind = request_headers.get("x-amz-invocation-type") or request_headers.get(
            "X-Amz-Invocation-Type"
        )
        # moto's S3 sends no headers at all; its events are always asynchronous.
        if kind == "Event" or not request_headers:
            enqueue(self, event, home)
            return ""
        try:
            return json.dumps(_call(self, event, home)).encode()
        except Exception as error:
            log.warning("%s raised", self.function_name, exc_info=True)
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(
                {
                    "errorType": type(error).__name__,
                    "errorMessage": str(error),
                    "stackTrace": traceback.format_exc().splitlines(),
                }
            ).encode()

    environments.install()
    LambdaFunction.invoke = invoke  # type: ignore[method-assign]
    _find_plain_names()


def _find_plain_names() -> None:
    """Find a function of the default stage by its name in chalice_app/, which AWS does not do."""
    get_function = LambdaBackend.get_function

    def get_by_any_name(
        self: LambdaBackend, function_name_or_arn: str, qualifier: str | None = None
    ) -> LambdaFunction:
        try:
            return get_function(self, function_name_or_arn, qualifier)
        except UnknownFunctionException:
            deployed = chalice_record.function_name(DEFAULT_STAGE, function_name_or_arn)
            if deployed not in {function.function_name for function in self.list_functions()}:
                raise
            return get_function(self, deployed, qualifier)

    LambdaBackend.get_function = get_by_any_name  # type: ignore[method-assign]


def enqueue(function: LambdaFunction, event: Any, home: Path) -> None:
    """Invoke asynchronously, with Lambda's two retries and its destination on failure."""

    def attempts() -> None:
        for _ in range(_ASYNC_ATTEMPTS):
            try:
                _call(function, event, home)
            except Exception as error:
                log.warning("%s raised", function.function_name, exc_info=True)
                message = f"{type(error).__name__}: {error}"
            else:
                return
        _send_to_destination(function, event, message)

    _workers.submit(attempts)


def _send_to_destination(function: LambdaFunction, event: Any, message: str) -> None:
    """Send a failed event to the on-failure destination of the function."""
    configurations: list[Any] = function.event_invoke_config[-1:]
    for configuration in configurations:
        destination = configuration.config["DestinationConfig"]["OnFailure"]["Destination"]
        document = {
            "requestContext": {
                "functionArn": function.function_arn,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": _ASYNC_ATTEMPTS,
            },
            "requestPayload": event,
            "responsePayload": {"errorMessage": message},
        }
        with access.calling_as(str(function.role)):
            queue = destination.rsplit(":", 1)[-1]
            boto3.client("sqs").send_message(
                QueueUrl=f"{os.environ['AWS_ENDPOINT_URL']}/{iam_requests.ACCOUNT}/{queue}",
                MessageBody=json.dumps(document),
            )


def _call(function: LambdaFunction, event: Any, home: Path) -> Any:
    for action in ("CreateLogStream", "PutLogEvents"):
        access.require(
            str(function.role),
            iam_requests.log_check(f"/aws/lambda/{function.function_name}", action),
        )
    context = Context(
        function_name=function.function_name,
        invoked_function_arn=function.function_arn,
        aws_request_id=str(uuid.uuid4()),
    )
    with (
        log_groups.of_function(function.function_name, context.aws_request_id),
        access.calling_as(str(function.role)),
        environments.with_variables(function.environment_vars),
    ):
        return _load(function, home)(event, context)


def _load(function: LambdaFunction, home: Path) -> Callable[[Any, Any], Any]:
    key = f"{function.function_name}:{function.code_sha_256}"
    with _loading:
        if key not in _handlers:
            _handlers[key] = _import_handler(function, home)
        return _handlers[key]


def _import_handler(function: LambdaFunction, home: Path) -> Callable[[Any, Any], Any]:
    # Each function imports its own copy of the modules, as each is a process in AWS: a client with
    # the role of one function must not be used by another.
    folder = home / "packages" / function.code_digest
    if not folder.exists():
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
            package.extractall(folder)
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] in _SHIPPED]:
        del sys.modules[name]
    module, _, attribute = str(function.handler).rpartition(".")
    try:
        handler: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), attribute)
    except SystemExit as error:
        # In AWS the process of the function ends, and the invocation fails with this error.
        raise RuntimeError(f"Runtime.ExitError: {error}") from error
    return handler
