"""The one place that connects the trigger's parts with AWS and with the environment."""

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config

from contract.keys import dataset_of

from .alerts.messages import Notice
from .alerts.notifier import CUT_SHORT, Telling, publish
from .aws.kpi_tables import KpiQueries
from .aws.run_table import End
from .deployment import Deployment
from .settings import Settings
from .trigger.claim_files import Claim
from .trigger.finish_run import Settlement
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
    """Every other run tells of itself; one that was cut short cannot."""
    run_id, status = str(detail["executionArn"]).rsplit(":", 1)[-1], detail["status"]
    deployment = _deployment()
    decision = Trigger(deployment).execution_ended(run_id, status)
    if status in CUT_SHORT:
        _publish(deployment, _telling(deployment).of_run(run_id, status, detail.get("cause")))
    return _answer(decision)


def check_yesterday() -> dict[str, Any]:
    deployment = _deployment()
    notice = _telling(deployment).of_last_day()
    _publish(deployment, notice)
    return _told(notice)


def recount(event: Mapping[str, Any]) -> dict[str, Any]:
    return Claim(_deployment()).recount(Request.parse(event))


def read_verdict(event: Mapping[str, Any]) -> dict[str, Any]:
    return Settlement(_deployment()).judge(str(event["run_id"]))


def finish_run(event: Mapping[str, Any]) -> dict[str, Any]:
    """``failed``: the run has failed, for a ``cause``, and only gives its lock back."""
    run_id = str(event["execution"]).rsplit(":", 1)[-1]
    settlement = Settlement(_deployment())
    return (
        settlement.release(run_id, event["cause"]) if event["failed"] else settlement.finish(run_id)
    )


def describe_run(event: Mapping[str, Any]) -> dict[str, Any]:
    """``failed``: the run has failed, for a ``cause``. The machine sends what this answers."""
    run_id = str(event["execution"]).rsplit(":", 1)[-1]
    state: End = "FAILED" if event["failed"] else "SUCCEEDED"
    return _told(_telling(_deployment()).of_run(run_id, state, event.get("cause")))


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


def _told(notice: Notice | None) -> dict[str, Any]:
    told = {"subject": "", "message": ""} if notice is None else asdict(notice)
    return {"tell": notice is not None, **told}


def _publish(deployment: Deployment, notice: Notice | None) -> None:
    if notice is not None:
        publish(notice, _sns(), deployment.settings.topic_arn)


def _telling(deployment: Deployment) -> Telling:
    settings = deployment.settings
    kpis = KpiQueries(
        _dynamodb(),
        category_kpis=settings.category_kpis_table,
        order_kpis=settings.order_kpis_table,
    )
    return Telling(deployment, kpis)


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
