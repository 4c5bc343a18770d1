"""The quarantine of a dirty delivery equals the ledger of what was planted in it."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from delivery.bad_row_limit import BadRowLimit
from samples import generate

from .conftest import Outcome, Validate


@dataclass(frozen=True)
class Dirty:
    ledger: list[dict[str, Any]]
    outcome: Outcome

    def planted(self, outcome: str) -> Counter[tuple[str, int, tuple[str, ...]]]:
        return Counter(
            (entry["file"], entry["line"], tuple(sorted(entry["reasons"])))
            for entry in self.ledger
            if entry["outcome"] == outcome
        )


def make(folder: Path, *options: str) -> list[dict[str, Any]]:
    assert generate.main(["--output", str(folder), "--dirty", *options]) == 0
    with (folder / "ledger.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory, validate_folder: Validate) -> Dirty:
    folder = tmp_path_factory.mktemp("dirty")
    return Dirty(make(folder), validate_folder(folder / "incoming"))


def test_the_quarantine_equals_the_ledger_row_for_row(dirty: Dirty) -> None:
    rejected = {
        file["name"] for file in dirty.outcome.verdict["files"] if file["status"] == "rejected"
    }
    found = Counter(row for row in dirty.outcome.quarantined() if row[0] not in rejected)
    assert found == dirty.planted("quarantined")
    assert len(found) > 70


def test_csv_and_parquet_tell_the_same(dirty: Dirty) -> None:
    with (dirty.outcome.root / "quarantine/run/rows.csv").open(newline="") as file:
        sheet = [
            (r["dataset"], r["file"], int(r["line"]), r["reasons"].split(";"), r["raw"])
            for r in csv.DictReader(file)
        ]
    assert sheet == dirty.outcome.query(
        "SELECT dataset, file, line, reasons, raw FROM '{root}/quarantine/{run}/rows.parquet'"
        " ORDER BY file, line"
    )


def test_the_held_lines_equal_the_ledger(dirty: Dirty) -> None:
    held = Counter(
        (file, line, tuple(reasons))
        for file, line, reasons in dirty.outcome.query(
            "SELECT _file_name, _line, _reasons FROM '{root}/runs/{run}/held/order_items.parquet'"
        )
    )
    assert held == dirty.planted("held")


def test_the_warnings_equal_the_ledger(dirty: Dirty) -> None:
    planted: Counter[tuple[str, str]] = Counter()
    for file, _, reasons in dirty.planted("warning").elements():
        planted.update((file, reason) for reason in reasons)
    assert planted == {
        (warning["file"], warning["reason"]): warning["count"]
        for warning in dirty.outcome.verdict["warnings"]
    }


def test_the_rejected_and_skipped_files_equal_the_ledger(dirty: Dirty) -> None:
    planted = {
        entry["file"]: (entry["outcome"], entry["reasons"][0])
        for entry in dirty.ledger
        if entry["outcome"].startswith("file_")
    }
    names = {"rejected": "file_rejected", "duplicate": "file_skipped"}
    assert planted == {
        file["name"]: (names[file["status"]], file["reason"])
        for file in dirty.outcome.verdict["files"]
        if file["status"] != "accepted"
    }


def test_every_row_is_accepted_or_quarantined_or_held(dirty: Dirty) -> None:
    totals = dirty.outcome.verdict["totals"]
    parts = totals["accepted_rows"] + totals["quarantined_rows"] + totals["held_rows"]
    assert totals["rows"] == parts
    [(stored,)] = dirty.outcome.query(
        "SELECT sum(n) FROM (SELECT count(*) AS n FROM '{root}/runs/{run}/accepted/*.parquet')"
    )
    assert stored == totals["accepted_rows"]


def test_two_hundred_thousand_bad_rows_are_all_there(
    tmp_path: Path, validate_folder: Validate
) -> None:
    ledger = make(tmp_path, "--dirty-rows", "200000")
    outcome = validate_folder(tmp_path / "incoming", bad_rows=BadRowLimit(percent=100))
    planted = Dirty(ledger, outcome).planted("quarantined")
    assert planted.total() >= 200_000
    assert Counter(outcome.quarantined()) == planted
    assert outcome.verdict["totals"]["quarantined_rows"] == planted.total()
