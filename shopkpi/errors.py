"""What can go wrong between a person and the pipeline, each with its exit code.

OperatorError
├── UsageError        2  what was typed cannot be meant
├── NotFoundError     3  no such run, category or date
├── AccessError       4  AWS cannot be reached, or refuses
├── NotDeployedError  5  nothing is deployed where one looked
└── RefusedError      6  it could be done, and must not be

``explained`` turns what boto3 raises into one of them. A message is one line: subject, fact and
the next step.
"""

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class Exit(IntEnum):
    """Exit codes, as ``shopkpi --help`` and docs/shopkpi.md list them."""

    DONE = 0
    BAD = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_ACCESS = 4
    NOT_DEPLOYED = 5
    REFUSED = 6
    BUG = 70
    INTERRUPTED = 130


EXIT_CODES: Final = {
    Exit.DONE: "done",
    Exit.BAD: "the run that was waited for has failed, or the doctor has found a problem",
    Exit.USAGE: "what was typed cannot be meant",
    Exit.NOT_FOUND: "no such run, category or date",
    Exit.NO_ACCESS: "AWS cannot be reached, or refuses: network, credentials, permission",
    Exit.NOT_DEPLOYED: "nothing is deployed where it was looked for: stage, region, settings",
    Exit.REFUSED: "it must not be done now: somebody else has the lock",
    Exit.BUG: "an error that nobody has foreseen; SHOPKPI_TRACE=1 shows where",
    Exit.INTERRUPTED: "stopped with Ctrl-C; what was started goes on",
}


class OperatorError(Exception):
    """The message is for the person at the terminal."""

    exit_code = Exit.BUG


class UsageError(OperatorError):
    exit_code = Exit.USAGE


class NotFoundError(OperatorError):
    exit_code = Exit.NOT_FOUND


class AccessError(OperatorError):
    exit_code = Exit.NO_ACCESS


class NotDeployedError(OperatorError):
    exit_code = Exit.NOT_DEPLOYED


class RefusedError(OperatorError):
    exit_code = Exit.REFUSED


_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation", "AuthorizationError"}
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_UNKNOWN_KEYS: Final = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
    }
)
_WRONG_TIME: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_THROTTLED: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "SlowDown",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
    }
)
_GONE: Final = frozenset(
    {
        "NoSuchBucket",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    }
)


def explained(error: Exception, *, stage: str, where: str) -> OperatorError | None:
    """Return what boto3's error means to a person, or None for an error of the program itself.

    ``where`` is the endpoint or the region and profile that was talked to.
    """
    from botocore import exceptions as aws

    match error:
        case aws.ClientError():
            return _refused(error, stage=stage, where=where)
        case aws.ProfileNotFound():
            return AccessError(f"{error}: name one of `aws configure list-profiles` with --profile")
        case (
            aws.SSOError()
            | aws.SSOTokenLoadError()
            | aws.TokenRetrievalError()
            | aws.UnauthorizedSSOTokenError()
        ):
            return AccessError(
                f"{where}: the session has expired: run `aws sso login`, with --profile"
            )
        case (
            aws.NoCredentialsError()
            | aws.PartialCredentialsError()
            | aws.CredentialRetrievalError()
        ):
            return AccessError(
                f"{where}: no AWS credentials: log in (`aws sso login`, `aws configure`), choose "
                "--profile, or --local for `make localcloud`"
            )
        case aws.InvalidRegionError() | aws.NoRegionError():
            return UsageError(f"{error}: name a region such as eu-north-1 with --region")
        case aws.ConnectionError() | aws.HTTPClientError():
            return AccessError(
                f"{where}: no answer ({_first_line(error)}): check the network, the proxy and "
                "--region; the embedded AWS answers while `make localcloud` runs"
            )
        case aws.BotoCoreError():
            return AccessError(f"{where}: {_first_line(error)}")
    return None


def _refused(error: "ClientError", *, stage: str, where: str) -> OperatorError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", "")).strip()
    operation = error.operation_name
    if code in _DENIED:
        return AccessError(_denied(operation, said, stage=stage))
    if code in _EXPIRED or ("expired" in said and "token" in said.lower()):
        return AccessError(
            f"{where}: the credentials have expired: log in again (`aws sso login`), or renew "
            "AWS_SESSION_TOKEN"
        )
    if code in _UNKNOWN_KEYS:
        return AccessError(
            f"{where}: AWS does not know these credentials ({code}): check AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or choose --profile"
        )
    if code in _WRONG_TIME:
        return AccessError(
            f"{where}: this machine's clock is wrong ({code}): set it (`timedatectl set-ntp true`)"
        )
    if code in _THROTTLED:
        return AccessError(f"{where}: AWS asks to slow down ({operation}): try again in a minute")
    if code in _GONE:
        return NotDeployedError(
            f"{operation}: {said or code}: the deployment of stage {stage} is not whole; see what "
            "is missing with `shopkpi doctor`"
        )
    return AccessError(f"{where}: {operation} has failed: {code}: {_one_line(said)}")


def _denied(operation: str, said: str, *, stage: str) -> str:
    """Say who may not do what, and which policy to add it to."""
    from .policy import needed_for

    action, sid = needed_for(operation)
    told = re.search(r"perform:? ([a-z0-9-]+:\w+)", said)
    who = re.search(r"(arn:[\w-]+:(?:iam|sts)::[^ ]+)", said)
    on = re.search(r"on (?:the )?resource:? ([^ ]+)", said)
    what = f"{told[1] if told else action}{f' on {on[1]}' if on else ''}"
    if "explicit deny" in said:
        return (
            f"{who[1] if who else 'this identity'} may not {what}: a policy denies it, look for "
            "that in the account's and the organisation's policies"
        )
    statement = f"the statement {sid} of the policy" if sid else "the policy"
    return (
        f"{who[1] if who else 'this identity'} may not {what}: have an administrator attach "
        f"{statement} that `shopkpi policy --stage {stage}` prints"
    )


def _first_line(error: Exception) -> str:
    return _one_line(str(error).split("\n", 1)[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
