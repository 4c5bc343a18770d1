"""The record of each run: one item in the table PipelineRuns, for people and for the REST API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from contract.manifest import Manifest

from ..aws.executions import error_code
from ..settings import Settings
from . import costs
from .timeline import Timeline

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

End = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
State = Literal["RUNNING"] | End

BY_MONTH: Final = "by_month"
# An attribute of an item whose run's end Step Functions itself has told.
_FINAL: Final = "final"
# An item may hold 400 KB. ECS puts a whole task description into a cause; a recompute may be
# asked for any dates; a batch may be 500 bad files.
_MAX_CAUSE: Final = 2000
_MAX_DATES: Final = 1500
_MAX_REJECTED_FILES: Final = 20
# How far back ``latest`` looks: a shop that delivers nothing for a year has no latest runs.
_MONTHS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that is known of a run: each part is None until its stage has written it.

    ``verdict`` is the validator's verdict.json, ``published`` the transformer's published.json.
    """

    run_id: str
    state: State
    started_at: datetime
    ended_at: datetime | None = None
    cause: str | None = None
    manifest: Manifest | None = None
    verdict: Mapping[str, Any] | None = None
    published: Mapping[str, Any] | None = None
    timeline: Timeline | None = None


class RunRecord(TypedDict, total=False):
    """A run as the table holds it. What is not known is left out, a service's cost is None.

    Times are ISO 8601 in UTC, durations seconds, money US dollars. ``month`` (YYYY-MM) and
    ``started_at`` are the index's keys. Lists hold the first few of what their counts count.
    """

    run_id: str
    month: str
    state: State
    started_at: str
    ended_at: str
    cause: str
    replay: str
    task: str
    start: str
    end: str
    forced: bool
    files: int
    bytes: int
    rows: dict[str, int]
    rejected_files: list[dict[str, Any]]
    rejected_file_count: int
    engine: str
    dates: list[str]
    date_count: int
    ledger: str
    ledger_version: int
    previous_version: int
    items_written: int
    items_deleted: int
    seconds_by_state: dict[str, Decimal]
    seconds_by_stage: dict[str, Decimal]
    transitions: int
    cost_by_service: dict[str, Decimal | None]
    estimated_cost: Decimal


def record(run: Run, settings: Settings) -> RunRecord:
    """Return the item of a run."""
    verdict, published = run.verdict or {}, run.published or {}
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "month": f"{run.started_at.astimezone(UTC):%Y-%m}",
        "state": run.state,
        "started_at": _iso(run.started_at),
        "ended_at": _iso(run.ended_at),
        "cause": None if run.cause is None else run.cause[:_MAX_CAUSE],
        "replay": replay_command(run.run_id, settings),
        **_claimed(run.manifest),
        **_judged(verdict),
        "engine": published.get("engine"),
        "dates": published["dates"][:_MAX_DATES] if "dates" in published else None,
        "date_count": len(published["dates"]) if "dates" in published else None,
        "ledger": published.get("ledger"),
        "ledger_version": published.get("ledger_version"),
        "previous_version": published.get("previous_version"),
        "items_written": published.get("items"),
        "items_deleted": published.get("deleted"),
        "seconds_by_stage": _seconds(published.get("seconds")),
        **_spent(run, settings),
    }
    item: RunRecord = {name: value for name, value in known.items() if value is not None}  # type: ignore[assignment]
    return item


def replay_command(run_id: str, settings: Settings) -> str:
    """Return what replays a run, for whoever has the AWS CLI only."""
    document = json.dumps({"replay_of": run_id, "forced": True}, separators=(",", ":"))
    return (
        "aws stepfunctions start-execution"
        f" --state-machine-arn {settings.state_machine_arn} --input '{document}'"
    )


