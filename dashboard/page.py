"""Figures in, the page out: one file that fetches nothing and runs no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from contract.kpi_columns import (
    AVG_RETURN_RATE,
    DAILY_REVENUE,
    ORDER_COUNT,
    RETURN_RATE,
    RETURNED_ORDERS,
    TOTAL_REVENUE,
    KpiColumn,
    Quotient,
)

from .figures import CATEGORIES, DAILY, Figures, Value, View, packed

# 3 years of them fit into the 3 MB that a page may have.
MAX_CATEGORIES: Final = 250
# JavaScript's numbers are exact up to here. Where the sum of a column is larger, BigInts are used.
_EXACT: Final = 2**53 - 1

_SCRIPTS: Final = (
    "vendor/uplot/uPlot.iife.min.js",
    "page/formats.js",
    "page/figures.js",
    "page/charts.js",
    "page/dashboard.js",
)
# What the script needs by name.
_NAMES: Final = {
    "daily": {"revenue": TOTAL_REVENUE.name},
    "category": {
        "revenue": DAILY_REVENUE.name,
        "orders": ORDER_COUNT.name,
        "returned": RETURNED_ORDERS.name,
    },
}
_LOWER_IS_BETTER: Final = frozenset({RETURN_RATE, AVG_RETURN_RATE})
_STYLES: Final = ("vendor/uplot/uPlot.min.css", "page/style.css")


def render(figures: Figures) -> str:
    """Return the page as HTML."""
    document = _document(figures)
    data = base64.b64encode(packed(document)).decode("ascii")
    # No value is in the page as text: base64 has no character that has a meaning in HTML.
    return _frame().replace("{{figures}}", data)


def _document(figures: Figures) -> dict[str, Any]:
    names = _largest(figures)
    document: dict[str, Any] = figures.document(names)
    del document["format"], document["ledger"]
    document["left_out_categories"] = len(figures.categories) - len(names)
    document["views"] = {"daily": _view(DAILY), "category": _view(CATEGORIES)}
    document["names"] = _NAMES
    daily = [column.name for column in DAILY.kept if column.is_decimal]
    category = [column.name for column in CATEGORIES.kept if column.is_decimal]
    document["big"] = any(
        sum(value or 0 for value in values) > _EXACT
        for columns in (
            [document["daily"][name] for name in daily],
            *(document["category"][name] for name in category),
        )
        for values in columns
    )
    if document["big"]:
        for name in daily:
            document["daily"][name] = _texts(document["daily"][name])
        for name in category:
            document["category"][name] = [_texts(c) for c in document["category"][name]]
    return document


def _view(view: View) -> dict[str, Any]:
    """Return what the script knows of each column."""
    return {
        "columns": [_column(column) for column in view.columns],
        "charts": [column.name for column in view.charts],
        "tiles": [c.name for c in view.columns if c in {*view.charts, *view.tiles}],
    }


def _column(column: KpiColumn) -> dict[str, Any]:
    """Return a column as the script reads it; decimal values are whole hundredths there."""
    found: dict[str, Any] = {
        "name": column.name,
        "label": column.label,
        "unit": column.unit,
        "decimal": column.is_decimal,
        "good": -1 if column in _LOWER_IS_BETTER else 1,
    }
    if isinstance(column.over_dates, Quotient):
        quotient = column.over_dates
        # Two integers divided are units; their result is in hundredths.
        factor = 1 if quotient.dividend.is_decimal else 100
        found["quotient"] = {
            "dividend": quotient.dividend.name,
            "divisor": quotient.divisor.name,
            "factor": factor * (100 if column.unit == "%" else 1),
        }
    else:
        found["over"] = column.over_dates
    return found


def _texts(values: Sequence[Value]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _largest(figures: Figures) -> list[str]:
    """Return the categories to show: those with most revenue, where there are too many."""
    revenue = dict.fromkeys(figures.categories, 0)
    place = CATEGORIES.kept.index(DAILY_REVENUE)
    for day in figures.days.values():
        for name, values in day.categories.items():
            revenue[name] += values[place] or 0
    return sorted(revenue, key=lambda name: (-revenue[name], name))[:MAX_CATEGORIES]


@cache
def _frame() -> str:
    """Return the page without its figures. The policy names each script by its hash."""
    scripts = [_read(name) for name in _SCRIPTS]
    styles = [_read(name) for name in _STYLES]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    # uPlot places its parts by style attributes set from the script, which needs no permission.
    allowed_styles = " ".join(f"'sha256-{_sha256(style)}'" for style in styles)
    return (
        _read("page/page.html")
        .replace("{{scripts allowed}}", hashes)
        .replace("{{styles allowed}}", allowed_styles)
        .replace("{{styles}}", "\n".join(f"<style>{style}</style>" for style in styles))
        .replace("{{scripts}}", "\n".join(f"<script>{script}</script>" for script in scripts))
    )


def _read(name: str) -> str:
    # As a resource: a job on EMR has this package in a zip.
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
