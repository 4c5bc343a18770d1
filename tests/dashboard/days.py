"""Days as a run publishes them: their items, with believable ups and downs."""

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spark_jobs.publish.tables import Day, Stamp

START = date(2023, 3, 1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CENT = Decimal("0.01")
NAMES = ("Electronics", "Home & Kitchen", "Beauty", "Garden", "Toys", "Sports", "Books <b>")


def stamp(version: int = 1, run_id: str | None = None) -> Stamp:
    return Stamp(run_id=run_id or f"run-{version}", ledger_version=version, computed_at=NOW)


def some_days(count: int, categories: int, *, start: date = START, version: int = 1) -> list[Day]:
    """Make that many days; a small category has no order on some of them."""
    chance = random.Random(count * 1000 + categories)  # noqa: S311  # sample data
    names = [NAMES[n] if n < len(NAMES) else f"Category {n:03}" for n in range(categories)]
    days = []
    for n in range(count):
        day = start + timedelta(days=n)
        busy = (1.4 if day.weekday() >= 5 else 1) * (1 + n / 1500) * chance.uniform(0.85, 1.15)
        items = []
        for size, name in enumerate(names, start=1):
            orders = int(busy * chance.uniform(40, 120) / size**0.7)
            if orders:
                revenue = Decimal(chance.randrange(100_000, 900_000) * orders) / 10_000
                items.append(category_item(name, day, revenue, orders, orders // 14, version))
        orders = max(sum(item["order_count"] for item in items) // 2, 1)
        total = sum((item["daily_revenue"] for item in items), Decimal(0))
        days.append(whole_day(day, items, total, orders, version))
    return days


def stamped(days: Iterable[Day], version: int) -> list[Day]:
    """Return these days as the run of another version publishes them."""
    new = stamp(version).attributes()
    return [
        replace(
            day,
            order_item=day.order_item and {**day.order_item, **new},
            category_items=[{**item, **new} for item in day.category_items],
        )
        for day in days
    ]


def category_item(
    name: str, day: date, revenue: Decimal, orders: int, returned: int, version: int = 1
) -> dict[str, Any]:
    """Make an item whose average is that of the revenue before it was rounded, as the tables'."""
    return {
        "category": name,
        "order_date": day.isoformat(),
        "daily_revenue": revenue.quantize(CENT, ROUND_HALF_UP),
        "avg_order_value": (revenue / orders).quantize(CENT, ROUND_HALF_UP),
        "avg_return_rate": (Decimal(100 * returned) / orders).quantize(CENT, ROUND_HALF_UP),
        "order_count": orders,
        "returned_orders": returned,
        **stamp(version).attributes(),
    }


def whole_day(
    day: date, items: list[dict[str, Any]], revenue: Decimal, orders: int, version: int = 1
) -> Day:
    returned = orders // 13
    return Day(
        order_date=day.isoformat(),
        order_item={
            "order_date": day.isoformat(),
            "total_orders": orders,
            "total_revenue": revenue,
            "total_items_sold": orders * 3,
            "return_rate": (Decimal(100 * returned) / orders).quantize(CENT, ROUND_HALF_UP),
            "unique_customers": orders - orders // 9,
            "order_count": orders,
            "returned_orders": returned,
            "net_revenue": (revenue * 9 / 10).quantize(CENT, ROUND_HALF_UP),
            "categories": {item["category"] for item in items},
            **stamp(version).attributes(),
        },
        category_items=items,
    )
