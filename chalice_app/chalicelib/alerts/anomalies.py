"""Finds days with unusual figures. A day is compared with its weekday of the eight weeks before.

A figure is unusual when its distance from the median of those days is more than the largest of
three limits: six times the median distance of those days, a change too small to matter, and the
random variation of so few orders. docs/alerts.md explains the limits. All functions are pure.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import Any, Final, Self

from contract.kpi_columns import RETURN_RATE, TOTAL_ORDERS, TOTAL_REVENUE

from ..settings import HISTORY_WEEKS, Check

_WEEK: Final = timedelta(weeks=1)
_CENT: Final = Decimal("0.01")
# Four standard deviations of a normal distribution, which eight days estimate only roughly.
_DISTANCES: Final = 6
# Smaller changes are not reported, even after weeks without variation.
_SHARE: Final = Decimal("0.3")
_POINTS: Final = Decimal(5)
# Random variation of this many standard deviations is not reported.
_CHANCE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The figures of one order date in OrderKPIs; ``return_rate`` is a percentage."""

    orders: Decimal
    revenue: Decimal
    return_rate: Decimal

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """Read an item of the table."""
        return cls(
            orders=Decimal(item[TOTAL_ORDERS.name]),
            revenue=Decimal(item[TOTAL_REVENUE.name]),
            return_rate=Decimal(item[RETURN_RATE.name]),
        )

    @property
    def avg_order_value(self) -> Decimal:
        return (self.revenue / self.orders).quantize(_CENT, ROUND_HALF_UP)


Days = Mapping[date, Day]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """``sentence`` has the figure and those that it is compared with."""

    day: date
    check: Check
    sentence: str


def last_complete_day(now: datetime, complete_hour: int) -> date:
    """Return the last date (UTC) whose orders are due by now."""
    return (now - timedelta(hours=complete_hour)).date() - timedelta(days=1)


def compared(day: date) -> list[date]:
    """Return the same weekday of the weeks before, the latest first."""
    return [day - _WEEK * back for back in range(1, HISTORY_WEEKS + 1)]


def unusual(dates: Iterable[date], days: Days, *, min_history: int) -> list[Anomaly]:
    """Return the anomalies of dates; ``days`` has them and the days that they are compared with.

    A date without orders has none, and is missing from the history of others.
    """
    return [
        anomaly
        for day in sorted(dates)
        if day in days
        for anomaly in _anomalies(day, days, min_history)
    ]


def missing(day: date, days: Days, *, by: datetime, min_history: int) -> list[Anomaly]:
    """Return an anomaly if a day has no orders ``by`` a time (UTC) and is expected to have some.

    It is expected when each of the last weeks had some, so a shop that has closed is reported for
    one week.
    """
    history = []
    for before in compared(day):
        if before not in days:
            break
        history.append(days[before].orders)
    if day in days or len(history) < min_history:
        return []
    had = f"each of the last {len(history)} {day:%A}s" if len(history) > 1 else f"the last {day:%A}"
    usual = f"{had} had some, median {_plain(median(history))}"
    sentence = f"No orders of {day} ({day:%A}) have arrived by {by:%H:%M} UTC; {usual}."
    return [Anomaly(day=day, check="freshness", sentence=sentence)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """``tolerated`` is a distance from the median that is not reported, given median and day."""

    check: Check
    figure: Callable[[Day], Decimal]
    tolerated: Callable[[Decimal, Day], Decimal]
    phrase: Callable[[str], str]
    shown: Callable[[Decimal], str]
    lower: bool
    higher: bool


def _plain(figure: Decimal) -> str:
    return f"{figure.normalize():,f}"


def _by_chance(usual: Decimal, day: Day) -> Decimal:
    """Return the standard deviation, in points, of the return rate of so many orders.

    The usual rate counts as at least one order, so that a single return is never reported.
    """
    rate = min(max(usual, 100 / day.orders), Decimal(50))
    return (rate * (100 - rate) / day.orders).sqrt()


_RULES: Final = (
    _Rule(
        check="volume",
        figure=lambda day: day.orders,
        # The standard deviation of a count is its root.
        tolerated=lambda usual, _: max(_SHARE * usual, _CHANCE * usual.sqrt()),
        phrase=lambda figure: f"{figure} {'order' if figure == '1' else 'orders'}",
        shown=_plain,
        lower=True,
        higher=False,
    ),
    _Rule(
        check="return_rate",
        figure=lambda day: day.return_rate,
        tolerated=lambda usual, day: max(_POINTS, _CHANCE * _by_chance(usual, day)),
        phrase=lambda figure: f"{figure} of the orders were returned",
        shown=lambda rate: f"{rate:.2f} %",
        lower=False,
        higher=True,
    ),
    _Rule(
        check="avg_order_value",
        figure=lambda day: day.avg_order_value,
        # The standard deviation of an order's value is assumed to be its mean, as it is in shops.
        tolerated=lambda usual, day: usual * max(_SHARE, _CHANCE / day.orders.sqrt()),
        phrase=lambda figure: f"an order's average value was {figure}",
        shown=lambda value: f"{value:,.2f}",
        lower=True,
        higher=True,
    ),
)


def _anomalies(day: date, days: Days, min_history: int) -> Iterator[Anomaly]:
    history = [days[before] for before in compared(day) if before in days]
    if len(history) < min_history:
        return
    for rule in _RULES:
        figure, figures = rule.figure(days[day]), [rule.figure(before) for before in history]
        usual = median(figures)
        distance = median(abs(one - usual) for one in figures)
        limit = max(_DISTANCES * distance, rule.tolerated(usual, days[day]))
        if (rule.lower and figure < usual - limit) or (rule.higher and figure > usual + limit):
            phrase = rule.phrase(rule.shown(figure))
            sentence = f"{day} ({day:%A}): {phrase}; {_compared(day, figures, rule.shown)}."
            yield Anomaly(day=day, check=rule.check, sentence=sentence)


def _compared(day: date, figures: Sequence[Decimal], shown: Callable[[Decimal], str]) -> str:
    """Return the range of the weeks before: ``the last 8 Sundays had 180 to 240, median 200``."""
    some = "" if len(figures) == HISTORY_WEEKS else f"{len(figures)} of "
    low, high = min(figures), max(figures)
    had = f"{shown(low)} to {shown(high)}, median {shown(median(figures))}"
    return f"{some}the last {HISTORY_WEEKS} {day:%A}s had {shown(low) if low == high else had}"


# The run that reported an anomaly, by date and check.
Reported = Mapping[str, Mapping[str, str]]
# A run checks at most so many dates; older reports are dropped.
MAX_DATES: Final = 400


def unreported(
    anomalies: Iterable[Anomaly], reported: Reported, reporter: str, *, silenced: Collection[str]
) -> list[Anomaly]:
    """Return those that no other reporter has reported.

    What ``reporter`` itself has reported is in the list: its message may not have been sent.
    """
    return [
        anomaly
        for anomaly in anomalies
        if anomaly.check not in silenced
        and reported.get(str(anomaly.day), {}).get(anomaly.check, reporter) == reporter
    ]


def with_reported(
    reported: Reported, anomalies: Iterable[Anomaly], reporter: str
) -> dict[str, dict[str, str]]:
    """Return ``reported`` with the anomalies that ``reporter`` reports."""
    known = {day: dict(checks) for day, checks in reported.items()}
    for anomaly in anomalies:
        known.setdefault(str(anomaly.day), {})[anomaly.check] = reporter
    return {day: known[day] for day in sorted(known)[-MAX_DATES:]}
