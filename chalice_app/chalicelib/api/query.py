"""The parameters of a request: dates, a limit, the token of the next page.

A value that cannot be used raises a Problem that shows a correct one.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from ..aws.kpi_tables import MAX_DAYS, Period
from .problems import BAD_PARAMETER, BAD_PERIOD, BAD_TOKEN, Problem

DEFAULT_DAYS: Final = 30
MAX_LIMIT: Final = 366
DEFAULT_LIMIT: Final = 100
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# No time and no name of an execution is longer.
_MAX_KEY_PART: Final = 80
_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list: at most ``limit`` items, from ``at`` on."""

    limit: int
    at: Any = None


def only(query: Query, known: Collection[str]) -> None:
    """Raise a Problem for an unknown parameter: a misspelt one would have no effect."""
    for name, values in query.items():
        if name not in known:
            takes = f"there are {', '.join(known)}" if known else "there are none here"
            raise Problem(BAD_PARAMETER, f"{name} is not a parameter: {takes}")
        if len(values) > 1:
            raise Problem(BAD_PARAMETER, f"{name} is given {len(values)} times: give it once")


def period(query: Query, today: date) -> Period:
    """Return the dates of a request: by default to today, and from 30 days before the end."""
    end = _date(query, "to") or today
    default_start = date.fromordinal(max(1, end.toordinal() - DEFAULT_DAYS + 1))
    found = Period(start=_date(query, "from") or default_start, end=end)
    if found.days < 1:
        raise Problem(
            BAD_PERIOD,
            f"from {found.start} is later than to {found.end}: swap them, "
            f"from={found.end}&to={found.start}",
        )
    if found.days > MAX_DAYS:
        raise Problem(
            BAD_PERIOD,
            f"from {found.start} to {found.end} are {found.days:,} days and "
            f"{MAX_DAYS:,} is the most: request several shorter periods",
        )
    return found


def first(query: Query, name: str) -> str | None:
    values = query.get(name)
    return values[0] if values else None


def limit(query: Query) -> int:
    text = first(query, "limit")
    if text is None:
        return DEFAULT_LIMIT
    # Four digits: int() of a million of them takes seconds.
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Problem(
            BAD_PARAMETER,
            f"limit is {text[:40]!r}: give a whole number from 1 to {MAX_LIMIT}",
        )
    return int(text)


def to_token(of: str, at: str | Sequence[str]) -> str:
    """``of`` is the list that the token is for, ``at`` where its next page begins."""
    document = json.dumps([of, at], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def position(query: Query, of: str) -> Any:
    """Return where the requested page begins, None for the first page."""
    token = first(query, "next")
    if token is None:
        return None
    try:
        document = json.loads(base64.b64decode(f"{token}===", altchars=b"-_"))
    except (binascii.Error, ValueError, RecursionError):
        document = None
    match document:
        case [str(whose), at] if whose == of:
            return at
        case [str(), _]:
            raise Problem(
                BAD_TOKEN,
                "next belongs to another list: use it with the path, from and to of the "
                "response that has it",
            )
        case _:
            raise _no_token()


def date_position(query: Query, of: str, period: Period) -> date:
    """Return the first date of the requested page."""
    at = position(query, of)
    if at is None:
        return period.start
    try:
        found = date.fromisoformat(at)
    except (TypeError, ValueError) as error:
        raise _no_token() from error
    if not period.start <= found <= period.end:
        raise _no_token()
    return found


def name_position(query: Query, of: str) -> str:
    """Return the first name of the requested page."""
    at = position(query, of)
    if at is None:
        return ""
    if not isinstance(at, str):
        raise _no_token()
    return at


def run_position(query: Query, of: str) -> tuple[str, str, str] | None:
    """Return month, start and id of the run before the requested page."""
    match position(query, of):
        case None:
            return None
        case [str(month), str(started_at), str(run_id)] if (
            _MONTH.fullmatch(month)
            and 0 < len(started_at) <= _MAX_KEY_PART
            and 0 < len(run_id) <= _MAX_KEY_PART
        ):
            return month, started_at, run_id
        case _:
            raise _no_token()


def reference(query: Query, period: Period | None, token: str) -> str:
    """Return the address of the next page, relative to this one.

    It has the dates even if the request had none: their defaults change with the day.
    """
    dates = {} if period is None else {"from": str(period.start), "to": str(period.end)}
    given = {name: values[0] for name, values in query.items() if name == "limit"}
    return f"?{urlencode({**dates, **given, 'next': token})}"


def _no_token() -> Problem:
    return Problem(
        BAD_TOKEN,
        "next is not a token: copy it from the response before, or leave it out for the first page",
    )


def _date(query: Query, name: str) -> date | None:
    text = first(query, name)
    if text is None:
        return None
    try:
        # The pattern: date.fromisoformat also takes 20250301 and 2025-W09-6.
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise Problem(
            BAD_PERIOD,
            f"{name} is {text[:40]!r}: give a date of the calendar, such as {name}=2025-03-01",
        ) from error
