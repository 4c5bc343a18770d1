"""The decisions of a verdict, without any data."""

from dataclasses import replace
from pathlib import Path

import pytest

from delivery.landed_files import LandedFile
from delivery.reader import FileReading
from expectations import verdict

from .conftest import NOW

READING = FileReading(
    file=LandedFile(name="orders_1.csv", path=Path("1.csv"), dataset="orders"),
    ordinal=0,
    status="read",
    rows=100,
)
FACTS = verdict.FileFacts(
    key="incoming/orders_1.csv",
    reading=READING,
    bad_rows=10,
    held_rows=5,
    reasons={"unknown_status": 10, "unknown_order": 5},
)


def outcome(*files: verdict.FileFacts) -> str:
    return verdict.compose(
        run_id="r",
        created_at=NOW,
        files=[verdict.decide(file, 10) for file in files],
        warnings=[],
        accepted={},
        held={},
        quarantined_rows=None,
    ).outcome


def test_a_file_with_exactly_the_allowed_share_of_bad_rows_is_accepted() -> None:
    decided = verdict.decide(FACTS, 10)
    assert (decided.status, decided.reason) == ("accepted", None)
    assert (decided.accepted_rows, decided.quarantined_rows, decided.held_rows) == (85, 10, 5)


def test_one_bad_row_more_rejects_the_file_with_all_its_rows() -> None:
    decided = verdict.decide(replace(FACTS, bad_rows=11), 10)
    assert (decided.status, decided.reason) == ("rejected", "too_many_bad_rows")
    assert decided.detail == (
        "11 of its 100 rows are bad, more than 10 %; correct it and deliver it again"
    )
    assert (decided.accepted_rows, decided.quarantined_rows, decided.held_rows) == (0, 100, 0)


@pytest.mark.parametrize("percent", [0, 100])
def test_the_share_may_be_none_or_all(percent: float) -> None:
    facts = replace(FACTS, held_rows=0)
    one = verdict.decide(replace(facts, bad_rows=1), percent)
    every = verdict.decide(replace(facts, bad_rows=100), percent)
    none = verdict.decide(replace(facts, bad_rows=0), percent)
    assert none.status == "accepted"
    assert one.status == ("rejected" if percent == 0 else "accepted")
    assert every.status == ("rejected" if percent == 0 else "accepted")


def test_a_file_that_was_not_read_has_no_rows() -> None:
    reading = replace(READING, status="rejected", reason="not_csv", detail="no CSV", rows=0)
    decided = verdict.decide(replace(FACTS, reading=reading, bad_rows=0), 10)
    assert (decided.status, decided.reason, decided.detail) == ("rejected", "not_csv", "no CSV")
    assert (
        decided.rows == decided.accepted_rows == decided.quarantined_rows == decided.held_rows == 0
    )


def test_the_outcome_follows_from_the_rows() -> None:
    clean = replace(FACTS, bad_rows=0, held_rows=0)
    not_read = replace(READING, status="rejected", reason="not_csv", rows=0)
    rejected = replace(clean, reading=not_read)
    duplicate = replace(
        clean, reading=replace(not_read, status="duplicate", reason="duplicate_file")
    )
    only_held = replace(clean, held_rows=100)
    assert outcome(clean) == "accepted"
    assert outcome(clean, duplicate) == "accepted"
    assert outcome(clean, rejected) == "partly_accepted"
    assert outcome(FACTS) == "partly_accepted"
    assert outcome(rejected) == "all_rejected"
    assert outcome(duplicate) == "all_rejected"
    # Lines that wait for their orders are not at fault, and will count.
    assert outcome(only_held) == "partly_accepted"
