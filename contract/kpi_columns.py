"""The columns of both KPI tables: the one definition of each KPI.

Everything that stores or shows a KPI reads its columns here: Spark's schemas, the items in
DynamoDB, the API and its document, the tables of the commands, and the dashboard. To add a KPI,
define its column, list it in its table, and compute it in ``spark_jobs/kpis.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal

# The unit of amounts of money.
MONEY: Final = "the shop's currency"

_CENT: Final = Decimal("0.01")


class ColumnType(Enum):
    """What a value is. Both decimal types have two places."""

    TEXT = "text"
    DATE = "date"
    TIME = "time"
    INTEGER = "integer"
    DECIMAL = "decimal"
    PERCENTAGE = "percentage"


@dataclass(frozen=True, slots=True)
class Quotient:
    """Over several dates: the sum of one column divided by the sum of another."""

    dividend: "KpiColumn"
    divisor: "KpiColumn"


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiColumn:
    """A column of a KPI table. ``label`` is its heading for people, ``meaning`` its definition.

    ``over_dates`` says how the values of several dates become one.
    """

    name: str
    type: ColumnType
    unit: str = ""
    label: str
    meaning: str
    over_dates: Literal["sum", "mean"] | Quotient = "sum"

    @property
    def is_decimal(self) -> bool:
        return self.type in (ColumnType.DECIMAL, ColumnType.PERCENTAGE)

    @property
    def is_number(self) -> bool:
        return self.is_decimal or self.type is ColumnType.INTEGER

    def value(self, stored: Any) -> Any:
        """Return a value read from DynamoDB as the type of this column: int, Decimal or str.

        DynamoDB returns every number as a Decimal without the zeros at its end.

        >>> TOTAL_REVENUE.value(Decimal("60")), TOTAL_ORDERS.value(Decimal("3"))
        (Decimal('60.00'), 3)
        """
        if self.type is ColumnType.INTEGER:
            return int(stored)
        return stored.quantize(_CENT) if self.is_decimal else stored


def readable(value: Any) -> str:
    """Return a KPI's value for people: numbers with commas between thousands.

    >>> readable(Decimal("1234.50")), readable(7), readable("Books")
    ('1,234.50', '7', 'Books')
    """
    return f"{value:,}" if isinstance(value, Decimal | int) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiTable:
    """A KPI table. ``details`` are the numbers behind the KPIs.

    ``repeated`` are details that repeat another column; tables for people leave them out.
    """

    name: str
    key: tuple[KpiColumn, ...]
    kpis: tuple[KpiColumn, ...]
    details: tuple[KpiColumn, ...]
    repeated: tuple[KpiColumn, ...] = field(default=())

    @property
    def columns(self) -> tuple[KpiColumn, ...]:
        """What the transform computes, in the order of its output."""
        return (*self.key, *self.kpis, *self.details)

    @property
    def shown(self) -> tuple[KpiColumn, ...]:
        """The numbers that tables for people have."""
        return tuple(c for c in (*self.kpis, *self.details) if c not in self.repeated)

    @property
    def attributes(self) -> tuple[KpiColumn, ...]:
        """What an item in DynamoDB has; an item of OrderKPIs also has CATEGORIES."""
        return (*self.columns, *STAMP)

    def values(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of an item from DynamoDB, each as the type of its column.

        An item of a run that did not know a column yet has no value of it.
        """
        return {c.name: c.value(item[c.name]) for c in self.attributes if c.name in item}


CATEGORY: Final = KpiColumn(
    name="category", type=ColumnType.TEXT, label="Category", meaning="a category of the products"
)
ORDER_DATE: Final = KpiColumn(
    name="order_date", type=ColumnType.DATE, label="Date", meaning="the date of the orders"
)

# Numbers behind the KPIs, of both tables.
ORDER_COUNT: Final = KpiColumn(
    name="order_count",
    type=ColumnType.INTEGER,
    unit="orders",
    label="Orders",
    meaning="distinct orders: all of the date, or those with a line in the category",
)
RETURNED_ORDERS: Final = KpiColumn(
    name="returned_orders",
    type=ColumnType.INTEGER,
    unit="orders",
    label="Returned",
    meaning="orders with status returned",
)
NET_REVENUE: Final = KpiColumn(
    name="net_revenue",
    type=ColumnType.DECIMAL,
    unit=MONEY,
    label="Net revenue",
    meaning="revenue without returned and cancelled orders",
)

