"""The one place that connects the trigger's parts with AWS and with the environment."""

import functools
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config

from contract.keys import dataset_of

from .alerts.messages import Notice
from .alerts.notifier import Notifier
from .aws.causes import readable
from .aws.kpi_tables import KpiQueries
from .aws.run_table import End
from .deployment import Deployment
from .settings import Settings
from .trigger import finish_run as finishing
from .trigger.claim_files import Claim
from .trigger.run_request import Request
from .trigger.start_batch import Busy, Decision, Start, Trigger, Wait

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient


def on_uploads(event: Mapping[str, Any]) -> dict[str, Any]:
    """Check once for any number of S3 records; keys in them are URL-encoded."""
    records = event.get("Records", [])
    return _check(unquote_plus(record["s3"]["object"]["key"]) for record in records)


def on_object_created(event: Mapping[str, Any]) -> dict[str, Any]:
    """Check for an EventBridge event; keys in those are not encoded."""
    return _check([event["detail"]["object"]["key"]])


def on_schedule() -> dict[str, Any]:
    return _answer(Trigger(_deployment()).tick())


def on_execution_ended(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the run could not do itself: release the lock, end its record, send its message."""
    run_id, status = _run_id(detail["executionArn"]), detail["status"]
    deployment = _deployment()
    decision = Trigger(deployment).execution_ended(run_id, status)
    _notifier(deployment).send_unsent(run_id, status)
    return _answer(decision)


def check_yesterday() -> dict[str, Any]:
    return _sent(_notifier(_deployment()).notify_last_day())


def claim_files(event: Mapping[str, Any]) -> dict[str, Any]:
    return Claim(_deployment()).recount(Request.parse(event))


def quarantine_rejected(event: Mapping[str, Any]) -> dict[str, Any]:
    return finishing.quarantine_rejected(_deployment(), str(event["run_id"]))


def finish_run(event: Mapping[str, Any]) -> dict[str, Any]:
    """Finish a run; one with a ``failure`` only releases its lock."""
    run_id, cause = _run_id(event["execution"]), _cause(event)
    if cause is None:
        return finishing.finish_run(_deployment(), run_id)
    return finishing.release_lock(_deployment(), run_id, cause)


def notify_run_end(event: Mapping[str, Any]) -> dict[str, Any]:
    """Send the message about a run, which has failed if there is a ``failure``."""
    run_id, cause = _run_id(event["execution"]), _cause(event)
    state: End = "SUCCEEDED" if cause is None else "FAILED"
    return _sent(_notifier(_deployment()).notify_run_end(run_id, state, cause))


def _run_id(execution_arn: str) -> str:
    return str(execution_arn).rsplit(":", 1)[-1]


def _cause(event: Mapping[str, Any]) -> str | None:
    """Return the cause of what a Catch of the machine has caught, None if nothing was caught."""
    failure = event.get("failure")
    return None if failure is None else readable(f"{failure['Error']}: {failure.get('Cause', '')}")


def _check(keys: Iterable[str]) -> dict[str, Any]:
    if not any(dataset_of(key) for key in keys):
        return {"decision": "ignored"}
    return _answer(Trigger(_deployment()).check())


def _answer(decision: Decision | None) -> dict[str, Any]:
    match decision:
        case None:
            return {"decision": "none"}
        case Start():
            return {"decision": "start", "run_id": decision.run_id, "files": len(decision.files)}
        case Busy():
            return {"decision": "busy"}
        case Wait():
            return {"decision": "wait", "reason": decision.reason}


def _sent(notice: Notice | None) -> dict[str, Any]:
    """Return the subject of the message that was sent; None is no message."""
    return {"sent": None if notice is None else notice.subject}


def _notifier(deployment: Deployment) -> Notifier:
    settings = deployment.settings
    kpis = KpiQueries(
        _dynamodb(),
        category_kpis=settings.category_kpis_table,
        order_kpis=settings.order_kpis_table,
    )
    return Notifier(deployment, kpis, _sns())


def _deployment() -> Deployment:
    return Deployment.connect(
        s3=_s3(),
        sfn=_sfn(),
        dynamodb=_dynamodb(),
        settings=Settings.from_env(os.environ),
        clock=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)


# One connection per place where moves run at the same time.
_CONFIG = Config(max_pool_connections=20, retries={"mode": "standard", "max_attempts": 5})


@functools.cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=_CONFIG)


@functools.cache
def _sfn() -> "SFNClient":
    return boto3.client("stepfunctions", config=_CONFIG)


@functools.cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", config=_CONFIG)


@functools.cache
def _sns() -> "SNSClient":
    return boto3.client("sns", config=_CONFIG)
