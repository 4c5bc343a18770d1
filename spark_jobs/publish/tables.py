"""Publish KPIs to DynamoDB: a date's items together, and never an older ledger over a newer.

One transaction per order_date writes its OrderKPIs item and all its CategoryKPIs items and
deletes what the date no longer has. Each write is conditional on ``ledger_version``, and each
transaction on the fence (:mod:`.fence`), so a late run of an older ledger version
changes nothing. BatchWriteItem would be half the price but knows no conditions (docs/decisions).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import tenacity
from botocore.exceptions import ClientError

from contract.kpi_columns import (
    CATEGORIES,
    CATEGORY_KPIS,
    COMPUTED_AT,
    LEDGER_VERSION,
    ORDER_KPIS,
    RUN_ID,
    STAMP,
)

from ..errors import PublishError, SettingsError
from .batch_get import MAX_KEYS, Item, chunks, get_items, serialised
from .limits import refusal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ConditionCheckTypeDef, TransactWriteItemTypeDef

# TransactWriteItems takes 100 actions, the fence among them; a date with more categories takes
# several transactions, the first of which holds its OrderKPIs item.
MAX_ACTIONS: Final = 100

_NOT_NEWER: Final = "attribute_not_exists(ledger_version) OR ledger_version <= :version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The names of the DynamoDB tables."""

    category_kpis: str
    order_kpis: str
    runs: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Raise SettingsError when a table's name is not set."""
        for name in ("CATEGORY_KPIS_TABLE", "ORDER_KPIS_TABLE", "RUNS_TABLE"):
            if not environ.get(name):
                raise SettingsError(
                    f"{name} is not set: the task definition names the table to write"
                )
        return cls(
            category_kpis=environ["CATEGORY_KPIS_TABLE"],
            order_kpis=environ["ORDER_KPIS_TABLE"],
            runs=environ["RUNS_TABLE"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What every item of one run carries; ``ledger_version`` only ever grows."""

    run_id: str
    ledger_version: int
    computed_at: datetime

    def attributes(self) -> dict[str, Any]:
        return {
            RUN_ID.name: self.run_id,
            LEDGER_VERSION.name: self.ledger_version,
            COMPUTED_AT.name: self.computed_at.astimezone(UTC).isoformat(timespec="seconds"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The items of one order_date: one of OrderKPIs, and one of CategoryKPIs per category.

    The OrderKPIs item lists its categories, so that the next version of the date knows which
    items to delete without scanning a table. It is None for a date that has no orders.
    """

    order_date: str
    order_item: Item | None
    category_items: Sequence[Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How many items were written and deleted, and the dates that have newer items.

    ``refused`` has the reason of each date that DynamoDB does not take: its items are as before.
    """

    items: int
    deleted: int
    superseded: Sequence[str]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What publishing would change of an item: ``before`` or ``after`` is None where there is none.

    Both hold the attributes that differ, without run, version and time, which always do.
    """

    table: str
    key: Mapping[str, str]
    before: Item | None
    after: Item | None


def to_days(category: pa.Table, daily: pa.Table, dates: Iterable[date], stamp: Stamp) -> list[Day]:
    """Turn both KPI tables (kpis.CATEGORY_KPIS, kpis.ORDER_KPIS) into items of these dates."""
    rows = sorted(category.to_pylist(), key=lambda row: (row["order_date"], row["category"]))
    by_date = {day: list(items) for day, items in groupby(rows, key=lambda row: row["order_date"])}
    totals = {row["order_date"]: _item(row, stamp) for row in daily.to_pylist()}
    days = []
    for day in sorted(dates):
        categories = by_date.get(day, [])
        order_item = totals.get(day)
        if order_item and categories:  # DynamoDB has no empty set
            order_item[CATEGORIES] = {item["category"] for item in categories}
        days.append(
            Day(
                order_date=day.isoformat(),
                order_item=order_item,
                category_items=[_item(item, stamp) for item in categories],
            )
        )
    return days


def publish(
    days: Sequence[Day],
    dynamodb: "DynamoDBClient",
    tables: Tables,
    stamp: Stamp,
    fence: "ConditionCheckTypeDef",
) -> Published:
    """Write every day of which no newer version is there, then read all of it back.

    Each transaction checks ``fence``. A day whose check fails, or that has a newer item, is not
    written. A day that DynamoDB refuses stops no other.

    Raises:
        PublishError: DynamoDB does not hold afterwards what was written.
    """
    deleted = items = 0
    superseded = []
    refused: dict[str, str] = {}
    before = _order_items(dynamodb, tables, [day.order_date for day in days])
    for day in days:
        if reason := _refusal(day, tables):
            refused[day.order_date] = reason
            continue
        put, delete = _actions(day, before.get(day.order_date), tables, stamp)
        if not put and not delete:
            continue
        try:
            is_written = _write([*put, *delete], fence, dynamodb)
        except ClientError as error:
            if not _is_refused(error):
                raise
            refused[day.order_date] = str(error)
            continue
        if is_written:
            items += len(put)
            deleted += len(delete)
        else:
            superseded.append(day.order_date)
    left_out = {*superseded, *refused}
    _verify([day for day in days if day.order_date not in left_out], dynamodb, tables, stamp)
    return Published(items=items, deleted=deleted, superseded=superseded, refused=refused)


def _refusal(day: Day, tables: Tables) -> str | None:
    """Return why DynamoDB would refuse an item of a date, the first that it would; else None."""
    items = [(tables.category_kpis, item) for item in day.category_items]
    if day.order_item is not None:
        items.insert(0, (tables.order_kpis, day.order_item))
    return next(filter(None, (refusal(table, item) for table, item in items)), None)


def _is_refused(error: ClientError) -> bool:
    """Return whether the items are at fault, so that trying again does not help."""
    code = error.response.get("Error", {}).get("Code")
    return code == "ValidationException" or "ValidationError" in _cancellations(error)


def differences(
    days: Sequence[Day], dynamodb: "DynamoDBClient", tables: Tables
) -> Iterator[Difference]:
    """Yield, item by item, what publishing these days would change; nothing is written."""
    before = _order_items(dynamodb, tables, [day.order_date for day in days])
    for day in days:
        there = before.get(day.order_date)
        names = sorted(_categories(there) | _categories(day.order_item))
        keys = [{"category": name, "order_date": day.order_date} for name in names]
        found = {
            item["category"]: CATEGORY_KPIS.values(item)
            for item in get_items(dynamodb, [(tables.category_kpis, key) for key in keys])
        }
        wanted = {item["category"]: item for item in day.category_items}
        yield from _difference(
            tables.order_kpis,
            {"order_date": day.order_date},
            there and {**there, **ORDER_KPIS.values(there)},
            day.order_item,
        )
        for key in keys:
            name = key["category"]
            yield from _difference(tables.category_kpis, key, found.get(name), wanted.get(name))


def stored(dates: Sequence[str], dynamodb: "DynamoDBClient", tables: Tables) -> Iterator[Day]:
    """Yield what the tables hold of these dates, in their order."""
    for some in chunks(dates, MAX_KEYS):
        orders = _order_items(dynamodb, tables, some)
        keys = [
            (tables.category_kpis, {"category": name, "order_date": day})
            for day in some
            for name in sorted(_categories(orders.get(day)))
        ]
        by_date: dict[str, list[Item]] = {day: [] for day in some}
        for item in get_items(dynamodb, keys):
            by_date[item["order_date"]].append(item)
        for day in some:
            yield Day(order_date=day, order_item=orders.get(day), category_items=by_date[day])


_OF_THE_RUN: Final = frozenset(column.name for column in STAMP)


def _difference(
    table: str, key: Mapping[str, str], before: Item | None, after: Item | None
) -> Iterator[Difference]:
    names = {*(before or {}), *(after or {})} - _OF_THE_RUN - set(key)
    differing = {n for n in names if (before or {}).get(n) != (after or {}).get(n)}
    if differing:
        yield Difference(
            table=table,
            key=key,
            before=before and {n: before[n] for n in sorted(differing) if n in before},
            after=after and {n: after[n] for n in sorted(differing) if n in after},
        )


def _item(row: Mapping[str, Any], stamp: Stamp) -> dict[str, Any]:
    plain = {k: v.isoformat() if isinstance(v, date) else v for k, v in row.items()}
    return plain | stamp.attributes()


def _categories(item: Item | None) -> set[str]:
    return set() if item is None else set(item.get(CATEGORIES, ()))


def _actions(
    day: Day, before: Item | None, tables: Tables, stamp: Stamp
) -> tuple[list["TransactWriteItemTypeDef"], list["TransactWriteItemTypeDef"]]:
    """Return what to put and what to delete for one date, that of OrderKPIs first."""
    condition: Any = {
        "ConditionExpression": _NOT_NEWER,
        "ExpressionAttributeValues": serialised({":version": stamp.ledger_version}),
    }
    written = [(tables.category_kpis, item) for item in day.category_items]
    gone = [
        (tables.category_kpis, {"category": category, "order_date": day.order_date})
        for category in sorted(_categories(before) - _categories(day.order_item))
    ]
    if day.order_item is not None:
        written.insert(0, (tables.order_kpis, day.order_item))
    elif before is not None:
        gone.insert(0, (tables.order_kpis, {"order_date": day.order_date}))
    puts: list[Any] = [
        {"Put": {"TableName": table, "Item": serialised(item), **condition}}
        for table, item in written
    ]
    deletes: list[Any] = [
        {"Delete": {"TableName": table, "Key": serialised(key), **condition}} for table, key in gone
    ]
    return puts, deletes


def _write(
    actions: Sequence["TransactWriteItemTypeDef"],
    fence: "ConditionCheckTypeDef",
    dynamodb: "DynamoDBClient",
) -> bool:
    """Write one date; return False if the tables have a newer version of it."""
    try:
        for chunk in chunks(actions, MAX_ACTIONS - 1):
            _transact(dynamodb, [{"ConditionCheck": fence}, *chunk])
    except ClientError as error:
        if "ConditionalCheckFailed" in _cancellations(error):
            return False
        raise
    return True


def _cancellations(error: BaseException) -> set[str]:
    """Return why a transaction's actions were rejected; empty for any other error."""
    if not isinstance(error, ClientError):
        return set()
    reasons: list[dict[str, str]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    return {reason.get("Code", "None") for reason in reasons} - {"None"}


def _is_temporary(error: BaseException) -> bool:
    # botocore retries throttled calls, but no transaction that conflicts with another.
    return bool(
        _cancellations(error)
        & {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
    )


@tenacity.retry(
    retry=tenacity.retry_if_exception(_is_temporary),
    wait=tenacity.wait_random_exponential(multiplier=0.1, max=10),
    stop=tenacity.stop_after_attempt(10),
    reraise=True,
)
def _transact(dynamodb: "DynamoDBClient", actions: Sequence["TransactWriteItemTypeDef"]) -> None:
    dynamodb.transact_write_items(TransactItems=actions)


def _verify(days: Sequence[Day], dynamodb: "DynamoDBClient", tables: Tables, stamp: Stamp) -> None:
    keys = [
        (tables.order_kpis, {"order_date": day.order_date}) for day in days if day.order_item
    ] + [
        (tables.category_kpis, {"category": item["category"], "order_date": day.order_date})
        for day in days
        for item in day.category_items
    ]
    found = list(get_items(dynamodb, keys))
    older = sum(int(item["ledger_version"]) < stamp.ledger_version for item in found)
    if len(found) != len(keys) or older:
        raise PublishError(
            f"{tables.order_kpis} and {tables.category_kpis}: {len(keys)} items were written, "
            f"{len(found)} exist, {older} of them in an older version; run the transform again"
        )


def _order_items(
    dynamodb: "DynamoDBClient", tables: Tables, dates: Sequence[str]
) -> dict[str, Item]:
    keys = [(tables.order_kpis, {"order_date": day}) for day in dates]
    return {item["order_date"]: item for item in get_items(dynamodb, keys)}
