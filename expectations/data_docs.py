"""Data Docs: Great Expectations' pages of a run, and pages that list runs and their files.

Each run adds its own pages and rewrites the index; it reads one small file of earlier runs and
never lists or renders the others, so publishing takes as long at 1,000 runs as at one.
(Great Expectations' own site builder renders an index from every stored result.) The index
holds the latest 50 to 100 runs; older ones move, 50 at a time, to pages that never change.

    data_docs/index.html, style.css
    data_docs/runs/RUN.html
    data_docs/validations/SUITE/RUN/TIME/TABLE.html    rendered by Great Expectations
    data_docs/expectations/SUITE.html                  rendered by Great Expectations
    data_docs/history/latest.json, 1.html, 2.html, …
"""

import json
import logging
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from contract.keys import DATA_DOCS, DATA_DOCS_INDEX, DATA_DOCS_RUNS, RunKeys
from contract.verdict import FileVerdict, Verdict
from delivery.storage import Storage

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from jinja2 import Environment

    from .gx import SuiteRun

log = logging.getLogger(__name__)

RUNS_PER_PAGE: Final = 50

# Fewer runs than this do not show how large a file usually is.
_RUNS_FOR_TYPICAL: Final = 3
_TEMPLATES: Final = Path(__file__).parent / "templates"


class HistoryError(ValueError):
    """The list of earlier runs can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """A run in the index. ``median_rows``: of its accepted files, by dataset."""

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
    not_recognised_files: int = 0

    @classmethod
    def of(cls, verdict: Verdict, pages: Mapping[str, str]) -> Self:
        rows: dict[str, list[int]] = {}
        for file in verdict.files:
            if file.status == "accepted" and file.dataset:
                rows.setdefault(file.dataset, []).append(file.rows)
        return cls(
            run_id=verdict.run_id,
            created_at=verdict.created_at.isoformat(),
            outcome=verdict.outcome,
            **asdict(verdict.totals),
            failing_rows=verdict.quarantined_rows,
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
        """Raise HistoryError when the text is not a history; None is an empty one."""
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
        """Add a run; a retry replaces the entry of the first attempt."""
        others = tuple(run for run in self.runs if run.run_id != entry.run_id)
        return replace(self, runs=(*others, entry))

    def split(self) -> "tuple[Self, tuple[RunEntry, ...]]":
        """Return the history to keep, and the runs that fill one more page of older ones."""
        if len(self.runs) <= 2 * RUNS_PER_PAGE:
            return self, ()
        kept = replace(self, older_pages=self.older_pages + 1, runs=self.runs[RUNS_PER_PAGE:])
        return kept, self.runs[:RUNS_PER_PAGE]

    def typical_rows(self) -> dict[str, int]:
        """Return the usual number of rows of a dataset's file, where there are enough runs."""
        counts: dict[str, list[int]] = {}
        for run in self.runs:
            for dataset, rows in run.median_rows.items():
                counts.setdefault(dataset, []).append(rows)
        return {
            dataset: round(statistics.median(rows))
            for dataset, rows in counts.items()
            if len(rows) >= _RUNS_FOR_TYPICAL
        }


def read_history(output: Storage) -> History:
    """Read the list of earlier runs; one that can't be read is replaced, with a warning."""
    try:
        return History.from_json(output.get(DATA_DOCS_RUNS))
    except HistoryError as error:
        # Only the index page needs it: that is no reason to fail a delivery.
        log.warning("%s; the list of runs starts again from this run", error)
        return History()


def page_of_suite(suite: str, table: str, run_id: str, run_time: datetime) -> str:
    """Return the path of a suite's results below the site's root.

    Great Expectations' renderer links to the suite's page from this depth.
    """
    return f"validations/{suite}/{run_id}/{run_time:%Y%m%dT%H%M%SZ}/{table}.html"


def write_site(
    folder: Path,
    *,
    verdict: Verdict,
    runs: Iterable["SuiteRun"],
    history: History,
) -> None:
    """Write what a run adds to or changes in the site, below ``folder``/data_docs."""
    site = folder / DATA_DOCS
    run_id = verdict.run_id
    pages = {}
    for run in runs:
        name = run.suite.name
        pages[name] = page_of_suite(name, run.table, run_id, verdict.created_at)
        _write(site / pages[name], _results_page(run, run_id))
        _write(site / f"expectations/{name}.html", _suite_page(run.suite))

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
            files=sorted(verdict.files, key=_most_urgent_first),
            warnings=verdict.warnings,
        ),
    )
    _write(site / "style.css", (_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    _write(folder / DATA_DOCS_RUNS, kept.to_json())


def _older(page: int) -> str | None:
    return f"history/{page}.html" if page else None


def _most_urgent_first(file: FileVerdict) -> tuple[bool, int, str]:
    read = file.status not in ("rejected", "not_recognised")
    return read, -(file.quarantined_rows + file.held_rows), file.name


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
    """Render with Great Expectations' templates inside a page of this site.

    Its own page loads nine scripts and six style sheets from other servers.
    """
    from great_expectations.render.view.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, FileSystemLoader

    view = DefaultJinjaPageView()
    builtin = [view.env.loader] if view.env.loader else []
    view.env.loader = ChoiceLoader([FileSystemLoader(_TEMPLATES / "gx"), *builtin])
    return str(
        view.render(  # type: ignore[no-untyped-call]
            document, home=home, run_id=run_id, suite_name=suite
        )
    )
