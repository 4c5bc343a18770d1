"""Reads the KPI tables: by key only, all pages, and all keys that were left unprocessed."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.types import TypeDeserializer

from contract.kpi_columns import CATEGORIES, CATEGORY, ORDER_DATE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# BatchGetItem takes 100 keys.
_MAX_KEYS: Final = 100
# At most half a second of waiting; botocore itself repeats a request that is refused.
_ATTEMPTS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.03
# A key of a table holds 2,048 bytes.
_MAX_KEY_BYTES: Final = 2048

# Three years, one of them a leap year, and a few days: at most 11 requests of 100 dates each.
MAX_DAYS: Final = 1100

Item = Mapping[str, Any]


class TableBusyError(RuntimeError):
    """DynamoDB left keys unprocessed in every attempt; the same read may succeed in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Order dates from ``start`` to ``end``, both included."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def dates(self) -> Iterator[date]:
        return (self.start + timedelta(days=n) for n in range(self.days))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Items by date, and the date of the next item, if there is one."""

    items: Sequence[Item]
    next: date | None


class KpiQueries:
    """Both KPI tables. Reads are consistent: after the end of a run they show what it published.

    A read raises TableBusyError when DynamoDB leaves keys unprocessed.
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        *,
        category_kpis: str,
        order_kpis: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._dynamodb = dynamodb
        self._category_kpis = category_kpis
        self._order_kpis = order_kpis
        self._sleep = sleep

    def daily(self, period: Period, limit: int) -> Slice:
        """Return the first items of OrderKPIs; dates without orders have none."""
        found: list[Item] = []
        for item in self._days(period.dates()):
            if len(found) == limit:
                return Slice(items=found, next=date.fromisoformat(item[ORDER_DATE.name]))
            found.append(item)
        return Slice(items=found, next=None)

    def of_dates(self, dates: Iterable[date]) -> dict[date, Item]:
        """Return the items of OrderKPIs of some dates; those without orders are not in it."""
        found = self._days(sorted({*dates}))
        return {date.fromisoformat(item[ORDER_DATE.name]): item for item in found}

    def categories(self, period: Period) -> dict[str, list[str]]:
        """Return the dates of each category, by name."""
        dates: dict[str, list[str]] = {}
        for item in self._days(period.dates(), only=(ORDER_DATE.name, CATEGORIES)):
            for name in item.get(CATEGORIES, ()):
                dates.setdefault(name, []).append(item[ORDER_DATE.name])
        return dict(sorted(dates.items()))

    def category(self, name: str, period: Period, limit: int) -> Slice:
        """Return a category's first items of a period."""
        found: list[Item] = []
        for item in self._of_category(
            name,
            f"AND {ORDER_DATE.name} BETWEEN :start AND :end",
            {":start": {"S": str(period.start)}, ":end": {"S": str(period.end)}},
            limit + 1,
        ):
            if len(found) == limit:
                return Slice(items=found, next=date.fromisoformat(item[ORDER_DATE.name]))
            found.append(item)
        return Slice(items=found, next=None)

    def knows(self, category: str) -> bool:
        """Return whether a category has KPIs on any date."""
        return any(True for _ in self._of_category(category, "", {}, 1))

    def _of_category(
        self, name: str, dates: str, values: Mapping[str, Any], limit: int
    ) -> Iterator[Item]:
        if not 0 < len(name.encode(errors="replace")) <= _MAX_KEY_BYTES:
            return
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._category_kpis,
            KeyConditionExpression=f"{CATEGORY.name} = :category {dates}".strip(),
            ExpressionAttributeValues={":category": {"S": name}, **values},
            ConsistentRead=True,
            PaginationConfig={"PageSize": limit},
        )
        for page in pages:
            yield from map(_parsed, page["Items"])

    def _days(self, dates: Iterable[date], only: Sequence[str] = ()) -> Iterator[Item]:
        """Yield the items of OrderKPIs by date, a hundred dates at a time."""
        keys = [{ORDER_DATE.name: {"S": str(day)}} for day in dates]
        request: dict[str, Any] = {"ConsistentRead": True}
        if only:
            request["ProjectionExpression"] = ", ".join(only)
        for start in range(0, len(keys), _MAX_KEYS):
            chunk = {self._order_kpis: {**request, "Keys": keys[start : start + _MAX_KEYS]}}
            yield from sorted(self._get(chunk), key=lambda item: item[ORDER_DATE.name])

    def _get(self, wanted: Mapping[str, Any]) -> Iterator[Item]:
        for attempt in range(_ATTEMPTS):
            answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            for items in answer["Responses"].values():
                yield from map(_parsed, items)
            # More than 16 MB, or a table that is busy.
            wanted = answer.get("UnprocessedKeys", {})
            if not wanted:
                return
            self._sleep(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - no secret
        left = sum(len(request["Keys"]) for request in wanted.values())
        raise TableBusyError(
            f"{', '.join(wanted)}: {left} keys were left unprocessed in each of {_ATTEMPTS} "
            "attempts; read again in a few seconds"
        )


def _parsed(item: Mapping[str, Any]) -> Item:
    deserialise = TypeDeserializer().deserialize
    return {name: deserialise(value) for name, value in item.items()}
