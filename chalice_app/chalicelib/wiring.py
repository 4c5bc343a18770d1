"""The one place that connects the parts with AWS and with the environment.

The functions translate the event of a Lambda function into a call. ``Parts`` builds what they call.
"""

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from contract.notice import Notice

from .alerts.notifier import Notifier
from .api import serving
from .api.responses import Response
from .api.routes import Api
from .aws.causes import readable
from .aws.check_mark import CheckMark
from .aws.documents import Documents
from .aws.executions import Executions
from .aws.kpi_tables import KpiQueries
from .aws.landing_folder import LandingFolder
from .aws.processed_folder import ProcessedFolder
from .aws.run_lock import RunLock
from .aws.run_table import End, RunTable
from .aws.waiting_runs import WaitingRuns
from .runs.recorder import RunRecorder
from .settings import Settings
from .trigger import finish_run as finishing
from .trigger.claim_files import Claim
from .trigger.gather_uploads import UploadGatherer
from .trigger.isolate_crash import isolate_crash
from .trigger.run_request import Request
from .trigger.start_batch import Busy, Decision, Start, Trigger, Wait
from .trigger.upload_events import Ignored, created_files
from .trigger.waiting_line import WaitingLine

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient

log = logging.getLogger(__name__)

# A connection for each of the files that are moved at the same time.
_CONFIG: Final = Config(max_pool_connections=20, retries={"mode": "standard", "max_attempts": 5})
# API Gateway waits 29 seconds: three attempts and their pauses must be over by then.
_API_CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=50,
)


def on_created(event: object) -> dict[str, Any]:
    """Check once for any number of objects that an event of S3 or EventBridge names."""
    files = created_files(event)
    if isinstance(files, Ignored):
        return _ignored(files.reason)
    decision = _parts().gatherer.uploaded()
    if decision is None:
        return {
            "decision": "deferred",
            "reason": "the check of the upload before sees this file",
        }
    return _fields(decision)


def on_schedule() -> dict[str, Any]:
    return _fields(_parts().gatherer.tick())


