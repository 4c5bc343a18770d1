"""KPIs of some dates, read by key: one item a day, or one query for the days of a category."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from contract import spreadsheet
from contract.kpi_columns import (
    CATEGORY_KPIS,
    LEDGER_VERSION,
    ORDER_DATE,
    ORDER_KPIS,
    RUN_ID,
    KpiColumn,
    KpiTable,
    readable,
)

from .errors import NotFoundError, UsageError
from .screen import table
from .times import parse_date, parse_range

if TYPE_CHECKING:
    from chalice_app.chalicelib.aws.kpi_tables import KpiQueries

    from .pipeline import Pipeline

_DEFAULT_DAYS: Final = 30
# How many runs are searched for the newest date with KPIs.
_LOOK_BACK: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpis:
    """Items of a KPI table in the order of their dates; their decimals are exact."""

    start: date
    end: date
    category: str | None
    items: tuple[Mapping[str, Any], ...]


def choose_dates(pipeline: "Pipeline", start: str | None, end: str | None) -> tuple[date, date]:
    """Return the first and the last date.

    The default is the 30 days that end with the newest date that has KPIs.

    Raises UsageError when a text is not a date, the dates are swapped, or there are too many.
    """
    from chalice_app.chalicelib.aws.kpi_tables import MAX_DAYS

    if start is not None and end is not None:
        first, last = parse_range(start, end)
    else:
        newest = newest_date(pipeline) if end is None else parse_date(end, "--to")
        last = newest or pipeline.now().date()
        first = last - timedelta(days=_DEFAULT_DAYS - 1)
        if start is not None:
            first = parse_date(start, "--from")
        if first > last:
            raise UsageError(
                f"--from {first} is after {last}, the newest date with KPIs: choose an earlier one"
            )
    if (days := (last - first).days + 1) > MAX_DAYS:
        raise UsageError(
            f"{first} to {last} are {days:,} days and {MAX_DAYS:,} is the most: choose fewer"
        )
    return first, last


def newest_date(pipeline: "Pipeline") -> date | None:
    """Return the newest date that the latest runs have published."""
    runs = pipeline.records.latest(_LOOK_BACK, now=pipeline.now())
    published = [day for run in runs for day in run.get("dates", ())]
    return date.fromisoformat(max(published)) if published else None


def daily(pipeline: "Pipeline", start: date, end: date) -> Kpis:
    """Raises NotFoundError when there are no orders of these dates."""
    from chalice_app.chalicelib.aws.kpi_tables import MAX_DAYS, Period

    found = _queries(pipeline).daily(Period(start=start, end=end), MAX_DAYS)
    if not found.items:
        raise NotFoundError(_nothing(pipeline, start, end))
    return Kpis(start=start, end=end, category=None, items=_exact(found.items, ORDER_KPIS))


def of_category(pipeline: "Pipeline", category: str, start: date, end: date) -> Kpis:
    """Raises NotFoundError when the category has no orders of these dates."""
    from chalice_app.chalicelib.aws.kpi_tables import MAX_DAYS, Period

    found = _queries(pipeline).category(category, Period(start=start, end=end), MAX_DAYS)
    if not found.items:
        raise NotFoundError(_no_category(pipeline, category, start, end))
    items = _exact(found.items, CATEGORY_KPIS)
    return Kpis(start=start, end=end, category=category, items=items)


def categories(pipeline: "Pipeline", start: date, end: date) -> list[str]:
    """Return the categories that have orders of these dates."""
    from chalice_app.chalicelib.aws.kpi_tables import Period

    return sorted(_queries(pipeline).categories(Period(start=start, end=end)))


def _exact(items: Iterable[Mapping[str, Any]], table: KpiTable) -> tuple[Mapping[str, Any], ...]:
    return tuple(dict(sorted({**item, **table.values(item)}.items())) for item in items)


def _queries(pipeline: "Pipeline") -> "KpiQueries":
    from chalice_app.chalicelib.aws.kpi_tables import KpiQueries

    return KpiQueries(
        pipeline.client("dynamodb"),
        category_kpis=pipeline.settings.category_kpis_table,
        order_kpis=pipeline.settings.order_kpis_table,
    )


def _nothing(pipeline: "Pipeline", start: date, end: date) -> str:
    newest = newest_date(pipeline)
    if newest is None:
        return f"no KPIs from {start} to {end}, and no run has published any: see `shopkpi runs`"
    return f"no KPIs from {start} to {end}; the newest are of {newest}: try --to {newest}"


def _no_category(pipeline: "Pipeline", category: str, start: date, end: date) -> str:
    known = categories(pipeline, start, end)
    if not known:
        return _nothing(pipeline, start, end)
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(category.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return f"no category {category!r} from {start} to {end}: {hint}there are {shown}"


def to_csv(kpis: Kpis) -> str:
    """Return the attributes of each item in the order of the table's columns."""
    return spreadsheet.to_csv([c.name for c in _table_of(kpis).attributes], kpis.items)


def _table_of(kpis: Kpis) -> KpiTable:
    return ORDER_KPIS if kpis.category is None else CATEGORY_KPIS


def render(kpis: Kpis) -> list[Any]:
    columns = _table_of(kpis).shown
    title = f"{kpis.category}, by day" if kpis.category else "orders by day"
    return [
        table(
            f"{title}, {kpis.start} to {kpis.end}",
            {ORDER_DATE.name: "left", **{column.name: "right" for column in columns}},
            ((item[ORDER_DATE.name], *_cells(item, columns)) for item in kpis.items),
            caption=f"ledger version {max(item[LEDGER_VERSION.name] for item in kpis.items)}, "
            f"computed by {kpis.items[-1][RUN_ID.name]} at the latest date",
        )
    ]


def _cells(item: Mapping[str, Any], columns: Iterable[KpiColumn]) -> Iterator[str]:
    for column in columns:
        yield readable(item[column.name]) if column.name in item else ""
