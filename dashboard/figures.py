"""The figures of the dashboard: whole numbers only, money in cents, by date and category.

Kept by columns, because that is what compresses well: a date's value of every column stands at
the date's place in ``dates``. A category that a date does not have has an order_count of 0 there.
"""

import gzip
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Protocol, Self

from contract.verdict import Verdict

FORMAT: Final = 1
# Three years and the week before them: 200 categories are 1.5 MB then.
KEPT_DAYS: Final = 3 * 366 + 7
KEPT_RUNS: Final = 60
# Of one run; how many there were is counted in full.
_KEPT_REJECTED_FILES: Final = 20

DAILY: Final = (
    "total_revenue",
    "net_revenue",
    "total_orders",
    "returned_orders",
    "total_items_sold",
    "unique_customers",
)
CATEGORY: Final = ("daily_revenue", "avg_order_value", "order_count", "returned_orders")
MONEY: Final = frozenset({"total_revenue", "net_revenue", "daily_revenue", "avg_order_value"})
_ORDER_COUNT: Final = CATEGORY.index("order_count")


class FiguresError(ValueError):
    """The kept figures cannot be read; they are computed from the tables instead."""


class PublishedDay(Protocol):
    """The items of one order date. ``order_item`` is None for a date without orders."""

    @property
    def order_date(self) -> str: ...
    @property
    def order_item(self) -> Mapping[str, Any] | None: ...
    @property
    def category_items(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One date: values as DAILY, and by category as CATEGORY."""

    daily: tuple[int, ...]
    categories: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, day: PublishedDay) -> Self | None:
        """Return None for a date without orders."""
        if day.order_item is None:
            return None
        return cls(
            daily=_whole_numbers(day.order_item, DAILY),
            categories={
                item["category"]: _whole_numbers(item, CATEGORY) for item in day.category_items
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """The result of a run's delivery; ``rows`` is None for a run without one."""

    run_id: str
    task: str
    at: str
    outcome: str
    files: int = 0
    rejected_files: int = 0
    rejected: Sequence[Mapping[str, str | None]] = ()
    rows: Mapping[str, int] | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    quarantined_rows: str | None = None
    dates: int | None = None

    @classmethod
    def of(cls, verdict: Verdict, *, task: str, dates: int | None) -> Self:
        """Read them from a verdict. ``dates`` is how many dates the run published, if any."""
        reasons: dict[str, int] = {}
        for file in verdict.files:
            for reason, count in file.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        totals = verdict.totals
        return cls(
            run_id=verdict.run_id,
            task=task,
            at=verdict.created_at.isoformat(),
            outcome=verdict.outcome,
            files=totals.files,
            rejected_files=totals.rejected_files,
            rejected=[
                {"name": file.name, "reason": file.reason, "detail": file.detail}
                for file in verdict.rejected[:_KEPT_REJECTED_FILES]
            ],
            rows={
                "accepted": totals.accepted_rows,
                "quarantined": totals.quarantined_rows,
                "held": totals.held_rows,
            },
            reasons=dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
            quarantined_rows=verdict.quarantined_rows,
            dates=dates,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that the page shows, as of one ledger version.

    ``days`` by ISO date, ``runs`` oldest first; ``run_id`` and ``computed_at`` are those of the
    run that was the last to publish.
    """

    ledger: str
    ledger_version: int
    run_id: str
    computed_at: str
    days: Mapping[str, DayFigures] = field(default_factory=dict)
    runs: tuple[RunFigures, ...] = ()

    def with_days(self, days: Mapping[str, DayFigures | None]) -> Self:
        """Replace these dates; None removes one. The oldest beyond KEPT_DAYS fall out."""
        merged = sorted({**self.days, **days}.items())
        known = [(day, figures) for day, figures in merged if figures is not None]
        return replace(self, days=dict(known[-KEPT_DAYS:]))

    def with_runs(self, runs: Iterable[RunFigures]) -> Self:
        """Add runs; one that is there already is replaced. The oldest beyond KEPT_RUNS fall out."""
        by_id = {run.run_id: run for run in (*self.runs, *runs)}
        latest = sorted(by_id.values(), key=lambda run: (run.at, run.run_id))
        return replace(self, runs=tuple(latest[-KEPT_RUNS:]))

    def document(self, categories: Collection[str] | None = None) -> dict[str, Any]:
        """Return what is kept, as JSON holds it; with ``categories``, of these only."""
        names = sorted(self.categories if categories is None else categories)
        days = self.days.values()
        absent = (0,) * len(CATEGORY)
        by_category = [[day.categories.get(name, absent) for day in days] for name in names]
        return {
            "format": FORMAT,
            "ledger": self.ledger,
            "ledger_version": self.ledger_version,
            "run_id": self.run_id,
            "computed_at": self.computed_at,
            "dates": list(self.days),
            "daily": {name: [day.daily[n] for day in days] for n, name in enumerate(DAILY)},
            "categories": names,
            "category": {
                name: [[values[n] for values in days] for days in by_category]
                for n, name in enumerate(CATEGORY)
            },
            "runs": [asdict(run) for run in self.runs],
        }

    @property
    def categories(self) -> frozenset[str]:
        return frozenset(name for day in self.days.values() for name in day.categories)

    def to_bytes(self) -> bytes:
        return packed(self.document())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Raise FiguresError when these are no figures, or of another format."""
        try:
            document = json.loads(gzip.decompress(content))
            if document["format"] != FORMAT:
                raise FiguresError(f"format {document['format']}, where {FORMAT} is known")
            return cls(
                ledger=document["ledger"],
                ledger_version=document["ledger_version"],
                run_id=document["run_id"],
                computed_at=document["computed_at"],
                days=_days(document),
                runs=tuple(RunFigures(**run) for run in document["runs"]),
            )
        except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise FiguresError(f"not the figures of a dashboard: {error}") from error


def packed(document: Mapping[str, Any]) -> bytes:
    """Return gzipped JSON; the same document gives the same bytes."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


def _days(document: Mapping[str, Any]) -> dict[str, DayFigures]:
    daily = zip(*(document["daily"][name] for name in DAILY), strict=True)
    categories: list[dict[str, tuple[int, ...]]] = [{} for _ in document["dates"]]
    columns = (document["category"][name] for name in CATEGORY)
    for name, *of_category in zip(document["categories"], *columns, strict=True):
        for there, values in zip(categories, zip(*of_category, strict=True), strict=True):
            if values[_ORDER_COUNT]:
                there[name] = values
    return {
        day: DayFigures(values, there)
        for day, values, there in zip(document["dates"], daily, categories, strict=True)
    }


def _whole_numbers(item: Mapping[str, Any], names: Sequence[str]) -> tuple[int, ...]:
    return tuple(_cents(item[name]) if name in MONEY else int(item[name]) for name in names)


def _cents(amount: Decimal) -> int:
    cents = amount.scaleb(2)
    if cents != cents.to_integral_value():
        raise FiguresError(f"{amount}: money of the tables has two places")
    return int(cents)
