"""Data Docs: Great Expectations' pages of a run, and pages that list runs and their files.

Each run adds its own pages and rewrites the index; it reads one small file of earlier runs and
never lists or renders the others, so publishing is the same work at 1,000 runs as at one.
(Great Expectations' own site builder renders an index from every stored result.) The index
holds the latest 50 to 100 runs; older ones move, 50 at a time, to pages that never change.

    data_docs/index.html, style.css
    data_docs/runs/RUN.html
    data_docs/validations/SUITE/RUN/TIME/TABLE.html    rendered by Great Expectations
    data_docs/expectations/SUITE.html                  rendered by Great Expectations
    data_docs/history/latest.json, 1.html, 2.html, …
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from contract.keys import DATA_DOCS, DATA_DOCS_INDEX, DATA_DOCS_RUNS, RunKeys

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from jinja2 import Environment

    from .gx import SuiteRun

RUNS_PER_PAGE: Final = 50

# Fewer runs than this say nothing of how large a file usually is.
_RUNS_FOR_TYPICAL: Final = 3
_TEMPLATES: Final = Path(__file__).parent / "templates"


class HistoryError(ValueError):
    """The list of earlier runs can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """A run, as the index shows it. ``median_rows``: of its accepted files, by dataset."""

    run_id: str
    created_at: str
    outcome: str
    files: int
    rejected_files: int
    rows: int
    accepted_rows: int
    quarantined_rows: int
    held_rows: int
    failing_rows: str | None
    pages: dict[str, str]
    median_rows: dict[str, int]

    @classmethod
    def of(cls, verdict: Mapping[str, Any], pages: Mapping[str, str]) -> Self:
        rows: dict[str, list[int]] = {}
        for file in verdict["files"]:
            if file["status"] == "accepted":
                rows.setdefault(file["dataset"], []).append(file["rows"])
        return cls(
            run_id=verdict["run_id"],
            created_at=verdict["created_at"],
            outcome=verdict["outcome"],
            **verdict["totals"],
            failing_rows=verdict["quarantined_rows"],
            pages=dict(pages),
            median_rows={name: round(statistics.median(counts)) for name, counts in rows.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The latest runs, oldest first, and how many pages of older ones there are."""

    older_pages: int = 0
    runs: tuple[RunEntry, ...] = field(default=())

    @classmethod
    def from_json(cls, text: bytes | None) -> Self:
        """Raise HistoryError when the text is no history; None is an empty one."""
        if text is None:
            return cls()
        try:
            document = json.loads(text)
            return cls(
                older_pages=document["older_pages"],
                runs=tuple(RunEntry(**entry) for entry in document["runs"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HistoryError(f"{DATA_DOCS_RUNS}: not a list of runs: {error}") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def with_run(self, entry: RunEntry) -> Self:
        """Add a run; a retry replaces what it left the first time."""
        others = tuple(run for run in self.runs if run.run_id != entry.run_id)
        return replace(self, runs=(*others, entry))

    def split(self) -> "tuple[Self, tuple[RunEntry, ...]]":
        """Return the history to keep, and the runs that fill one more page of older ones."""
        if len(self.runs) <= 2 * RUNS_PER_PAGE:
            return self, ()
        kept = replace(self, older_pages=self.older_pages + 1, runs=self.runs[RUNS_PER_PAGE:])
        return kept, self.runs[:RUNS_PER_PAGE]

    def typical_rows(self) -> dict[str, int]:
        """Return the usual number of rows of a dataset's file, where enough runs tell."""
        counts: dict[str, list[int]] = {}
        for run in self.runs:
            for dataset, rows in run.median_rows.items():
                counts.setdefault(dataset, []).append(rows)
        return {
            dataset: round(statistics.median(rows))
            for dataset, rows in counts.items()
            if len(rows) >= _RUNS_FOR_TYPICAL
        }


def page_of_suite(suite: str, table: str, run_id: str, run_time: datetime) -> str:
    """Return where a suite's results stand, below the site's root.

    As deep as Great Expectations puts it: its renderer links from there to the suite's page.
    """
    return f"validations/{suite}/{run_id}/{run_time:%Y%m%dT%H%M%SZ}/{table}.html"


def write_site(
    folder: Path,
    *,
    verdict: Mapping[str, Any],
    run_time: datetime,
    runs: Iterable["tuple[ExpectationSuite, str, SuiteRun]"],
    history: History,
) -> None:
    """Write what a run adds to or changes in the site, below ``folder``/data_docs.

    ``runs`` holds each suite with the table that it ran on and what came of it.
    """
    site = folder / DATA_DOCS
    run_id = verdict["run_id"]
    pages = {}
    for suite, table, run in runs:
        page = page_of_suite(suite.name, table, run_id, run_time)
        pages[suite.name] = page
        _write(site / page, _results_page(run, run_id))
        _write(site / f"expectations/{suite.name}.html", _suite_page(suite))

    entry = RunEntry.of(verdict, pages)
    kept, moved = history.with_run(entry).split()
    templates = _templates()
    if moved:
        _write(
            site / f"history/{kept.older_pages}.html",
            templates.get_template("older.html.j2").render(
                home="../", runs=moved[::-1], older=_older(kept.older_pages - 1)
            ),
        )
    _write(
        folder / DATA_DOCS_INDEX,
        templates.get_template("index.html.j2").render(
            home="",
            latest=kept.runs[-1],
            runs=kept.runs[::-1],
            suites=list(pages),
            older=_older(kept.older_pages),
        ),
    )
    _write(
        folder / RunKeys(run_id).data_docs,
        templates.get_template("run.html.j2").render(
            home="../",
            run=entry,
            files=sorted(verdict["files"], key=_most_urgent_first),
            warnings=verdict["warnings"],
        ),
    )
    _write(site / "style.css", (_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    _write(folder / DATA_DOCS_RUNS, kept.to_json())


def _older(page: int) -> str | None:
    return f"history/{page}.html" if page else None


def _most_urgent_first(file: Mapping[str, Any]) -> tuple[bool, int, str]:
    bad = file["quarantined_rows"] + file["held_rows"]
    return file["status"] != "rejected", -bad, file["name"]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    templates.filters["thousands"] = "{:,}".format
    templates.filters["minute"] = lambda text: f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"
    return templates


def _results_page(run: "SuiteRun", run_id: str) -> str:
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    document = ValidationResultsPageRenderer().render(run.result)
    return _gx_page(document, home="../../../../", run_id=run_id, suite=run.result.suite_name)


def _suite_page(suite: "ExpectationSuite") -> str:
    from great_expectations.render.renderer.page_renderer import ExpectationSuitePageRenderer

    document = ExpectationSuitePageRenderer().render(suite)  # type: ignore[no-untyped-call]
    return _gx_page(document, home="../", run_id=None, suite=suite.name)


def _gx_page(document: Any, *, home: str, run_id: str | None, suite: str) -> str:
    """Render with Great Expectations' templates, but for the page around them.

    Its own page loads nine scripts and six style sheets from other servers.
    """
    from great_expectations.render.view.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, FileSystemLoader

    view = DefaultJinjaPageView()
    theirs = [view.env.loader] if view.env.loader else []
    view.env.loader = ChoiceLoader([FileSystemLoader(_TEMPLATES / "gx"), *theirs])
    return str(
        view.render(  # type: ignore[no-untyped-call]
            document, home=home, run_id=run_id, suite_name=suite
        )
    )
