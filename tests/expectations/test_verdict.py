"""The decisions of a verdict, without any data."""

from dataclasses import replace
from pathlib import Path

import pytest

from delivery.bad_row_limit import BadRowLimit
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
LIMIT = BadRowLimit(percent=10, least=5)
FACTS = verdict.FileFacts(
    key="incoming/orders_1.csv",
    reading=READING,
    bad_rows=10,
    unreadable_rows=10,
    held_rows=5,
    reasons={"bad_order_date": 10, "unknown_order": 5},
    details={},
)


def outcome(*files: verdict.FileFacts) -> str:
    return verdict.compose(
        run_id="r",
        created_at=NOW,
        files=[verdict.decide(file, LIMIT) for file in files],
        warnings=[],
        accepted={},
        held={},
        quarantined_rows=None,
    ).outcome


def test_a_file_with_exactly_the_allowed_share_of_unreadable_rows_is_accepted() -> None:
    decided = verdict.decide(FACTS, LIMIT)
    assert (decided.status, decided.reason) == ("accepted", None)
    assert (decided.accepted_rows, decided.quarantined_rows, decided.held_rows) == (85, 10, 5)


def test_one_unreadable_row_more_rejects_the_file_with_all_its_rows() -> None:
    decided = verdict.decide(replace(FACTS, bad_rows=11, unreadable_rows=11), LIMIT)
    assert (decided.status, decided.reason) == ("rejected", "too_many_bad_rows")
    assert decided.detail == (
        "11 of its 100 rows cannot be read, more than 10 %; correct it and deliver it again"
    )
    assert (decided.accepted_rows, decided.quarantined_rows, decided.held_rows) == (0, 100, 0)


def test_rows_that_break_a_rule_never_reject_their_file() -> None:
    decided = verdict.decide(replace(FACTS, bad_rows=90, unreadable_rows=10), LIMIT)
    assert (decided.status, decided.accepted_rows, decided.quarantined_rows) == ("accepted", 5, 90)


@pytest.mark.parametrize(("unreadable", "status"), [(4, "accepted"), (5, "rejected")])
def test_a_file_is_rejected_only_from_the_smallest_number_of_unreadable_rows(
    unreadable: int, status: str
) -> None:
    reading = replace(READING, rows=9)
    facts = replace(
        FACTS, reading=reading, held_rows=0, bad_rows=unreadable, unreadable_rows=unreadable
    )
    assert verdict.decide(facts, LIMIT).status == status


@pytest.mark.parametrize("percent", [0, 100])
def test_the_share_may_be_none_or_all(percent: float) -> None:
    limit = BadRowLimit(percent=percent, least=1)

    def status(unreadable: int) -> str:
        facts = replace(FACTS, held_rows=0, bad_rows=unreadable, unreadable_rows=unreadable)
        return verdict.decide(facts, limit).status

    assert status(0) == "accepted"
    assert status(1) == ("rejected" if percent == 0 else "accepted")
    assert status(100) == ("rejected" if percent == 0 else "accepted")


def test_a_file_that_was_not_read_has_no_rows() -> None:
    reading = replace(READING, status="rejected", reason="not_csv", detail="no CSV", rows=0)
    decided = verdict.decide(replace(FACTS, reading=reading, bad_rows=0, unreadable_rows=0), LIMIT)
    assert (decided.status, decided.reason, decided.detail) == ("rejected", "not_csv", "no CSV")
    assert (
        decided.rows == decided.accepted_rows == decided.quarantined_rows == decided.held_rows == 0
    )


def test_the_outcome_follows_from_the_rows() -> None:
    clean = replace(FACTS, bad_rows=0, unreadable_rows=0, held_rows=0)
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
