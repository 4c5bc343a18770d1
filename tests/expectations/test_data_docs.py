"""Data Docs: their content, their pages in a real browser, and the work of publishing a run."""

import os
import re
import shutil
import subprocess
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from contract.keys import DATA_DOCS_RUNS
from contract.verdict import Totals, Verdict
from expectations import data_docs
from samples import generate
from tests.conftest import IN_CI, ROOT

from .conftest import NOW, Outcome, Validate
from .test_suites import entry

SCREENSHOTS = ROOT / "build/screenshots"


@pytest.fixture(scope="module")
def site(validate_folder: Validate, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The output of two runs on a dirty delivery."""
    folder = tmp_path_factory.mktemp("dirty")
    assert generate.main(["--output", str(folder), "--dirty"]) == 0
    first = validate_folder(folder / "incoming", run_id="2026-03-01T10-00")
    return validate_folder(folder / "incoming", output=first.root, run_id="2026-03-01T12-00")


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]


def links_of(page: Path) -> Links:
    parser = Links()
    parser.feed(page.read_text())
    return parser


def test_every_link_leads_to_a_file_of_the_output_and_none_elsewhere(site: Outcome) -> None:
    pages = list((site.root / "data_docs").rglob("*.html"))
    assert len(pages) == 1 + 2 + 2 * 4 + 4
    for page in pages:
        links = links_of(page)
        assert "script" not in links.tags
        for link in links.found:
            if link.startswith("#"):
                continue
            assert ":" not in unquote(link), f"{page}: {link} leaves the site"
            assert (page.parent / unquote(link)).resolve().is_file(), f"{page}: {link}"


def test_great_expectations_pages_show_the_rule_and_what_failed_it(site: Outcome) -> None:
    [page] = (site.root / "data_docs/validations/orders/2026-03-01T12-00").rglob("*.html")
    text = page.read_text()
    assert "bad_order_date: order_date is a date (2026-01-31) or a timestamp" in text
    assert "teleported" in text


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        assert not IN_CI, "CI must have Chromium"
        pytest.skip("no Chromium: the pages are not looked at")
    return found


def chromium(page: Path, profile: Path, *options: str) -> str:
    ended = subprocess.run(
        [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "LANG": "en_US.UTF-8"},
    )
    return ended.stdout


def test_the_index_says_in_one_look_what_became_of_a_run(site: Outcome, tmp_path: Path) -> None:
    index = site.root / "data_docs/index.html"
    dom = chromium(index, tmp_path / "profile", "--dump-dom")
    shown = " ".join(re.sub(r"<[^>]+>", " ", dom).split())
    totals = site.verdict["totals"]
    assert (
        f"files {totals['files']} files rejected {totals['rejected_files']}"
        f" rows accepted {totals['accepted_rows']:,}"
        f" rows quarantined {totals['quarantined_rows']} rows held back {totals['held_rows']}"
    ) in shown
    assert shown.index("2026-03-01T12-00") < shown.index("2026-03-01T10-00")
    assert 'href="../quarantine/2026-03-01T12-00/rows.csv"' in dom


@pytest.mark.parametrize(
    ("name", "page", "options"),
    [
        ("index", "index.html", ["--window-size=1200,700"]),
        ("run-phone", "runs/2026-03-01T12-00.html", ["--window-size=500,1600"]),
        (
            "run-dark",
            "runs/2026-03-01T12-00.html",
            ["--window-size=1200,1600", "--blink-settings=preferredColorScheme=0"],
        ),
        (
            "orders",
            "validations/orders/2026-03-01T12-00/*/orders.html",
            ["--window-size=1200,1600"],
        ),
    ],
)
def test_the_pages_are_drawn_by_a_real_browser(
    name: str, page: str, options: list[str], site: Outcome, tmp_path: Path
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"data-docs-{name}.png"
    picture.unlink(missing_ok=True)
    [found] = (site.root / "data_docs").glob(page)
    chromium(found, tmp_path / "profile", f"--screenshot={picture}", *options)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def verdict(run_id: str) -> Verdict:
    known = entry(run_id, rows=20)
    totals = Totals(**{field.name: getattr(known, field.name) for field in fields(Totals)})
    return Verdict(
        run_id=run_id,
        created_at=NOW,
        outcome="accepted",
        totals=totals,
        files=(),
        warnings=(),
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )


def publish(root: Path, run_id: str) -> dict[str, int]:
    """Publish a run's pages and return the size of each file it wrote."""
    before = (root / DATA_DOCS_RUNS).read_bytes() if (root / DATA_DOCS_RUNS).exists() else None
    work = root / "work"
    data_docs.write_site(
        work,
        verdict=verdict(run_id),
        runs=[],
        history=data_docs.History.from_json(before),
    )
    written = {}
    for path in [path for path in work.rglob("*") if path.is_file()]:
        key = path.relative_to(work).as_posix()
        written[key] = path.stat().st_size
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        path.replace(root / key)
    return written


def test_publishing_is_the_same_work_at_a_thousand_runs(tmp_path: Path) -> None:
    sizes = [publish(tmp_path, f"run-{n:04}") for n in range(1000)]
    # Four files, and once in fifty runs a page of older ones.
    assert sorted(map(len, sizes)) == [4] * 982 + [5] * 18
    at_200 = max(sum(written.values()) for written in sizes[100:200])
    at_1000 = max(sum(written.values()) for written in sizes[900:])
    assert at_1000 <= at_200 * 1.02

    shown = []
    page = tmp_path / "data_docs/index.html"
    while True:
        links = links_of(page).found
        shown += list(dict.fromkeys(re.findall(r"runs/(run-\d+)\.html", " ".join(links))))
        older = [link for link in links if re.search(r"history/\d+\.html", link)]
        if not older:
            break
        page = (page.parent / older[0]).resolve()
    assert shown == [f"run-{n:04}" for n in reversed(range(1000))]


def test_a_history_that_cannot_be_read_is_said_so() -> None:
    with pytest.raises(data_docs.HistoryError, match=r"history/latest\.json: not a list of runs"):
        data_docs.History.from_json(b'{"runs": 3}')


def test_three_runs_say_how_large_a_file_usually_is() -> None:
    history = data_docs.History()
    for n, rows in enumerate((10, 30)):
        history = history.with_run(entry(f"r{n}", rows=rows))
    assert history.typical_rows() == {}
    assert history.with_run(entry("r3", rows=20)).typical_rows() == {
        "orders": 20,
        "order_items": 20,
        "products": 20,
    }
