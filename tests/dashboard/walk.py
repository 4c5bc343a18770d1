"""A shop's day in a real browser, with a picture of each step.

    python -m tests.dashboard.walk [--output build/screenshots/walk]

Files are delivered to the embedded AWS, one of them without its header; the run is watched; the
dashboard it publishes is opened; a category is chosen; and the bad file is taken out of quarantine
by the link beside its reason.
"""

import argparse
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from localcloud import demo
from localcloud.cloud import LocalCloud
from localcloud.provision import provision
from tests.conftest import ROOT

BAD_FILE = "orders_without_header.csv"
_SECONDS = 300


@dataclass
class Album:
    """Pictures, numbered in the order of the steps."""

    folder: Path
    page: Page
    steps: list[str] = field(default_factory=list)

    def shoot(self, step: str, *, full_page: bool = False) -> None:
        self.steps.append(step)
        path = self.folder / f"{len(self.steps):02}-{step}.png"
        self.page.screenshot(path=path, full_page=full_page)
        print(path, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for old in options.output.glob("*.png"):
        old.unlink()
    with (
        tempfile.TemporaryDirectory() as home,
        LocalCloud.start(Path(home), time_scale=demo.TIME_SCALE) as cloud,
        sync_playwright() as playwright,
    ):
        stack = provision(demo.plan("sail", demo.TIME_SCALE), cloud)
        shop = demo.Shop(stack=stack, session=cloud.session())
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox"]
        )
        album = Album(options.output, browser.new_page(viewport={"width": 1280, "height": 900}))
        delivery = dict(demo.read_delivery(options.delivery, fail=True))
        _deliver_and_watch(shop, list(delivery.items()), album)
        _show_dashboard(demo.keep_pages(shop, Path(home))["Dashboard"], delivery[BAD_FILE], album)
        browser.close()
    return 0


def _deliver_and_watch(shop: demo.Shop, files: Sequence[tuple[str, bytes]], album: Album) -> None:
    shop.uploads(files)
    seen: set[str] = set()
    ends = time.monotonic() + _SECONDS
    while True:
        runs, waiting = shop.runs(), shop.waiting()
        for found in runs:
            found.verdict = shop.verdict(found.run_id)
        state = runs[-1].visits[-1].state if runs and runs[-1].visits else "delivered"
        status = runs[-1].status if runs else "RUNNING"
        if status != "RUNNING":
            state = status.lower()
        if state in {"delivered", "ValidateFiles", "TransformFiles", "succeeded"} - seen:
            seen.add(state)
            album.page.set_content(_as_html(runs, waiting))
            album.shoot(f"run-{state}")
        if status == "SUCCEEDED":
            return
        if status != "RUNNING" or time.monotonic() > ends:
            raise SystemExit(f"the run is {status} after {_SECONDS} s at most")
        time.sleep(0.3)


def _as_html(runs: list[demo.Run], waiting: int) -> str:
    """Return what the demonstration shows in a terminal."""
    console = Console(file=io.StringIO(), record=True, width=110)
    console.print(demo._render(runs, waiting))
    return console.export_html()


def _show_dashboard(dashboard: Path, bad_file: bytes, album: Album) -> None:
    page = album.page
    page.goto(dashboard.as_uri())
    page.get_by_role("heading", name="The 5 largest over time").wait_for()
    album.shoot("dashboard", full_page=True)

    page.locator("#ranking").get_by_role("button", name="Garden").click()
    page.get_by_role("heading", name="Garden").scroll_into_view_if_needed()
    album.shoot("category")

    reason = page.locator(".runs li", has_text=BAD_FILE)
    reason.scroll_into_view_if_needed()
    print(f"reason: {reason.inner_text()}")
    album.shoot("quarantine")
    with page.expect_download() as download:
        reason.get_by_role("link", name=BAD_FILE).click()
    taken = Path(download.value.path()).read_bytes()
    if taken != bad_file:
        raise SystemExit(f"{BAD_FILE}: {len(taken)} bytes in quarantine are not those delivered")
    print(f"quarantined: {len(taken)} bytes of {BAD_FILE}, as delivered")

    page.locator(".runs tbody th").get_by_role("link").first.click()
    page.get_by_role("heading", name="Files", exact=True).wait_for()
    page.get_by_text(BAD_FILE).first.scroll_into_view_if_needed()
    album.shoot("data-docs-of-the-run")


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tests.dashboard.walk",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build/screenshots/walk")
    parser.add_argument("--delivery", type=Path, default=ROOT / "samples/incoming")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help=f"the browser to use ({found})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
