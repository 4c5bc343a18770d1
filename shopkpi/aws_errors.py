"""Turns what boto3 and the pipeline's own code raise into the errors of errors.py."""

import re
from typing import TYPE_CHECKING, Final

from .errors import AccessError, DamagedError, NotDeployedError, OperatorError, UsageError
from .policy import needed_for

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

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
    """Return the operator's error for a known one, or None for a bug.

    ``where`` is the endpoint, or the region and profile, that the command called.
    """
    from botocore import exceptions as aws

    from chalice_app.chalicelib.aws.kpi_tables import TableBusyError
    from contract.typed_json import DocumentError

    match error:
        case DocumentError():
            return DamagedError(
                f"{error}: a document in the bucket cannot be read: repeat its run with `shopkpi "
                "replay`, or use the version of shopkpi that was deployed"
            )
        case TableBusyError():
            return _slow_down("BatchGetItem", where)
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
                "--region; start the embedded AWS with `make localcloud`"
            )
        case aws.BotoCoreError():
            return AccessError(f"{where}: {_first_line(error)}")
    return None


def _refused(error: "ClientError", *, stage: str, where: str) -> OperatorError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", "")).strip()
    operation = error.operation_name
    if code in _DENIED:
        return AccessError(_denied(operation, message, stage=stage))
    if code in _EXPIRED or ("expired" in message and "token" in message.lower()):
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
        return _slow_down(operation, where)
    if code in _GONE:
        return NotDeployedError(
            f"{operation}: {message or code}: stage {stage} is not completely deployed; see what "
            "is missing with `shopkpi doctor`"
        )
    return AccessError(f"{where}: {operation} failed: {code}: {_one_line(message)}")


def _slow_down(operation: str, where: str) -> AccessError:
    return AccessError(f"{where}: AWS limits the rate of {operation}: try again in a minute")


def _denied(operation: str, message: str, *, stage: str) -> str:
    """Name the identity, the missing permission, and the policy that grants it."""
    action, sid = needed_for(operation)
    named = re.search(r"perform:? ([a-z0-9-]+:\w+)", message)
    who = re.search(r"(arn:[\w-]+:(?:iam|sts)::[^ ]+)", message)
    on = re.search(r"on (?:the )?resource:? ([^ ]+)", message)
    what = f"{named[1] if named else action}{f' on {on[1]}' if on else ''}"
    if "explicit deny" in message:
        return (
            f"{who[1] if who else 'this identity'} may not {what}: a policy denies it; look for "
            "the deny in the policies of the account and the organisation"
        )
    statement = f"the statement {sid} of the policy" if sid else "the policy"
    return (
        f"{who[1] if who else 'this identity'} may not {what}: ask an administrator to attach "
        f"{statement} that `shopkpi policy --stage {stage}` prints"
    )


def _first_line(error: Exception) -> str:
    return _one_line(str(error).split("\n", 1)[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
