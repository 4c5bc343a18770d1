"""The table PipelineRuns: one item for each run, for people and for the REST API."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from .client_errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

End = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
State = Literal["RUNNING"] | End

BY_MONTH: Final = "by_month"
# An attribute of the item of a run whose end Step Functions has reported.
_FINAL: Final = "final"
# How many months ``latest`` reads: a shop without a run in a year has no latest runs.
_MONTHS: Final = 12


class RunRecord(TypedDict, total=False):
    """A run as the table holds it. Unknown values are left out; an unknown cost is None.

    Times are ISO 8601 in UTC, durations seconds, money US dollars. ``month`` (YYYY-MM) and
    ``started_at`` are the keys of the index. A list may be shorter than its count says.
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
    unpublished_dates: list[str]
    seconds_by_state: dict[str, Decimal]
    seconds_by_stage: dict[str, Decimal]
    transitions: int
    cost_by_service: dict[str, Decimal | None]
    estimated_cost: Decimal


class RunTable:
    """Reads go by key, or by month through the index; nothing scans."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def write(self, item: RunRecord, *, final: bool) -> bool:
        """Write a run's record; return whether this write changed what is known of the run.

        ``final``: the end is what Step Functions reports, and replaces any other. Of any number of
        final writes, concurrent ones included, the first returns True. A write that is not final
        leaves the record of an ended run unchanged, and returns False.
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
        # The transformer keeps its position in the ledger in this table, too: not a run.
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
