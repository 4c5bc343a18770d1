"""Computes the KPIs a second time, from the definitions, without code of the product.

``from_csv`` is DuckDB SQL over raw files that need no cleaning; ``from_rows`` is plain Python
with Decimal, identity rules included, for small cases; ``from_versions`` adds the rules between
file versions.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

Row = Mapping[str, str]
CENT = Decimal("0.01")


class Tables(NamedTuple):
    """Rows as sorted lists of dicts, with the columns of the KPI tables."""

    category: list[dict[str, object]]
    daily: list[dict[str, object]]


class Version(NamedTuple):
    """One version of a file, as it landed."""

    name: str
    landed_at: datetime
    rows: Sequence[Row]


def from_versions(versions: Sequence[Version]) -> Tables:
    """Compute from all file versions that landed, in any order of the argument."""
    counting: list[Version] = []
    current: dict[str, object] = {}
    owner: dict[object, str] = {}
    for version in sorted(versions, key=lambda v: (v.landed_at, v.name)):
        content = _dataset(version.name), tuple(tuple(row.items()) for row in version.rows)
        is_own = owner.setdefault(content, version.name) == version.name
        if is_own and current.get(version.name) != content:
            counting.append(version)
        current[version.name] = content
    latest: dict[tuple[str, str], int] = {}
    for number, version in enumerate(counting):
        for row in version.rows:
            latest[version.name, row.get("order_id", "")] = number
    return from_rows(
        {
            # The names sort by landing time.
            f"{_dataset(version.name)}{number:09}": [
                row
                for row in version.rows
                if _dataset(version.name) != "order_items"
                or latest[version.name, row["order_id"]] == number
            ]
            for number, version in enumerate(counting)
        }
    )


def _dataset(name: str) -> str:
    file = name.rsplit("/", 1)[-1]
    return next(d for d in ("order_items", "orders", "products") if file.startswith(d))


def from_rows(files: Mapping[str, Sequence[Row]]) -> Tables:
    """Compute from {file name: rows}; every value is readable text."""
    orders: dict[str, Row] = {}
    products: dict[str, Row] = {}
    copies: dict[tuple[str, str, int, Decimal], Counter[str]] = defaultdict(Counter)
    for name in sorted(files):
        for row in files[name]:
            if name.startswith("orders"):
                orders[row["order_id"]] = row
            elif name.startswith("products"):
                products[row["product_id"]] = row
            else:
                line = (
                    row["order_id"],
                    row["product_id"],
                    int(row["quantity"]),
                    Decimal(row["unit_price"]).quantize(Decimal("0.0001"), ROUND_HALF_UP),
                )
                copies[line][name] += 1
    lines = [
        line
        for line, counts in copies.items()
        for _ in range(max(counts.values()))
        if line[0] in orders and line[1] in products
    ]
    return Tables(_by_category(orders, products, lines), _by_day(orders, lines))


def _by_category(orders, products, lines):
    revenue: dict[tuple[str, date], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for order_id, product_id, quantity, price in lines:
        key = products[product_id]["category"].strip(), _day(orders[order_id])
        revenue[key][order_id] += quantity * price
    return [
        {
            "category": category,
            "order_date": day,
            "daily_revenue": _cents(sum(per_order.values())),
            "avg_order_value": _cents(sum(per_order.values()), len(per_order)),
            "avg_return_rate": _cents(100 * _returned(orders, per_order), len(per_order)),
            "order_count": len(per_order),
            "returned_orders": _returned(orders, per_order),
            "net_revenue": _cents(
                sum((r for o, r in per_order.items() if _is_net(orders[o])), Decimal())
            ),
        }
        for (category, day), per_order in sorted(revenue.items())
    ]


def _by_day(orders, lines):
    items: Counter[str] = Counter()
    for order_id, _, quantity, _ in lines:
        items[order_id] += quantity
    days: dict[date, list[str]] = defaultdict(list)
    for order_id, order in orders.items():
        days[_day(order)].append(order_id)
    return [
        {
            "order_date": day,
            "total_orders": len(ids),
            "total_revenue": sum(_total(orders[i]) for i in ids),
            "total_items_sold": sum(items[i] for i in ids),
            "return_rate": _cents(100 * _returned(orders, ids), len(ids)),
            "unique_customers": len({orders[i]["user_id"].strip() for i in ids} - {""}),
            "order_count": len(ids),
            "returned_orders": _returned(orders, ids),
            "net_revenue": sum((_total(orders[i]) for i in ids if _is_net(orders[i])), Decimal()),
        }
        for day, ids in sorted(days.items())
    ]


def _day(order: Row) -> date:
    return date.fromisoformat(order["order_date"].strip()[:10])


def _total(order: Row) -> Decimal:
    return Decimal(order["total_amount"]).quantize(CENT, ROUND_HALF_UP)


def _status(order: Row) -> str:
    status = order["status"].strip().lower()
    return "cancelled" if status == "canceled" else status


def _is_net(order: Row) -> bool:
    return _status(order) not in {"returned", "cancelled"}


def _returned(orders: Mapping[str, Row], ids) -> int:
    return sum(_status(orders[i]) == "returned" for i in ids)


def _cents(dividend: Decimal | int, divisor: int = 1) -> Decimal:
    """Divide and round half up once, in whole numbers: no intermediate rounding."""
    sign = -1 if dividend < 0 else 1
    numerator, denominator = Decimal(abs(dividend)).as_integer_ratio()
    hundredths = (2 * 100 * numerator + denominator * divisor) // (2 * denominator * divisor)
    return sign * Decimal(hundredths).scaleb(-2)


def from_csv(folder: Path) -> Tables:
    """Compute with SQL from files whose ids are unique and whose lines are in one file each."""
    with duckdb.connect() as db:
        for table in ("orders", "order_items", "products"):
            db.execute(
                f"CREATE VIEW {table}_raw AS SELECT * FROM read_csv("
                f"'{folder}/{table}*.csv', all_varchar=true, header=true, union_by_name=true,"
                " filename=true)"
            )
        db.execute("""
            CREATE TABLE o AS
            SELECT order_id, nullif(trim(user_id), '') AS user_id,
                   left(order_date, 10)::DATE AS order_date,
                   total_amount::DECIMAL(18,2) AS total_amount, lower(trim(status)) AS status
            FROM orders_raw
            QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY filename DESC) = 1
        """)
        db.execute("""
            CREATE TABLE l AS
            SELECT i.order_id, p.category, o.order_date, o.status, quantity::BIGINT AS quantity,
                   quantity::BIGINT * unit_price::DECIMAL(18,4) AS revenue
            FROM order_items_raw i JOIN o USING (order_id) JOIN products_raw p USING (product_id)
        """)
        category = db.execute("""
            SELECT category, order_date, sum(revenue), count(DISTINCT order_id),
                   count(DISTINCT order_id) FILTER (status = 'returned'),
                   coalesce(sum(revenue) FILTER (status NOT IN ('returned', 'cancelled')), 0)
            FROM l GROUP BY ALL ORDER BY ALL
        """).fetchall()
        daily = db.execute("""
            SELECT order_date, count(*), sum(total_amount), count(DISTINCT user_id),
                   count(*) FILTER (status = 'returned'),
                   coalesce(sum(total_amount) FILTER (status NOT IN ('returned', 'cancelled')), 0),
                   coalesce((SELECT sum(quantity) FROM l WHERE l.order_date = o.order_date), 0)
            FROM o GROUP BY order_date ORDER BY order_date
        """).fetchall()
    return Tables(
        [
            {
                "category": name,
                "order_date": day,
                "daily_revenue": _cents(revenue),
                "avg_order_value": _cents(revenue, orders),
                "avg_return_rate": _cents(100 * returned, orders),
                "order_count": orders,
                "returned_orders": returned,
                "net_revenue": _cents(net),
            }
            for name, day, revenue, orders, returned, net in category
        ],
        [
            {
                "order_date": day,
                "total_orders": orders,
                "total_revenue": revenue,
                "total_items_sold": items,
                "return_rate": _cents(100 * returned, orders),
                "unique_customers": customers,
                "order_count": orders,
                "returned_orders": returned,
                "net_revenue": _cents(net),
            }
            for day, orders, revenue, customers, returned, net, items in daily
        ],
    )
