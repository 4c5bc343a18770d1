"""Days judged by their own weekday: what is unusual, in which direction, and what never is."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalice_app.chalicelib.alerts.anomalies import (
    MAX_DATES,
    Anomaly,
    Day,
    compared,
    last_complete_day,
    missing,
    unreported,
    unusual,
    with_reported,
)

SUNDAY = date(2025, 3, 9)
USUAL = (200, 180, 240, 190, 205, 210, 200, 195)


def a_day(orders: int, *, value: str = "50", returned: str = "4") -> Day:
    return Day(
        orders=Decimal(orders), revenue=orders * Decimal(value), return_rate=Decimal(returned)
    )


def weeks_before(*days: Day | None) -> dict[date, Day]:
    """Return the Sundays before, the latest first; None is one without orders."""
    return {day: found for day, found in zip(compared(SUNDAY), days, strict=False) if found}


def judge(day: Day, history: dict[date, Day], min_history: int = 4) -> dict[str, str]:
    found = unusual([SUNDAY], {SUNDAY: day, **history}, min_history=min_history)
    return {anomaly.check: anomaly.sentence for anomaly in found}


CALM = weeks_before(*(a_day(orders) for orders in USUAL))


def test_a_day_with_far_fewer_orders_is_reported_with_the_days_it_is_compared_with() -> None:
    assert judge(a_day(12), CALM) == {
        "volume": "2025-03-09 (Sunday): 12 orders; the last 8 Sundays had 180 to 240, median 200."
    }


def test_more_orders_than_ever_are_no_warning() -> None:
    assert judge(a_day(100_000), CALM) == {}


def test_a_day_is_compared_with_its_own_weekday_only() -> None:
    others = {
        SUNDAY - timedelta(days=days): a_day(10_000) for days in range(1, 70) if days % 7 != 0
    }
    assert judge(a_day(190), CALM | others) == {}


def test_more_returns_are_unusual_and_fewer_are_not() -> None:
    assert judge(a_day(200, returned="31.50"), CALM) == {
        "return_rate": "2025-03-09 (Sunday): 31.50 % of the orders were returned; "
        "the last 8 Sundays had 4.00 %."
    }
    assert judge(a_day(200, returned="0"), CALM) == {}


@pytest.mark.parametrize(("value", "told"), [("9.90", "9.90"), ("3120", "3,120.00")])
def test_an_order_value_is_unusual_either_way(value: str, told: str) -> None:
    assert judge(a_day(200, value=value), CALM) == {
        "avg_order_value": f"2025-03-09 (Sunday): an order's average value was {told}; "
        "the last 8 Sundays had 50.00."
    }


def test_less_history_than_the_minimum_judges_nothing() -> None:
    short = weeks_before(None, a_day(200), None, a_day(190), None, a_day(210))
    assert judge(a_day(1), short) == {}
    assert judge(a_day(1), short, min_history=3) == {
        "volume": "2025-03-09 (Sunday): 1 order; "
        "3 of the last 8 Sundays had 190 to 210, median 200."
    }


def test_what_is_older_than_eight_weeks_counts_no_more() -> None:
    assert compared(SUNDAY) == [SUNDAY - timedelta(days=7 * n) for n in range(1, 9)]


def test_one_wild_week_moves_neither_the_median_nor_the_distance_allowed() -> None:
    wild = CALM | {compared(SUNDAY)[0]: a_day(1_000_000)}
    assert set(judge(a_day(12), wild)) == {"volume"}


def test_weeks_that_vary_much_allow_much() -> None:
    restless = weeks_before(*(a_day(n) for n in (50, 400, 120, 300, 80, 250, 200, 350)))
    assert judge(a_day(12), restless) == {}


@pytest.mark.parametrize(
    "day",
    [a_day(1, value="190", returned="100"), a_day(2, returned="50"), a_day(3, value="130")],
)
def test_a_single_order_or_return_of_a_small_shop_is_not_unusual(day: Day) -> None:
    small = weeks_before(*(a_day(n, returned="0") for n in (3, 4, 5, 3, 4, 6, 4, 3)))
    assert judge(day, small) == {}


def test_of_a_real_shops_month_only_the_day_that_its_export_cut_off_is_unusual(
    real_files: Path,
) -> None:
    with (real_files / "lab6/oracle/order_kpis.csv").open(newline="") as file:
        days = {
            date.fromisoformat(row["order_date"]): Day(
                orders=Decimal(row["total_orders"]),
                revenue=Decimal(row["total_revenue_orders"]),
                return_rate=100 * Decimal(row["returned_orders"]) / Decimal(row["total_orders"]),
            )
            for row in csv.DictReader(file)
        }
    assert [found.sentence for found in unusual(days, days, min_history=2)] == [
        "2025-04-07 (Monday): 1 order; 4 of the last 8 Mondays had 278 to 321, median 289.5."
    ]


HISTORY = st.lists(
    st.builds(
        Day,
        orders=st.integers(1, 5000).map(Decimal),
        revenue=st.integers(100, 10**8).map(lambda cents: Decimal(cents) / 100),
        return_rate=st.integers(0, 10_000).map(lambda rate: Decimal(rate) / 100),
    ),
    min_size=9,
    max_size=9,
)


@given(days=HISTORY, order=st.permutations(range(8)))
def test_the_order_of_the_weeks_before_does_not_matter(days: list[Day], order: list[int]) -> None:
    today, *history = days
    shuffled = weeks_before(*(history[n] for n in order))
    assert judge(today, shuffled) == judge(today, weeks_before(*history))


@given(days=HISTORY)
def test_a_day_like_its_median_week_is_never_unusual(days: list[Day]) -> None:
    """Nor is one that is exactly like each of the weeks before."""
    assert judge(days[0], weeks_before(*([days[0]] * 8))) == {}


@given(days=HISTORY, factor=st.sampled_from([Decimal(10), Decimal(1000)]))
def test_the_currency_that_orders_are_paid_in_does_not_matter(
    days: list[Day], factor: Decimal
) -> None:
    def exact(day: Day) -> Day:
        """Return a day whose average has no more than the two places that are kept."""
        return Day(
            orders=day.orders,
            revenue=day.avg_order_value * day.orders,
            return_rate=day.return_rate,
        )

    def paid(day: Day) -> Day:
        return Day(
            orders=day.orders, revenue=exact(day).revenue * factor, return_rate=day.return_rate
        )

    here = judge(exact(days[0]), weeks_before(*map(exact, days[1:])))
    there = judge(paid(days[0]), weeks_before(*map(paid, days[1:])))
    assert set(here) == set(there)


@given(days=HISTORY, fewer=st.integers(0, 4999))
def test_fewer_orders_are_never_less_unusual(days: list[Day], fewer: int) -> None:
    today, *history = days
    less = Day(
        orders=max(Decimal(1), today.orders - fewer),
        revenue=today.revenue,
        return_rate=today.return_rate,
    )
    if "volume" in judge(today, weeks_before(*history)):
        assert "volume" in judge(less, weeks_before(*history))


def late(days: dict[date, Day], min_history: int = 4) -> list[str]:
    by = datetime(2025, 3, 10, 6, tzinfo=UTC)
    return [found.sentence for found in missing(SUNDAY, days, by=by, min_history=min_history)]


def test_a_day_without_orders_is_late_when_its_weekday_always_had_some() -> None:
    assert late(CALM) == [
        "No orders of 2025-03-09 (Sunday) have arrived by 06:00 UTC; "
        "each of the last 8 Sundays had some, median 200."
    ]
    assert late(CALM | {SUNDAY: a_day(1)}) == []


def test_a_gap_in_the_weeks_before_ends_what_is_usual() -> None:
    gap = weeks_before(*[a_day(200)] * 4, None, *[a_day(900)] * 3)
    assert late(gap) == [
        "No orders of 2025-03-09 (Sunday) have arrived by 06:00 UTC; "
        "each of the last 4 Sundays had some, median 200."
    ]
    assert late(gap, min_history=5) == []
    closed = weeks_before(None, *[a_day(200)] * 7)
    assert late(closed) == []


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2025, 3, 10, 5, 59, tzinfo=UTC), date(2025, 3, 8)),
        (datetime(2025, 3, 10, 6, 0, tzinfo=UTC), date(2025, 3, 9)),
        (datetime(2025, 3, 10, 23, 59, tzinfo=UTC), date(2025, 3, 9)),
    ],
)
def test_a_day_is_complete_at_the_hour_of_the_next_one(now: datetime, day: date) -> None:
    assert last_complete_day(now, 6) == day


def anomaly(day: date, check: str = "volume") -> Anomaly:
    return Anomaly(day=day, check=check, sentence=f"{day} {check}")


def test_a_day_and_a_check_are_reported_once_and_a_retry_reports_the_same_again() -> None:
    low, returned = anomaly(SUNDAY), anomaly(SUNDAY, "return_rate")
    reported = with_reported({}, [low], "run-1")
    assert unreported([low, returned], reported, "run-2", silenced=()) == [returned]
    assert unreported([low, returned], reported, "run-1", silenced=()) == [low, returned]


@given(silenced=st.sets(st.sampled_from(["volume", "return_rate", "avg_order_value", "freshness"])))
def test_a_silenced_check_is_silent_and_no_other(silenced: set[str]) -> None:
    checks = ["volume", "return_rate", "avg_order_value", "freshness"]
    found = unreported([anomaly(SUNDAY, check) for check in checks], {}, "run", silenced=silenced)
    assert [one.check for one in found] == [check for check in checks if check not in silenced]


def test_reports_are_kept_for_the_newest_dates_only() -> None:
    days = [SUNDAY + timedelta(days=n) for n in range(MAX_DATES + 3)]
    reported = with_reported({}, map(anomaly, days), "run")
    assert list(reported) == [str(day) for day in days[3:]]
