"""The counts of a run's rows: those of the commit where there is one, else those of the verdict."""

from contract.row_counts import RowCounts
from tests.documents import file_verdict, published, verdict

LINES = file_verdict("order_items_1.csv", rows=10, reasons={"unknown_product": 3})


def test_without_a_commit_the_counts_are_those_of_the_verdict() -> None:
    rows = RowCounts.of(verdict(LINES), None)
    assert (rows.outcome, rows.accepted, rows.held) == ("partly_accepted", 7, 3)
    assert rows.held_back == {"product": 3}


def test_lines_that_the_ledger_took_are_accepted_although_the_verdict_held_them_back() -> None:
    rows = RowCounts.of(verdict(LINES), published(delivery_held_lines=0))
    assert (rows.outcome, rows.accepted, rows.held, rows.reasons) == ("accepted", 10, 0, {})


def test_lines_that_the_ledger_holds_back_are_held_although_the_verdict_accepted_them() -> None:
    lines = file_verdict("order_items_1.csv", rows=10)
    report = published(delivery_held_lines=2, delivery_held_reasons={"unknown_order": 2})
    rows = RowCounts.of(verdict(lines), report)
    assert (rows.outcome, rows.accepted, rows.held) == ("partly_accepted", 8, 2)
    assert rows.held_back == {"order": 2}


def test_a_report_of_an_earlier_release_says_nothing_about_the_rows() -> None:
    assert RowCounts.of(verdict(LINES), published()) == RowCounts.of(verdict(LINES), None)