DAILY_REVENUE: Final = KpiColumn(
    name="daily_revenue",
    type=ColumnType.DECIMAL,
    unit=MONEY,
    label="Revenue",
    meaning="Σ quantity × unit_price of the category's lines in that date's orders; "
    "every status counts",
)
AVG_ORDER_VALUE: Final = KpiColumn(
    name="avg_order_value",
    type=ColumnType.DECIMAL,
    unit=MONEY,
    label="Average order value",
    meaning="daily_revenue ÷ order_count",
    over_dates=Quotient(DAILY_REVENUE, ORDER_COUNT),
)
AVG_RETURN_RATE: Final = KpiColumn(
    name="avg_return_rate",
    type=ColumnType.PERCENTAGE,
    unit="%",
    label="Return rate",
    meaning="100 × returned_orders ÷ order_count",
    over_dates=Quotient(RETURNED_ORDERS, ORDER_COUNT),
)

TOTAL_ORDERS: Final = KpiColumn(
    name="total_orders",
    type=ColumnType.INTEGER,
    unit="orders",
    label="Orders",
    meaning="distinct orders, those without lines included",
)
TOTAL_REVENUE: Final = KpiColumn(
    name="total_revenue",
    type=ColumnType.DECIMAL,
    unit=MONEY,
    label="Revenue",
    meaning="Σ total_amount",
)
TOTAL_ITEMS_SOLD: Final = KpiColumn(
    name="total_items_sold",
    type=ColumnType.INTEGER,
    unit="items",
    label="Items sold",
    meaning="Σ quantity",
)
RETURN_RATE: Final = KpiColumn(
    name="return_rate",
    type=ColumnType.PERCENTAGE,
    unit="%",
    label="Return rate",
    meaning="100 × returned_orders ÷ total_orders",
    over_dates=Quotient(RETURNED_ORDERS, TOTAL_ORDERS),
)
UNIQUE_CUSTOMERS: Final = KpiColumn(
    name="unique_customers",
    type=ColumnType.INTEGER,
    unit="customers",
    label="Customers",
    meaning="distinct user_id; an empty one is no customer",
    # A customer of two dates is one customer, so that a sum would count them twice.
    over_dates="mean",
)

# Where an item comes from: every item of both tables has them.
RUN_ID: Final = KpiColumn(
    name="run_id", type=ColumnType.TEXT, label="Run", meaning="the run that computed the item"
)
LEDGER_VERSION: Final = KpiColumn(
    name="ledger_version",
    type=ColumnType.INTEGER,
    label="Ledger version",
    meaning="the version of the ledger that it was computed from",
)
COMPUTED_AT: Final = KpiColumn(
    name="computed_at",
    type=ColumnType.TIME,
    label="Computed",
    meaning="the time of the computation, in UTC",
)
STAMP: Final = (RUN_ID, LEDGER_VERSION, COMPUTED_AT)

# The set of a date's categories, an attribute of its OrderKPIs item: finds the date's other items.
CATEGORIES: Final = "categories"

CATEGORY_KPIS: Final = KpiTable(
    name="CategoryKPIs",
    key=(CATEGORY, ORDER_DATE),
    kpis=(DAILY_REVENUE, AVG_ORDER_VALUE, AVG_RETURN_RATE),
    details=(ORDER_COUNT, RETURNED_ORDERS, NET_REVENUE),
)
ORDER_KPIS: Final = KpiTable(
    name="OrderKPIs",
    key=(ORDER_DATE,),
    kpis=(TOTAL_ORDERS, TOTAL_REVENUE, TOTAL_ITEMS_SOLD, RETURN_RATE, UNIQUE_CUSTOMERS),
    details=(ORDER_COUNT, RETURNED_ORDERS, NET_REVENUE),
    # It repeats total_orders, so that both tables have the number under one name.
    repeated=(ORDER_COUNT,),
)