def _claimed(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {}
    return {
        "task": manifest.task,
        "start": None if manifest.start is None else manifest.start.isoformat(),
        "end": None if manifest.end is None else manifest.end.isoformat(),
        "forced": manifest.forced,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
    }


def _judged(verdict: Mapping[str, Any]) -> dict[str, Any]:
    if not verdict:
        return {}
    totals = verdict["totals"]
    rejected = [file for file in verdict["files"] if file["status"] == "rejected"]
    return {
        "rows": {
            kind: totals[f"{kind}_rows"]
            for kind in ("accepted", "quarantined", "held")
            if f"{kind}_rows" in totals
        },
        "rejected_files": [
            {"name": file["name"], "reason": file["reason"]}
            for file in rejected[:_MAX_REJECTED_FILES]
        ],
        "rejected_file_count": len(rejected),
    }


def _spent(run: Run, settings: Settings) -> dict[str, Any]:
    if run.timeline is None:
        return {}
    published = run.published or {}
    cost = costs.estimate(
        run.timeline,
        files=0 if run.manifest is None else len(run.manifest.files),
        kpi_writes=published.get("items", 0) + published.get("deleted", 0),
        sizes=settings.sizes,
        prices=settings.prices,
    )
    known = [dollars for dollars in cost.values() if dollars is not None]
    return {
        "seconds_by_state": _seconds(run.timeline.seconds),
        "transitions": run.timeline.transitions,
        "cost_by_service": cost,
        # A sum without one of its parts would pass for a cheap run.
        "estimated_cost": sum(known, Decimal(0)) if len(known) == len(cost) else None,
    }


def _seconds(by_name: Mapping[str, float] | None) -> dict[str, Decimal] | None:
    if by_name is None:
        return None
    return {name: Decimal(str(round(seconds, 3))) for name, seconds in by_name.items()}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


class RunRecords:
    """The table. Reads go by key or by month through its index; nothing scans."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def write(self, item: RunRecord, *, final: bool) -> bool:
        """Write a run's record; say whether that is news.

        ``final``: Step Functions itself says how the run has ended, which nothing contradicts. It
        is news once, however often it is said and by how many at a time. Else a record of a run
        that has ended stays as it is.
        """
        serialise = TypeSerializer().serialize
        values = {name: serialise(value) for name, value in item.items()}
        if final:
            before = self._dynamodb.put_item(
                TableName=self._table,
                Item={**values, _FINAL: {"BOOL": True}},
                ReturnValues="ALL_OLD",
            )
            return _FINAL not in before.get("Attributes", {})
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=values,
                ConditionExpression="attribute_not_exists(run_id) OR #state = :running",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":running": {"S": "RUNNING"}},
            )
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def get(self, run_id: str) -> RunRecord | None:
        answer = self._dynamodb.get_item(TableName=self._table, Key={"run_id": {"S": run_id}})
        # The transformer keeps its place in the ledger in this table too; that is no run.
        if "month" not in answer.get("Item", {}):
            return None
        return _parsed(answer["Item"])

    def latest(
        self, limit: int, *, now: datetime, after: tuple[str, str, str] | None = None
    ) -> list[RunRecord]:
        """Return the newest runs of the last twelve months, newest first.

        ``after`` continues a list: month, started_at and run_id of its last run.
        """
        return list(islice(self._newest_first(limit, now, after), limit))

    def _newest_first(
        self, limit: int, now: datetime, after: tuple[str, str, str] | None
    ) -> Iterator[RunRecord]:
        pages = self._dynamodb.get_paginator("query")
        for month in _months_back(now):
            start: dict[str, Any] = {}
            if after is not None:
                if month > after[0]:
                    continue
                if month == after[0]:
                    names = ("month", "started_at", "run_id")
                    key = {name: {"S": value} for name, value in zip(names, after, strict=True)}
                    start = {"ExclusiveStartKey": key}
            for page in pages.paginate(
                TableName=self._table,
                IndexName=BY_MONTH,
                KeyConditionExpression="#month = :month",
                ExpressionAttributeNames={"#month": "month"},
                ExpressionAttributeValues={":month": {"S": month}},
                ScanIndexForward=False,
                PaginationConfig={"PageSize": limit},
                **start,
            ):
                yield from map(_parsed, page["Items"])


def _parsed(item: Mapping[str, Any]) -> RunRecord:
    deserialise = TypeDeserializer().deserialize
    parsed: RunRecord = {  # type: ignore[assignment]
        name: deserialise(value) for name, value in item.items() if name != _FINAL
    }
    return parsed


def _months_back(now: datetime) -> Iterator[str]:
    year, month = now.astimezone(UTC).year, now.astimezone(UTC).month
    for back in range(_MONTHS):
        months = year * 12 + month - 1 - back
        yield f"{months // 12}-{months % 12 + 1:02}"