def on_execution_ended(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the run could not do itself: release the lock, end its record, send its message."""
    if "executionArn" not in detail:
        return _ignored("the event names no execution: Step Functions sends detail.executionArn")
    run_id, status = _run_id(detail["executionArn"]), detail["status"]
    parts = _parts()
    decision = parts.trigger.execution_ended(run_id, status)
    parts.notifier.send_unsent(run_id, status)
    return _fields(decision)


def check_yesterday() -> dict[str, Any]:
    return _sent(_parts().notifier.notify_last_day())


def claim_files(event: Mapping[str, Any]) -> dict[str, Any]:
    return _parts().claim.claim_or_wait(Request.parse(event))


def quarantine_rejected(event: Mapping[str, Any]) -> dict[str, Any]:
    """Quarantine what the verdict rejects or, after a ``failure``, the file that crashes."""
    run_id, cause = str(event["run_id"]), _cause(event)
    parts = _parts()
    if cause is None:
        return parts.quarantine_rejected(run_id)
    return parts.isolate_crash(run_id, cause)


def finish_run(event: Mapping[str, Any]) -> dict[str, Any]:
    """Finish a run; one with a ``failure`` only releases its lock."""
    run_id, cause = _run_id(event["execution"]), _cause(event)
    parts = _parts()
    return parts.finish_run(run_id) if cause is None else parts.release_lock(run_id, cause)


def notify_run_end(event: Mapping[str, Any]) -> dict[str, Any]:
    """Send the message about a run, which has failed if there is a ``failure``."""
    run_id, cause = _run_id(event["execution"]), _cause(event)
    state: End = "SUCCEEDED" if cause is None else "FAILED"
    return _sent(_parts().notifier.notify_run_end(run_id, state, cause))


def respond(operation: Callable[..., Response], request: Any, *path: str) -> Response:
    """Return the REST API's response to Chalice's request."""
    return serving.respond(operation, _api, request, *path)


def _run_id(execution_arn: str) -> str:
    return str(execution_arn).rsplit(":", 1)[-1]


def _cause(event: Mapping[str, Any]) -> str | None:
    """Return the cause of what a Catch of the machine has caught, None if nothing was caught."""
    failure = event.get("failure")
    return None if failure is None else readable(f"{failure['Error']}: {failure.get('Cause', '')}")


def _ignored(reason: str) -> dict[str, Any]:
    log.info("event ignored", extra={"reason": reason})
    return {"decision": "ignored", "reason": reason}


def _fields(decision: Decision | None) -> dict[str, Any]:
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


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Builds each part of the pipeline from clients of AWS, settings and a clock (UTC)."""

    s3: "S3Client"
    sfn: "SFNClient"
    dynamodb: "DynamoDBClient"
    sns: "SNSClient"
    settings: Settings
    clock: Callable[[], datetime]

    @property
    def documents(self) -> Documents:
        return Documents(self.s3, self.settings.bucket)

    @property
    def landing(self) -> LandingFolder:
        return LandingFolder(self.s3, self.settings)

    @property
    def executions(self) -> Executions:
        return Executions(self.sfn, self.settings)

    @property
    def lock(self) -> RunLock:
        return RunLock(self.s3, self.executions, self.settings)

    @property
    def kpis(self) -> KpiQueries:
        return KpiQueries(
            self.dynamodb,
            category_kpis=self.settings.category_kpis_table,
            order_kpis=self.settings.order_kpis_table,
        )

    @property
    def runs(self) -> RunTable:
        return RunTable(self.dynamodb, self.settings.runs_table)

    @property
    def recorder(self) -> RunRecorder:
        return RunRecorder(
            table=self.runs,
            documents=self.documents,
            executions=self.executions,
            settings=self.settings,
            clock=self.clock,
        )

    @property
    def line(self) -> WaitingLine:
        return WaitingLine(
            runs=WaitingRuns(self.dynamodb, self.settings.runs_table),
            lock=self.lock,
            executions=self.executions,
            settings=self.settings,
            clock=self.clock,
        )

    @property
    def trigger(self) -> Trigger:
        return Trigger(
            landing=self.landing,
            lock=self.lock,
            line=self.line,
            documents=self.documents,
            executions=self.executions,
            recorder=self.recorder,
            settings=self.settings,
            clock=self.clock,
        )

    @property
    def gatherer(self) -> UploadGatherer:
        return UploadGatherer(
            mark=CheckMark(self.s3, self.settings.bucket),
            trigger=self.trigger,
            settings=self.settings,
            pause=time.sleep,
        )

    @property
    def claim(self) -> Claim:
        return Claim(
            landing=self.landing,
            processed=ProcessedFolder(self.s3, self.settings.bucket, self.documents),
            lock=self.lock,
            line=self.line,
            runs=self.runs,
            documents=self.documents,
            recorder=self.recorder,
            settings=self.settings,
            clock=self.clock,
        )

    @property
    def notifier(self) -> Notifier:
        return Notifier(
            documents=self.documents,
            executions=self.executions,
            kpis=self.kpis,
            sns=self.sns,
            settings=self.settings,
            clock=self.clock,
        )

    def quarantine_rejected(self, run_id: str) -> dict[str, Any]:
        return finishing.quarantine_rejected(run_id, documents=self.documents, landing=self.landing)

    def isolate_crash(self, run_id: str, cause: str) -> dict[str, Any]:
        return isolate_crash(
            run_id, cause, documents=self.documents, landing=self.landing, now=self.clock()
        )

    def finish_run(self, run_id: str) -> dict[str, Any]:
        return finishing.finish_run(
            run_id,
            documents=self.documents,
            landing=self.landing,
            lock=self.lock,
            recorder=self.recorder,
            now=self.clock(),
        )

    def release_lock(self, run_id: str, cause: str | None = None) -> dict[str, Any]:
        return finishing.release_lock(run_id, cause, lock=self.lock, recorder=self.recorder)


def _parts() -> Parts:
    return Parts(
        s3=_s3(),
        sfn=_sfn(),
        dynamodb=_dynamodb(),
        sns=_sns(),
        settings=Settings.from_env(os.environ),
        clock=_now,
    )


@functools.cache
def _api() -> Api:
    settings = Settings.from_env(os.environ)
    dynamodb = boto3.client("dynamodb", config=_API_CONFIG)
    return Api(
        kpis=KpiQueries(
            dynamodb,
            category_kpis=settings.category_kpis_table,
            order_kpis=settings.order_kpis_table,
        ),
        runs=RunTable(dynamodb, settings.runs_table),
        executions=Executions(boto3.client("stepfunctions", config=_API_CONFIG), settings),
        clock=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)


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
