"""The decisions of a verdict, without any data."""

from dataclasses import replace

import pytest

from expectations import verdict

from .conftest import NOW

FACTS = verdict.FileFacts(
    key="incoming/orders_1.csv",
    sha256=None,
    name="orders_1.csv",
    dataset="orders",
    status="read",
    reason=None,
    detail=None,
    rows=100,
    bad_rows=10,
    held_rows=5,
    reasons={"unknown_status": 10, "unknown_order": 5},
    max_bad_row_percent=10,
)


def outcome(*files: verdict.FileFacts) -> str:
    document = verdict.document(
        run_id="r",
        created_at=NOW,
        files=[verdict.judge(file) for file in files],
        warnings=[],
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )
    return str(document["outcome"])


def test_a_file_with_exactly_the_allowed_share_of_bad_rows_is_accepted() -> None:
    judged = verdict.judge(FACTS)
    assert (judged.status, judged.reason) == ("accepted", None)
    assert (judged.accepted_rows, judged.quarantined_rows, judged.held_rows) == (85, 10, 5)


def test_one_bad_row_more_rejects_the_file_with_all_its_rows() -> None:
    judged = verdict.judge(replace(FACTS, bad_rows=11))
    assert (judged.status, judged.reason) == ("rejected", "too_many_bad_rows")
    assert judged.detail == (
        "11 of its 100 rows are bad, more than 10 %; correct it and deliver it again"
    )
    assert (judged.accepted_rows, judged.quarantined_rows, judged.held_rows) == (0, 100, 0)


@pytest.mark.parametrize("percent", [0, 100])
def test_the_share_may_be_none_or_all(percent: float) -> None:
    facts = replace(FACTS, held_rows=0, max_bad_row_percent=percent)
    one = verdict.judge(replace(facts, bad_rows=1))
    every = verdict.judge(replace(facts, bad_rows=100))
    none = verdict.judge(replace(facts, bad_rows=0))
    assert none.status == "accepted"
    assert one.status == ("rejected" if percent == 0 else "accepted")
    assert every.status == ("rejected" if percent == 0 else "accepted")


def test_a_file_that_was_not_read_has_no_rows_to_speak_of() -> None:
    judged = verdict.judge(
        replace(FACTS, status="rejected", reason="not_csv", detail="no CSV", rows=0, bad_rows=0)
    )
    assert (judged.status, judged.reason, judged.detail) == ("rejected", "not_csv", "no CSV")
    assert judged.rows == judged.accepted_rows == judged.quarantined_rows == judged.held_rows == 0


def test_the_outcome_follows_from_the_rows() -> None:
    clean = replace(FACTS, bad_rows=0, held_rows=0)
    rejected = replace(clean, status="rejected", reason="not_csv", rows=0)
    duplicate = replace(clean, status="duplicate", reason="duplicate_file", rows=0)
    only_held = replace(clean, held_rows=100)
    assert outcome(clean) == "accepted"
    assert outcome(clean, duplicate) == "accepted"
    assert outcome(clean, rejected) == "partly_accepted"
    assert outcome(FACTS) == "partly_accepted"
    assert outcome(rejected) == "all_rejected"
    assert outcome(duplicate) == "all_rejected"
    # Lines that wait for their orders are nobody's fault, and will count.
    assert outcome(only_held) == "partly_accepted"
