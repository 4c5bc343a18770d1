"""Least privilege, enforced: every call to the embedded AWS is checked against the caller's role.

Every function, container and state machine calls the embedded AWS with credentials of the role that
infra/template.yaml gives it. iam_requests.py turns each of these requests into permission checks:
an action on a resource, under conditions. If no statement of the role allows one, the response is
AWS's AccessDenied. A request without a role (a person at the command line) is not checked.

``home``/access.jsonl has each different check and its result, once.
"""

import json
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import boto3
from botocore.config import Config
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.sts.models import sts_backends

from .calls import Calls
from .iam import PermissionCheck, allows
from .iam_requests import ACCOUNT, PARTITION, access_key, body_of, permission_checks, service_of

log = logging.getLogger(__name__)

_DENIED: Final = "AccessDeniedException"
# The state machine has its own Retry. A task may run for hours.
_ONE_ATTEMPT: Final = Config(
    parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=86400
)


@dataclass(slots=True)
class _Gate:
    """``sessions`` has the credentials of each role, ``checked`` the checks in the file."""

    file: Path
    sessions: dict[str, dict[str, str]] = field(default_factory=dict)
    checked: set[tuple[str, PermissionCheck, bool]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


_gate = _Gate(Path())


class AccessDeniedError(PermissionError):
    """A role does not have a permission that a request needs."""


def install(home: Path) -> None:
    """Check every request before moto gets it."""
    _gate.file = home / "access.jsonl"
    answer = DomainDispatcherApplication.__call__

    calls = Calls(home / "calls.jsonl")

    def guarded(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        calls.record(environ)
        role = _role_of(access_key(environ))
        if role is None:
            return answer(self, environ, start_response)
        try:
            for check in permission_checks(environ):
                require(role, check)
        except AccessDeniedError as error:
            return _refuse(environ, start_response, str(error))
        reads = environ["REQUEST_METHOD"] in {"GET", "HEAD"} or "HTTP_X_AMZ_COPY_SOURCE" in environ
        if service_of(environ) != "s3" or not reads:
            return answer(self, environ, start_response)
        return _hide_unlisted_keys(self, answer, role, environ, start_response)

    DomainDispatcherApplication.__call__ = guarded  # type: ignore[method-assign]
    boto3.DEFAULT_SESSION = _CallerSession()
    _call_with_machine_role()


class _CallerSession(boto3.Session):
    """Gives each function clients with its role: all functions share this process."""

    def client(self, *args: Any, **kwargs: Any) -> Any:
        role = _caller.get()
        if role is not None and "aws_access_key_id" not in kwargs:
            kwargs |= _as_arguments(credentials(role))
        return super().client(*args, **kwargs)


_caller: ContextVar[str | None] = ContextVar("caller", default=None)


@contextmanager
def calling_as(role_arn: str) -> Iterator[None]:
    """Let clients that are created inside the context have the credentials of a role."""
    token = _caller.set(role_arn)
    try:
        yield
    finally:
        _caller.reset(token)


def _call_with_machine_role() -> None:
    """Let Step Functions call with the machine's role; moto uses one invented key for all calls."""
    original = boto_client.boto_client_for

    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        if state_credentials is None:
            return original(region, service)
        keys: Any = _as_arguments(credentials(state_credentials.role_arn))
        session: Any = boto3.Session(region_name=region, **keys)
        return session.client(service, config=_ONE_ATTEMPT)

    for module in list(sys.modules.values()):
        if getattr(module, "boto_client_for", None) is original:
            module.boto_client_for = boto_client_for  # type: ignore[attr-defined]


def _as_arguments(environment: Mapping[str, str]) -> dict[str, str]:
    """Return credentials as ``boto3.client`` takes them."""
    return {name.lower(): value for name, value in environment.items()}


def credentials(role_arn: str) -> dict[str, str]:
    """Return the role's credentials as environment variables; none when there is no such role."""
    if role_arn not in _gate.sessions:
        if _role(role_arn) is None:
            return {}
        # Not the default session: its clients get their credentials here.
        sts: Any = boto3.Session().client("sts")
        response = sts.assume_role(RoleArn=role_arn, RoleSessionName="component")
        found = response["Credentials"]
        _gate.sessions[role_arn] = {
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
            "AWS_SESSION_TOKEN": found["SessionToken"],
        }
    return _gate.sessions[role_arn]


def _role_of(key: str) -> str | None:
    """Return the role that an access key was issued for."""
    for session in sts_backends[ACCOUNT][PARTITION].assumed_roles:
        if session.access_key_id == key:
            return session.role_arn
    return None


def require(role_arn: str, check: PermissionCheck) -> None:
    """Raise AccessDeniedError unless the role allows it."""
    allowed = allows(_statements(role_arn), check)
    _record(role_arn, check, allowed=allowed)
    if not allowed:
        raise AccessDeniedError(
            f"{role_arn.rsplit('/', 1)[-1]} is not authorized to perform {check.action} on "
            f"{check.resource}"
            + "".join(f" with {key}={value}" for key, value in check.context)
            + ": add it to that role in infra/template.yaml"
        )


def _statements(role_arn: str) -> Iterator[Mapping[str, Any]]:
    role = _role(role_arn)
    if role is None:
        return
    documents = [*role.policies.values(), *(p.document for p in role.managed_policies.values())]
    for document in documents:
        parsed = json.loads(document) if isinstance(document, str) else document
        yield from parsed["Statement"]


def _role(role_arn: str) -> Any:
    roles = iam_backends[ACCOUNT][PARTITION].roles.values()
    return next((role for role in roles if role.arn == role_arn), None)


def _record(role_arn: str, check: PermissionCheck, *, allowed: bool) -> None:
    with _gate.lock:
        if (role_arn, check, allowed) in _gate.checked:
            return
        _gate.checked.add((role_arn, check, allowed))
        line = {
            "role": role_arn.rsplit("/", 1)[-1],
            "action": check.action,
            "resource": check.resource,
            "context": dict(check.context),
            "allowed": allowed,
        }
        with _gate.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    if not allowed:
        log.error("access denied: %s", line)


def _hide_unlisted_keys(
    server: Any,
    answer: Callable[..., Any],
    role: str,
    environ: dict[str, Any],
    start_response: Callable[..., Any],
) -> Any:
    """S3 answers 404 only to callers that may list the bucket, and 403 to others."""
    started: list[Any] = []

    body = list(answer(server, environ, lambda *arguments: started.append(arguments)))
    status, headers, *_ = started[-1]
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    if status.startswith("404") and key:
        try:
            require(role, PermissionCheck.of("s3:ListBucket", f"arn:{PARTITION}:s3:::{bucket}"))
        except AccessDeniedError as error:
            return _refuse(environ, start_response, str(error))
    start_response(status, headers)
    return body


def _refuse(environ: dict[str, Any], start_response: Callable[..., Any], reason: str) -> Any:
    """Send AWS's response in the protocol of the request, with a request id.

    Without the id, moto's Step Functions cannot catch the error.
    """
    body_of(environ)
    request_id = str(uuid.uuid4())
    if "HTTP_X_AMZ_TARGET" in environ or service_of(environ) == "lambda":
        body = json.dumps({"__type": _DENIED, "message": reason})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", _DENIED)]
    else:
        code = "<Code>AccessDenied</Code>"
        error = f"<Error>{code}<Message>{reason}</Message></Error>"
        wrapped = (
            error
            if service_of(environ) == "s3"
            else f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        body, headers = wrapped, [("Content-Type", "text/xml")]
    if environ["REQUEST_METHOD"] == "HEAD":
        body = ""
    headers += [("x-amzn-RequestId", request_id), ("Content-Length", str(len(body.encode())))]
    start_response("403 Forbidden", headers)
    return [body.encode()]
