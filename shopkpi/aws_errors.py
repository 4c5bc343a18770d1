"""What boto3 raises, put into the words and exit codes of errors.py."""

import re
from typing import TYPE_CHECKING, Final

from .errors import AccessError, NotDeployedError, OperatorError, UsageError
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
    """Return what an error of AWS means to a person, or None for an error of the program itself.

    ``where`` is the endpoint, or the region and profile, that the command called.
    """
    from botocore import exceptions as aws

    from chalice_app.chalicelib.aws.kpi_tables import TableBusyError

    match error:
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
        return _slow_down(operation, where)
    if code in _GONE:
        return NotDeployedError(
            f"{operation}: {said or code}: the deployment of stage {stage} is not whole; see what "
            "is missing with `shopkpi doctor`"
        )
    return AccessError(f"{where}: {operation} has failed: {code}: {_one_line(said)}")


def _slow_down(operation: str, where: str) -> AccessError:
    return AccessError(f"{where}: AWS asks to slow down ({operation}): try again in a minute")


def _denied(operation: str, said: str, *, stage: str) -> str:
    """Say who may not do what, and which policy to add it to."""
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
