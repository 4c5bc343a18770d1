"""The runs that wait for the lock, in one item of the table PipelineRuns.

The item holds a set of texts, each a run's start and its id, so that their order is the order
of the runs. A run adds its text and removes it; both can be repeated. The set only decides who
is next: the lock alone decides who runs.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from botocore.exceptions import ClientError

from .client_errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# An execution's name has no "#".
_KEY: Final = {"run_id": {"S": "#waiting"}}
# They are 5 KB of an item, and wait about four hours at five minutes each.
MAX_WAITING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class WaitingRun:
    started_at: datetime
    run_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        started_at, _, run_id = text.partition(" ")
        return cls(started_at=datetime.fromisoformat(started_at), run_id=run_id)

    def __str__(self) -> str:
        return f"{self.started_at.astimezone(UTC).isoformat(timespec='milliseconds')} {self.run_id}"


class WaitingRuns:
    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def list(self) -> list[WaitingRun]:
        """Return the runs that wait, the one that started first at the head."""
        item = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        waiting = item.get("Item", {}).get("waiting", {}).get("SS", [])
        return sorted(WaitingRun.parse(text) for text in waiting)

    def join(self, run: WaitingRun) -> bool:
        """Add a run, or leave it in its place; False if ``MAX_WAITING`` others wait already."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="ADD waiting :run",
                ConditionExpression="attribute_not_exists(waiting) OR size(waiting) < :most "
                "OR contains(waiting, :text)",
                ExpressionAttributeValues={
                    ":run": {"SS": [str(run)]},
                    ":text": {"S": str(run)},
                    ":most": {"N": str(MAX_WAITING)},
                },
            )
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def leave(self, run: WaitingRun) -> None:
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_KEY,
            UpdateExpression="DELETE waiting :run",
            ExpressionAttributeValues={":run": {"SS": [str(run)]}},
        )
