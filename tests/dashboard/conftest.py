"""A real browser, and pages for it to look at."""

import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.figures import DayFigures, Figures, RunFigures
from dashboard.page import render
from spark_jobs.publish.tables import Day
from tests.conftest import IN_CI, ROOT
from tests.dashboard.days import NOW, some_days

SCREENSHOTS = ROOT / "build/screenshots"
LAST_DAY = date(2026, 2, 28)

Open = Callable[..., Page]
Site = Callable[[list[Day]], Path]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own is not among what a package index has."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        assert not IN_CI, "CI must have Chromium"
        pytest.skip("no Chromium: the dashboard is not looked at")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a page, and fail the test if its script fails or it fetches anything else."""
    contexts, complaints = [], []

    def open_one(page_file: Path, *, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on("console", lambda said: complaints.append(f"console: {said.text}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.is_navigation_request() or request.url.startswith("data:")
                else complaints.append(f"fetched: {request.url}")
            ),
        )
        page.goto(page_file.as_uri())
        expect(page.locator("#freshness")).not_to_contain_text("Reading")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def last_days(count: int, categories: int) -> list[Day]:
    return some_days(count, categories, start=LAST_DAY - timedelta(days=count - 1))


def figures_of(days: list[Day], runs: int = 25) -> Figures:
    return (
        Figures(
            ledger="ledger/main",
            ledger_version=1,
            run_id="20260301T120000Z-0123456789abcdef",
            computed_at=NOW.isoformat(timespec="seconds"),
        )
        .with_days({day.order_date: DayFigures.of(day) for day in days})
        .with_runs(a_run(n) for n in range(runs))
    )


def a_run(n: int) -> RunFigures:
    rejected = {
        "name": "late orders/orders 1.csv",
        "reason": "missing_column",
        "detail": "line 1: no column order_id; name the columns as order_id,user_id,…",
    }
    run_id = f"20260201T{n:02}0000Z-0123456789abcdef"
    if n % 10 == 7:
        at = f"2026-02-01T{n:02}:00:00+00:00"
        return RunFigures(run_id=run_id, task="recompute", at=at, outcome="published", dates=31)
    return RunFigures(
        run_id=run_id,
        task="process",
        at=f"2026-02-01T{n:02}:00:00+00:00",
        outcome="partly_accepted",
        files=12,
        rejected_files=n % 2 + (60 if n == 23 else 0),
        rejected=[rejected] * (n % 2 + (49 if n == 23 else 0)),
        rows={"accepted": 1200 + n, "quarantined": n % 3, "held": 5 * (n % 4)},
        reasons={"bad_order_date": n % 3, "unknown_order": 5 * (n % 4)} if n % 3 else {},
        quarantined_rows=f"quarantine/{run_id}/rows.csv" if n % 3 else None,
        dates=None if n == 5 else 14,
    )


def write_page(folder: Path, figures: Figures) -> Path:
    page = folder / "dashboard/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(figures), encoding="utf-8")
    return page


@pytest.fixture(scope="session")
def month() -> list[Day]:
    """30 days of 7 categories."""
    return last_days(30, 7)


@pytest.fixture(scope="session")
def month_page(month: list[Day], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("month"), figures_of(month))


@pytest.fixture(scope="session")
def years() -> list[Day]:
    """3 years of 200 categories."""
    return last_days(3 * 365 + 1, 200)


@pytest.fixture(scope="session")
def years_page(years: list[Day], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("years"), figures_of(years))
