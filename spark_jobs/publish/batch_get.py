"""Read items of DynamoDB by key, many at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import tenacity
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from ..errors import PublishError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]
T = TypeVar("T")

# BatchGetItem takes 100 keys.
MAX_KEYS: Final = 100
_ATTEMPTS: Final = 10
# DynamoDB leaves keys of a batch unprocessed where botocore would repeat a single request.
_WHILE_THROTTLED: Final = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(PublishError),
    wait=tenacity.wait_random_exponential(multiplier=0.1, max=10),
    stop=tenacity.stop_after_attempt(_ATTEMPTS),
    reraise=True,
)


def get_items(
    dynamodb: "DynamoDBClient", keys: Sequence[tuple[str, Mapping[str, str]]]
) -> Iterator[Item]:
    """Yield the items of (table, key) pairs that exist, read consistently.

    Raises:
        PublishError: a table's reads stay throttled.
    """
    for chunk in chunks(keys, MAX_KEYS):
        requests: dict[str, Any] = {}
        for table, key in chunk:
            request = requests.setdefault(table, {"Keys": [], "ConsistentRead": True})
            request["Keys"].append(serialised(key))
        yield from _get_batch(dynamodb, requests, len(chunk))


def _get_batch(dynamodb: "DynamoDBClient", requests: Mapping[str, Any], count: int) -> list[Item]:
    found: list[Item] = []
    for attempt in _WHILE_THROTTLED:
        with attempt:
            answer = dynamodb.batch_get_item(RequestItems=requests)
            for items in answer["Responses"].values():
                found += map(deserialised, items)
            if requests := answer.get("UnprocessedKeys", {}):
                unread = sum(len(request["Keys"]) for request in requests.values())
                raise PublishError(
                    f"{', '.join(requests)}: {unread} of {count} keys were not read in {_ATTEMPTS}"
                    " attempts because reads are throttled; run the transform again, or raise the"
                    " table's read limit"
                )
    return found


def chunks(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def serialised(item: Item) -> dict[str, Any]:
    serialise = TypeSerializer().serialize
    return {name: serialise(value) for name, value in item.items()}


def deserialised(item: Mapping[str, Any]) -> Item:
    deserialise = TypeDeserializer().deserialize
    return {name: deserialise(value) for name, value in item.items()}
