"""The figures of the dashboard: whole numbers only, money in cents, by date and category.

They are kept by column, which compresses well: the n-th value of each column belongs to the n-th
date of ``dates``. The order_count of a category is 0 on a date without it.
"""

import gzip
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Protocol, Self

from contract.kpi_columns import (
    CATEGORY_KPIS,
    MONEY,
    NET_REVENUE,
    ORDER_COUNT,
    ORDER_KPIS,
    KpiColumn,
    KpiTable,
    Quotient,
)
from contract.published import PublishedReport
from contract.row_counts import RowCounts
from contract.verdict import Verdict

FORMAT: Final = 1
# Three years and the week before them: 200 categories are 1.5 MB then.
KEPT_DAYS: Final = 3 * 366 + 7
KEPT_RUNS: Final = 60
# Of one run; all of them are counted.
_KEPT_REJECTED_FILES: Final = 20

Value = int | None


@dataclass(frozen=True)
class View:
    """What the page shows of a KPI table, money first.

    ``charts`` are columns with a chart and a tile, ``tiles`` have a tile only. ``numbers`` are in
    the tables of the page only: what the quotients are made of.
    """

    charts: tuple[KpiColumn, ...]
    tiles: tuple[KpiColumn, ...]
    numbers: tuple[KpiColumn, ...]

    @classmethod
    def of(
        cls,
        table: KpiTable,
        *,
        charts: tuple[KpiColumn, ...] = (),
        tiles: tuple[KpiColumn, ...] = (),
    ) -> Self:
        """Show the KPIs of a table, and these details of it."""
        charts = _money_first((*table.kpis, *charts))
        quotients = [c.over_dates for c in charts if isinstance(c.over_dates, Quotient)]
        parts = dict.fromkeys(c for q in quotients for c in (q.dividend, q.divisor))
        return cls(charts, tiles, tuple(c for c in parts if c not in {*charts, *tiles}))

    @cached_property
    def columns(self) -> tuple[KpiColumn, ...]:
        return _money_first((*self.charts, *self.tiles, *self.numbers))

    @cached_property
    def kept(self) -> tuple[KpiColumn, ...]:
        """Columns whose values are kept. The page computes the quotients of integers itself."""
        return tuple(c for c in self.columns if not _is_computed(c))


def _money_first(columns: Iterable[KpiColumn]) -> tuple[KpiColumn, ...]:
    return tuple(sorted(columns, key=lambda column: column.unit != MONEY))


def _is_computed(column: KpiColumn) -> bool:
    quotient = column.over_dates
    # The tables divide money before it is rounded: such a quotient cannot be computed again.
    return isinstance(quotient, Quotient) and not quotient.dividend.is_decimal


DAILY: Final = View.of(ORDER_KPIS, tiles=(NET_REVENUE,))
CATEGORIES: Final = View.of(CATEGORY_KPIS, charts=(ORDER_COUNT,))
_ORDER_COUNT: Final = CATEGORIES.kept.index(ORDER_COUNT)


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
    """One date: its values of ``DAILY.kept``, and by category of ``CATEGORIES.kept``.

    A value is None where the item was published before its column existed.
    """

    daily: tuple[Value, ...]
    categories: Mapping[str, tuple[Value, ...]]

    @classmethod
    def of(cls, day: PublishedDay) -> Self | None:
        """Return None for a date without orders."""
        if day.order_item is None:
            return None
        return cls(
            daily=_whole_numbers(day.order_item, DAILY.kept),
            categories={
                item["category"]: _whole_numbers(item, CATEGORIES.kept)
                for item in day.category_items
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
    def of(
        cls,
        verdict: Verdict,
        published: PublishedReport | None = None,
        *,
        task: str,
        dates: int | None,
    ) -> Self:
        """Read them from a verdict, and what the run published, if anything.

        ``dates`` is how many dates that were.
        """
        rows, totals = RowCounts.of(verdict, published), verdict.totals
        return cls(
            run_id=verdict.run_id,
            task=task,
            at=verdict.created_at.isoformat(),
            outcome=rows.outcome,
            files=totals.files,
            rejected_files=totals.rejected_files,
            rejected=[
                {"name": file.name, "reason": file.reason, "detail": file.detail}
                for file in verdict.rejected[:_KEPT_REJECTED_FILES]
            ],
            rows={
                "accepted": rows.accepted,
                "quarantined": rows.quarantined,
                "held": rows.held,
            },
            reasons=rows.reasons,
            quarantined_rows=verdict.quarantined_rows,
            dates=dates,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that the page shows, as of one ledger version.

    ``days`` by ISO date, ``runs`` oldest first; ``run_id`` and ``computed_at`` are those of the
    latest run that published.
    """

    ledger: str
    ledger_version: int
    run_id: str
    computed_at: str
    days: Mapping[str, DayFigures] = field(default_factory=dict)
    runs: tuple[RunFigures, ...] = ()

    def with_days(self, days: Mapping[str, DayFigures | None]) -> Self:
        """Add or replace dates; None removes one. At most KEPT_DAYS are kept, the latest."""
        merged = sorted({**self.days, **days}.items())
        known = [(day, figures) for day, figures in merged if figures is not None]
        return replace(self, days=dict(known[-KEPT_DAYS:]))

    def with_runs(self, runs: Iterable[RunFigures]) -> Self:
        """Add or replace runs. At most KEPT_RUNS are kept, the latest."""
        by_id = {run.run_id: run for run in (*self.runs, *runs)}
        latest = sorted(by_id.values(), key=lambda run: (run.at, run.run_id))
        return replace(self, runs=tuple(latest[-KEPT_RUNS:]))

    def document(self, categories: Collection[str] | None = None) -> dict[str, Any]:
        """Return what is kept, as JSON holds it; with ``categories``, of these only."""
        names = sorted(self.categories if categories is None else categories)
        days = self.days.values()
        absent = (0,) * len(CATEGORIES.kept)
        by_category = [[day.categories.get(name, absent) for day in days] for name in names]
        return {
            "format": FORMAT,
            "ledger": self.ledger,
            "ledger_version": self.ledger_version,
            "run_id": self.run_id,
            "computed_at": self.computed_at,
            "dates": list(self.days),
            "daily": {
                column.name: [day.daily[n] for day in days] for n, column in enumerate(DAILY.kept)
            },
            "categories": names,
            "category": {
                column.name: [[values[n] for values in days] for days in by_category]
                for n, column in enumerate(CATEGORIES.kept)
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
    daily = zip(*(document["daily"][column.name] for column in DAILY.kept), strict=True)
    categories: list[dict[str, tuple[Value, ...]]] = [{} for _ in document["dates"]]
    columns = (document["category"][column.name] for column in CATEGORIES.kept)
    for name, *of_category in zip(document["categories"], *columns, strict=True):
        for there, values in zip(categories, zip(*of_category, strict=True), strict=True):
            if values[_ORDER_COUNT]:
                there[name] = values
    return {
        day: DayFigures(values, there)
        for day, values, there in zip(document["dates"], daily, categories, strict=True)
    }


def _whole_numbers(item: Mapping[str, Any], columns: Sequence[KpiColumn]) -> tuple[Value, ...]:
    return tuple(
        _whole_number(column, item[column.name]) if column.name in item else None
        for column in columns
    )


def _whole_number(column: KpiColumn, value: Any) -> int:
    return _cents(value) if column.is_decimal else int(value)


def _cents(amount: Decimal) -> int:
    cents = amount.scaleb(2)
    if cents != cents.to_integral_value():
        raise FiguresError(f"{amount}: money of the tables has two places")
    return int(cents)
