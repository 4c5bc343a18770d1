"""The kept figures: exactly the values of the items, as dates come and go."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from contract.verdict import FileStatus, FileVerdict, Totals, Verdict
from dashboard.figures import (
    CATEGORIES,
    DAILY,
    KEPT_DAYS,
    KEPT_RUNS,
    DayFigures,
    Figures,
    FiguresError,
    RunFigures,
    View,
    packed,
)
from tests.dashboard.days import START, category_item, some_days, whole_day

EMPTY = Figures(
    ledger="ledger/main", ledger_version=1, run_id="run-1", computed_at="2026-03-01T12:00:00+00:00"
)


def figures_of(*days) -> Figures:
    return EMPTY.with_days({day.order_date: DayFigures.of(day) for day in days})


def verdict(run_id: str, created_at: str = "2026-03-01T12:00:00+00:00") -> Verdict:
    return Verdict(
        run_id=run_id,
        outcome="partly_accepted",
        created_at=datetime.fromisoformat(created_at),
        totals=Totals(
            files=3, rejected_files=1, rows=30, accepted_rows=20, quarantined_rows=3, held_rows=7
        ),
        files=(
            file_verdict("a.csv", "rejected", reason="missing_column", detail="no x"),
            file_verdict("b.csv", "accepted", reasons={"bad_quantity": 2, "unknown_order": 4}),
            file_verdict("c.csv", "accepted", reasons={"bad_quantity": 1, "unknown_order": 3}),
        ),
        warnings=(),
        accepted={},
        held={},
        quarantined_rows=f"quarantine/{run_id}/rows.csv",
        data_docs=None,
    )


def file_verdict(
    name: str,
    status: FileStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    reasons: Mapping[str, int] | None = None,
) -> FileVerdict:
    return FileVerdict(
        key=f"incoming/{name}",
        name=name,
        sha256=None,
        dataset="orders",
        status=status,
        reason=reason,
        detail=detail,
        rows=10,
        accepted_rows=0,
        quarantined_rows=0,
        held_rows=0,
        reasons=reasons or {},
    )


def names(view: View) -> list[str]:
    return [column.name for column in view.kept]


def test_kept_figures_are_the_items_to_the_cent() -> None:
    days = some_days(30, 7)
    figures = Figures.from_bytes(figures_of(*days).to_bytes())
    assert list(figures.days) == [day.order_date for day in days]
    for day in days:
        kept = figures.days[day.order_date]
        assert day.order_item is not None
        daily = dict(zip(names(DAILY), kept.daily, strict=True))
        assert Decimal(daily.pop("total_revenue")) / 100 == day.order_item["total_revenue"]
        assert Decimal(daily.pop("net_revenue")) / 100 == day.order_item["net_revenue"]
        assert daily == {name: day.order_item[name] for name in daily}
        assert set(kept.categories) == day.order_item["categories"]
        for item in day.category_items:
            values = dict(zip(names(CATEGORIES), kept.categories[item["category"]], strict=True))
            assert Decimal(values["daily_revenue"]) / 100 == item["daily_revenue"]
            assert Decimal(values["avg_order_value"]) / 100 == item["avg_order_value"]
            assert values["order_count"] == item["order_count"]
            assert values["returned_orders"] == item["returned_orders"]


def test_the_largest_amount_a_table_can_hold_is_kept_exactly() -> None:
    largest = Decimal("99999999999999999999999999.99")
    item = category_item("Books", START, Decimal(1), 1, 0) | {"daily_revenue": largest}
    day = whole_day(START, [item], Decimal(1), 1)
    assert day.order_item is not None
    day = replace(day, order_item={**day.order_item, "total_revenue": largest})
    kept = Figures.from_bytes(figures_of(day).to_bytes()).days[day.order_date]
    assert kept.daily[0] == kept.categories["Books"][0] == 9_999_999_999_999_999_999_999_999_999


def test_an_item_without_a_column_that_was_added_later_has_no_value_of_it() -> None:
    [day] = some_days(1, 2)
    assert day.order_item is not None
    older = {name: day.order_item[name] for name in day.order_item if name != "total_items_sold"}
    figures = figures_of(replace(day, order_item=older))
    kept = Figures.from_bytes(figures.to_bytes()).days[day.order_date]
    values = dict(zip(names(DAILY), kept.daily, strict=True))
    assert values.pop("total_items_sold") is None
    assert None not in values.values()


def test_money_with_a_third_place_is_refused() -> None:
    item = category_item("Books", START, Decimal(1), 1, 0) | {"daily_revenue": Decimal("0.001")}
    with pytest.raises(FiguresError, match=r"0\.001"):
        DayFigures.of(whole_day(START, [item], Decimal(1), 1))


def test_a_date_takes_its_place_whenever_it_comes_and_leaves_when_it_has_no_orders() -> None:
    first, second, third = some_days(3, 2)
    figures = figures_of(third, first)
    figures = figures.with_days({second.order_date: DayFigures.of(second)})
    assert list(figures.days) == [first.order_date, second.order_date, third.order_date]
    figures = figures.with_days({first.order_date: None, "2020-01-01": None})
    assert list(figures.days) == [second.order_date, third.order_date]
    assert Figures.from_bytes(figures.to_bytes()) == figures


def test_a_category_that_a_date_has_no_more_is_gone_from_it() -> None:
    [day] = some_days(1, 2)
    figures = figures_of(day, replace(day, category_items=day.category_items[:1]))
    assert list(figures.days[day.order_date].categories) == ["Electronics"]


def test_three_years_are_kept_and_sixty_runs() -> None:
    figures = figures_of(*some_days(KEPT_DAYS + 5, 1))
    assert len(figures.days) == KEPT_DAYS
    assert next(iter(figures.days)) == (START + timedelta(days=5)).isoformat()
    assert date.fromisoformat(max(figures.days)) - date.fromisoformat(min(figures.days)) > (
        timedelta(days=3 * 366)
    )
    runs = [
        RunFigures.of(
            verdict(f"run-{n:03}", f"2026-01-01T00:{n:02}:00+00:00"), task="process", dates=1
        )
        for n in range(59)
    ]
    figures = figures.with_runs(runs).with_runs([replace(runs[0], at="2026-01-02"), *runs[1:]])
    assert len(figures.runs) == 59
    figures = figures.with_runs([replace(run, run_id=f"x{run.run_id}") for run in runs[:9]])
    assert len(figures.runs) == KEPT_RUNS
    assert figures.runs[-1].run_id == "run-000"


def test_a_run_has_its_rows_its_reasons_and_its_rejected_files() -> None:
    assert RunFigures.of(verdict("r1"), task="process", dates=4) == RunFigures(
        run_id="r1",
        task="process",
        at="2026-03-01T12:00:00+00:00",
        outcome="partly_accepted",
        files=3,
        rejected_files=1,
        rejected=[{"name": "a.csv", "reason": "missing_column", "detail": "no x"}],
        rows={"accepted": 20, "quarantined": 3, "held": 7},
        reasons={"unknown_order": 7, "bad_quantity": 3},
        quarantined_rows="quarantine/r1/rows.csv",
        dates=4,
    )


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no gzip",
        figures_of(*some_days(3, 2)).to_bytes()[:-20],
        packed({"format": 2}),
        packed({"format": 1}),
        packed(EMPTY.document() | {"dates": ["2026-01-01"]}),
        packed({"format": 1, "runs": 3} | EMPTY.document() | {"runs": [{"name": "x"}]}),
    ],
)
def test_damaged_figures_are_refused(damaged: bytes) -> None:
    with pytest.raises(FiguresError):
        Figures.from_bytes(damaged)
