"""Days whose figures are unusual, judged by the same weekday of the eight weeks before.

A figure is unusual when it lies further from the median of those days than the largest of three
distances: six times the days' own median distance from it, a change that nobody would look at, and
what chance alone does to so few orders. docs/alerts.md says it in words.
Nothing here reads, writes or asks for the time.
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
# Of a bell curve these are four standard deviations; eight days tell them but roughly.
_DISTANCES: Final = 6
# What moves less is no news, however calm the weeks before were.
_SHARE: Final = Decimal("0.3")
_POINTS: Final = Decimal(5)
# Standard deviations that chance may take.
_CHANCE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What OrderKPIs holds of one order date; ``return_rate`` is a percentage."""

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
    """``sentence`` says what is unusual, compared with what."""

    day: date
    check: Check
    sentence: str


def last_complete_day(now: datetime, complete_hour: int) -> date:
    """Return the last date (UTC) whose orders ought to have arrived by now."""
    return (now - timedelta(hours=complete_hour)).date() - timedelta(days=1)


def compared(day: date) -> list[date]:
    """Return the same weekday of the weeks before, the latest first."""
    return [day - _WEEK * back for back in range(1, HISTORY_WEEKS + 1)]


def unusual(dates: Iterable[date], days: Days, *, min_history: int) -> list[Anomaly]:
    """Judge dates by ``days``, which hold them and those that they are compared with.

    A date without orders is not judged, and as history it counts as missing.
    """
    return [
        anomaly
        for day in sorted(dates)
        if day in days
        for anomaly in _judged(day, days, min_history)
    ]


def missing(day: date, days: Days, *, by: datetime, min_history: int) -> list[Anomaly]:
    """Judge whether a day without orders is later than usual; ``by`` is when that was looked at.

    Usual is what the last weeks had without a gap, so a shop that has closed is told of for a week.
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
    """``tolerated`` is the least distance from the median, given that and the day, that matters."""

    check: Check
    figure: Callable[[Day], Decimal]
    tolerated: Callable[[Decimal, Day], Decimal]
    told: Callable[[str], str]
    shown: Callable[[Decimal], str]
    lower: bool
    higher: bool


def _plain(figure: Decimal) -> str:
    return f"{figure.normalize():,f}"


def _by_chance(usual: Decimal, day: Day) -> Decimal:
    """Return the standard deviation, in points, of the rate at which so many orders come back.

    Not less than one of them is taken for usual, so that a single return is never news.
    """
    rate = min(max(usual, 100 / day.orders), Decimal(50))
    return (rate * (100 - rate) / day.orders).sqrt()


_RULES: Final = (
    _Rule(
        check="volume",
        figure=lambda day: day.orders,
        # A number of orders varies by its root.
        tolerated=lambda usual, _: max(_SHARE * usual, _CHANCE * usual.sqrt()),
        told=lambda figure: f"{figure} {'order' if figure == '1' else 'orders'}",
        shown=_plain,
        lower=True,
        higher=False,
    ),
    _Rule(
        check="return_rate",
        figure=lambda day: day.return_rate,
        tolerated=lambda usual, day: max(_POINTS, _CHANCE * _by_chance(usual, day)),
        told=lambda figure: f"{figure} of the orders were returned",
        shown=lambda rate: f"{rate:.2f} %",
        lower=False,
        higher=True,
    ),
    _Rule(
        check="avg_order_value",
        figure=lambda day: day.avg_order_value,
        # The values of orders are taken to vary by as much as their average, as they do in shops.
        tolerated=lambda usual, day: usual * max(_SHARE, _CHANCE / day.orders.sqrt()),
        told=lambda figure: f"an order's average value was {figure}",
        shown=lambda value: f"{value:,.2f}",
        lower=True,
        higher=True,
    ),
)


def _judged(day: date, days: Days, min_history: int) -> Iterator[Anomaly]:
    history = [days[before] for before in compared(day) if before in days]
    if len(history) < min_history:
        return
    for rule in _RULES:
        figure, figures = rule.figure(days[day]), [rule.figure(before) for before in history]
        usual = median(figures)
        distance = median(abs(one - usual) for one in figures)
        limit = max(_DISTANCES * distance, rule.tolerated(usual, days[day]))
        if (rule.lower and figure < usual - limit) or (rule.higher and figure > usual + limit):
            told = rule.told(rule.shown(figure))
            sentence = f"{day} ({day:%A}): {told}; {_compared(day, figures, rule.shown)}."
            yield Anomaly(day=day, check=rule.check, sentence=sentence)


def _compared(day: date, figures: Sequence[Decimal], shown: Callable[[Decimal], str]) -> str:
    """Return what the weeks before had: ``the last 8 Sundays had 180 to 240, median 200``."""
    some = "" if len(figures) == HISTORY_WEEKS else f"{len(figures)} of "
    low, high = min(figures), max(figures)
    had = f"{shown(low)} to {shown(high)}, median {shown(median(figures))}"
    return f"{some}the last {HISTORY_WEEKS} {day:%A}s had {shown(low) if low == high else had}"


# The run that reported an anomaly, by date and check.
Reported = Mapping[str, Mapping[str, str]]
# As many dates as are judged of one run; older ones are dropped.
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
