"""One deployed pipeline, as its functions see it: what they work with, connected once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

from .aws.documents import Documents
from .aws.executions import Executions
from .aws.landing_folder import Incoming
from .aws.processed_folder import Processed
from .aws.run_lock import RunLock
from .aws.run_table import RunTable
from .runs.recorder import RunRecorder
from .settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    settings: Settings
    clock: Callable[[], datetime]
    documents: Documents
    incoming: Incoming
    processed: Processed
    executions: Executions
    lock: RunLock
    recorder: RunRecorder

    @classmethod
    def connect(
        cls,
        *,
        s3: "S3Client",
        sfn: "SFNClient",
        dynamodb: "DynamoDBClient",
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> Self:
        documents = Documents(s3, settings.bucket)
        executions = Executions(sfn, settings)
        return cls(
            settings=settings,
            clock=clock,
            documents=documents,
            incoming=Incoming(s3, settings),
            processed=Processed(s3, settings.bucket, documents),
            executions=executions,
            lock=RunLock(s3, executions, settings),
            recorder=RunRecorder(
                table=RunTable(dynamodb, settings.runs_table),
                documents=documents,
                executions=executions,
                settings=settings,
                clock=clock,
            ),
        )
