"""An embedded AWS for the trigger: a bucket and a state machine of its own for each test."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import boto3
import pytest

from chalice_app.chalicelib.aws.landing_folder import LandingFolder
from chalice_app.chalicelib.aws.run_table import RunTable
from chalice_app.chalicelib.settings import Settings
from chalice_app.chalicelib.trigger.run_request import Request
from chalice_app.chalicelib.trigger.start_batch import Trigger
from chalice_app.chalicelib.wiring import Parts
from contract.keys import RunKeys
from contract.manifest import Manifest
from contract.published import PublishedReport
from contract.verdict import FileStatus, Verdict
from localcloud.cloud import LocalCloud
from localcloud.provision import create_runs_table
from tests import documents

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud.start(tmp_path_factory.mktemp("trigger")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def session(cloud: LocalCloud) -> boto3.Session:
    return cloud.session()


@dataclass
class Pipeline:
    """The trigger on a bucket; a run is running until ``finish`` or ``die`` ends it."""

    s3: object
    sfn: object
    dynamodb: object
    sns: object
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    later: timedelta = field(default_factory=timedelta)

    def clock(self) -> datetime:
        return self.now() + self.later

    @property
    def parts(self) -> Parts:
        return Parts(
            s3=self.s3,
            sfn=self.sfn,
            dynamodb=self.dynamodb,
            sns=self.sns,
            settings=self.settings,
            clock=self.clock,
        )

    @property
    def trigger(self) -> Trigger:
        return self.parts.trigger

    def quarantine_rejected(self, run_id: str) -> dict:
        return self.parts.quarantine_rejected(run_id)

    def finish_run(self, run_id: str) -> dict:
        return self.parts.finish_run(run_id)

    def release_lock(self, run_id: str, cause: str | None = None) -> dict:
        return self.parts.release_lock(run_id, cause)

    @property
    def landing(self) -> LandingFolder:
        return self.parts.landing

    @property
    def records(self) -> RunTable:
        return RunTable(self.dynamodb, self.settings.runs_table)

    def begin(self, run_id: str, **given: object) -> dict:
        """Do what the state machine's first state does for an execution of that name."""
        arn = self.settings.execution_arn(run_id)
        if run_id not in self.executions():
            self.sfn.start_execution(
                stateMachineArn=self.settings.state_machine_arn, name=run_id, input="{}"
            )
        started = self.sfn.describe_execution(executionArn=arn)["startDate"]
        request = {"execution": arn, "started_at": started.isoformat(), "input": given}
        return self.parts.claim.claim_or_wait(Request.parse(request))

    def upload(self, *names: str, body: bytes = b"x") -> None:
        for name in names:
            self.s3.put_object(Bucket=self.settings.bucket, Key=f"incoming/{name}", Body=body)

    def upload_batch(self, tag: str = "") -> list[str]:
        names = [f"orders_{tag}{n}.csv" for n in range(5)]
        names += [f"order_items_{tag}{n}.csv" for n in range(5)] + [f"products_{tag}.csv"]
        self.upload(*names, body=tag.encode() or b"x")
        return names

    def stored(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.bucket, Prefix=prefix
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def executions(self, status: str | None = None) -> list[str]:
        """Return the names of the executions, oldest first."""
        found = self.sfn.list_executions(stateMachineArn=self.settings.state_machine_arn)
        return [
            execution["name"]
            for execution in reversed(found["executions"])
            if status in {None, execution["status"]}
        ]

    def manifest(self, run_id: str) -> Manifest:
        manifest = self.parts.documents.manifest(run_id)
        assert manifest is not None
        return manifest

    def lock_owner(self) -> str | None:
        if self.settings.lock_key not in self.stored("incoming/"):
            return None
        body = self.s3.get_object(Bucket=self.settings.bucket, Key=self.settings.lock_key)["Body"]
        return json.loads(body.read())["run_id"]

    def put(self, key: str, document: Verdict | PublishedReport) -> None:
        self.s3.put_object(Bucket=self.settings.bucket, Key=key, Body=document.to_json().encode())

    def write_verdict(
        self, run_id: str, *, reasons: Mapping[str, int] | None = None, **status_of: FileStatus
    ) -> None:
        """Accept the run's files, or give them the status of their name without suffix.

        ``reasons`` are those of the bad rows of its first file.
        """
        files = [
            documents.file_verdict(
                file.name,
                status_of.get(file.name.removesuffix(".csv"), "accepted"),
                key=file.key,
                reasons=reasons if number == 0 else None,
            )
            for number, file in enumerate(self.manifest(run_id).files)
        ]
        self.put(RunKeys(run_id).verdict, documents.verdict(*files, run_id=run_id))

    def write_published(self, run_id: str, *dates: date) -> None:
        report = documents.published(dates, run_id=run_id)
        self.put(RunKeys(run_id).published, report)

    def die(self, run_id: str) -> None:
        self.sfn.stop_execution(executionArn=self.settings.execution_arn(run_id))

    def finish(self, run_id: str) -> None:
        """End a run well: its inputs go to processed/, the lock is given back."""
        self.write_verdict(run_id)
        self.finish_run(run_id)
        self.die(run_id)


def new_pipeline(session: boto3.Session, **settings: object) -> Pipeline:
    number = next(_numbers)
    s3, sfn = session.client("s3"), session.client("stepfunctions")
    dynamodb = session.client("dynamodb")
    bucket = f"trigger-{number}"
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": session.region_name}
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    machine = sfn.create_state_machine(
        name=f"Machine{number}",
        roleArn="arn:aws:iam::123456789012:role/local",
        definition=json.dumps(
            {"StartAt": "Run", "States": {"Run": {"Type": "Wait", "Seconds": 3600, "End": True}}}
        ),
    )["stateMachineArn"]
    create_runs_table(dynamodb, f"PipelineRuns{number}")
    return Pipeline(
        s3,
        sfn,
        dynamodb,
        session.client("sns"),
        Settings(
            bucket=bucket,
            state_machine_arn=machine,
            runs_table=f"PipelineRuns{number}",
            **settings,
        ),
    )


@pytest.fixture
def pipeline(session: boto3.Session) -> Pipeline:
    return new_pipeline(session)


@pytest.fixture
def pipeline_with(session: boto3.Session) -> Callable[..., Pipeline]:
    return lambda **settings: new_pipeline(session, **settings)
