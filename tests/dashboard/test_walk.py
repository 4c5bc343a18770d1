"""The walk through a run, from its files to its quarantine, happens as its pictures show."""

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser

from tests.conftest import ROOT

from .conftest import SCREENSHOTS


def test_files_are_delivered_watched_shown_and_taken_out_of_quarantine(browser: Browser) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.dashboard.walk", "--output", str(SCREENSHOTS / "walk")],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    printed = ended.stdout.splitlines()
    steps = [Path(line).stem.partition("-")[2] for line in printed if line.endswith(".png")]
    assert steps[-5:] == [
        "run-succeeded",
        "dashboard",
        "category",
        "quarantine",
        "data-docs-of-the-run",
    ]
    assert "run-TransformFiles" in steps
    [reason] = [line for line in printed if line.startswith("reason: ")]
    assert "missing_column, line 1: no column order_id" in reason
    assert any(
        line.endswith("bytes of orders_without_header.csv, as delivered") for line in printed
    )
