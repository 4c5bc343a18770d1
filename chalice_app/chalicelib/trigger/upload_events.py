"""What the events say that may start a check: which objects have been created, if any."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from contract.keys import dataset_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing to check, and why."""

    reason: str


def created_files(event: object) -> tuple[str, ...] | Ignored:
    """Return the keys of the datasets' files that S3 or EventBridge says have been created.

    >>> created_files({"Records": [{"s3": {"object": {"key": "incoming/orders+1.csv"}}}]})
    ('incoming/orders 1.csv',)
    """
    keys = _created_keys(event)
    if isinstance(keys, Ignored):
        return keys
    files = tuple(key for key in keys if dataset_of(key))
    return files or Ignored(
        reason=f"{keys[0]} is no file of a delivery: their names begin with orders, order_items "
        "or products and end in .csv or .csv.gz"
    )


def is_s3_event(document: object) -> bool:
    """Say whether this is an event of S3 or EventBridge, or records of a queue that wrap some."""
    if isinstance(document, Mapping):
        return bool({"Records", "Event", "detail-type"} & document.keys())
    return isinstance(document, list) and all(isinstance(record, Mapping) for record in document)


def _created_keys(event: object) -> tuple[str, ...] | Ignored:
    match event:
        case {"Event": "s3:TestEvent"}:
            return Ignored(reason="a test event of S3: no object has been created")
        case {"Records": [{"body": _} | {"Sns": _}, *_]} | [{"body": _}, *_]:
            return Ignored(
                reason="the event is wrapped by SQS or SNS: let S3 or EventBridge call "
                "the function itself"
            )
        case {"Records": [_, *_] as records}:
            try:
                # S3 encodes keys in its notifications, EventBridge does not.
                return tuple(unquote_plus(record["s3"]["object"]["key"]) for record in records)
            except (KeyError, TypeError):
                return Ignored(reason="a record of the event has no s3.object.key")
        case {"detail-type": str(kind)} if kind != "Object Created":
            return Ignored(reason=f"the event is {kind}, not Object Created")
        case {"detail": {"object": {"key": str(key)}}}:
            return (key,)
        case _:
            return Ignored(
                reason="the event names no object: S3 sends Records, EventBridge detail.object.key"
            )
