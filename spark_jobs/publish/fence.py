"""Which version of which ledger DynamoDB shows: one item of PipelineRuns, the fence of all writers.

A run raises ``publishing`` to its version before it writes the first KPI, and every transaction
checks that no other run has raised it further. So a run that was thought dead and continues after
a newer one changes nothing: not even a date whose items the newer run has deleted, where a
condition on the item itself would have nothing to compare with.

``published`` follows once every date has been written and read back. The next run publishes the
dates that the ledger changed after that version, however this run ends.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from contract.keys import FIRST_LEDGER

from ..errors import SupersededError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef

_KEY: Final = {"run_id": {"S": "ledger"}}
_CURRENT: Final = "ledger = :ledger AND publishing <= :version"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The ledger's prefix in the bucket, the version being published, and the last published."""

    ledger: str = FIRST_LEDGER
    publishing: int = 0
    published: int = 0


class Fence:
    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def read(self) -> State:
        found = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item = found.get("Item")
        if item is None:
            return State()
        return State(
            ledger=item["ledger"]["S"],
            publishing=int(item["publishing"]["N"]),
            published=int(item["published"]["N"]),
        )

    def acquire(self, ledger: str, version: int, *, is_new_ledger: bool = False) -> None:
        """Stop all writers of an older version from writing.

        A new ledger replaces the one before it; no version of it is published yet.

        Raises:
            SupersededError: a newer version is being published, or another ledger is in use.
        """
        published = ":none" if is_new_ledger else "if_not_exists(published, :none)"
        allowed = f"attribute_not_exists(run_id) OR ({_CURRENT})"
        if is_new_ledger:
            allowed += " OR publishing < :version"
        self._update(
            f"SET ledger = :ledger, publishing = :version, published = {published}",
            allowed,
            ledger,
            version,
            none=0,
        )

    def condition(self, ledger: str, version: int) -> "ConditionCheckTypeDef":
        """Return the check that makes a transaction fail where :meth:`acquire` would fail."""
        return {
            "TableName": self._table,
            "Key": _KEY,
            "ConditionExpression": _CURRENT,
            "ExpressionAttributeValues": {
                ":ledger": {"S": ledger},
                ":version": {"N": str(version)},
            },
        }

    def mark_published(self, ledger: str, version: int) -> None:
        """Record that DynamoDB holds every date of this version.

        Raises:
            SupersededError: a newer version is being published.
        """
        self._update("SET published = :version", _CURRENT, ledger, version)

    def _update(self, update: str, allowed: str, ledger: str, version: int, **more: int) -> None:
        numbers = {"version": version, **more}
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=update,
                ConditionExpression=allowed,
                ExpressionAttributeValues={
                    ":ledger": {"S": ledger},
                    **{f":{name}": {"N": str(value)} for name, value in numbers.items()},
                },
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
                raise SupersededError(
                    f"ledger version {version}: a newer version is published or will be"
                ) from error
            raise
