"""Figures in, the page out: one file that fetches nothing and runs no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from .figures import CATEGORY, DAILY, MONEY, Figures, packed

# What 3 years of them are is within the 3 MB that a page may be.
MAX_CATEGORIES: Final = 250
# A number of JavaScript is exact up to here; sums of whole columns stay below it, or are BigInts.
_EXACT: Final = 2**53 - 1

_SCRIPTS: Final = ("vendor/uplot/uPlot.iife.min.js", "page/dashboard.js")
_STYLES: Final = ("vendor/uplot/uPlot.min.css", "page/style.css")


def render(figures: Figures) -> str:
    """Return the page as HTML."""
    document = _document(figures)
    data = base64.b64encode(packed(document)).decode("ascii")
    # No value stands in the page as text: base64 has no character that HTML knows.
    return _frame().replace("{{figures}}", data)


def _document(figures: Figures) -> dict[str, Any]:
    names = _largest(figures)
    document: dict[str, Any] = figures.document(names)
    del document["format"], document["ledger"]
    document["left_out_categories"] = len(figures.categories) - len(names)
    document["big"] = any(
        sum(column) > _EXACT
        for columns in (
            [document["daily"][name] for name in DAILY if name in MONEY],
            *(document["category"][name] for name in CATEGORY if name in MONEY),
        )
        for column in columns
    )
    if document["big"]:
        for name in MONEY & set(DAILY):
            document["daily"][name] = _texts(document["daily"][name])
        for name in MONEY & set(CATEGORY):
            document["category"][name] = [_texts(c) for c in document["category"][name]]
    return document


def _texts(column: Sequence[int]) -> list[str]:
    return [str(value) for value in column]


def _largest(figures: Figures) -> list[str]:
    """Return the categories to show: those with most revenue, where there are too many."""
    revenue = dict.fromkeys(figures.categories, 0)
    place = CATEGORY.index("daily_revenue")
    for day in figures.days.values():
        for name, values in day.categories.items():
            revenue[name] += values[place]
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
