"""The three datasets: their columns and types, and the reasons for unreadable values.

The reasons here are the reader's: the value cannot be read. Rules about values that can be read
(ranges, vocabulary, references) are the suites in :mod:`delivery.rules`.
"""

from dataclasses import dataclass
from typing import Final

from contract.keys import DatasetName

STATUSES: Final = (
    "pending",
    "processing",
    "shipped",
    "delivered",
    "completed",
    "returned",
    "refunded",
    "cancelled",
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its type in DuckDB; an empty value of a ``required`` column is unreadable."""

    name: str
    sql_type: str
    required: bool = True

    @property
    def missing(self) -> str:
        return f"missing_{self.name}"

    @property
    def bad(self) -> str:
        return f"bad_{self.name}"


@dataclass(frozen=True, slots=True)
class Dataset:
    name: DatasetName
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


ORDERS: Final = Dataset(
    "orders",
    (
        Column("order_id", "VARCHAR"),
        # An order without a customer counts, except in unique_customers.
        Column("user_id", "VARCHAR", required=False),
        Column("order_date", "DATE"),
        Column("total_amount", "DECIMAL(18,2)"),
        Column("status", "VARCHAR"),
    ),
)
ORDER_ITEMS: Final = Dataset(
    "order_items",
    (
        Column("order_id", "VARCHAR"),
        Column("product_id", "VARCHAR"),
        Column("quantity", "BIGINT"),
        Column("unit_price", "DECIMAL(18,4)"),
    ),
)
PRODUCTS: Final = Dataset(
    "products",
    (
        Column("product_id", "VARCHAR"),
        Column("category", "VARCHAR"),
        Column("name", "VARCHAR", required=False),
        Column("price", "DECIMAL(18,2)"),
    ),
)
DATASETS: Final = {dataset.name: dataset for dataset in (ORDERS, ORDER_ITEMS, PRODUCTS)}

# Reasons for which a whole file is rejected.
EMPTY_FILE: Final = "empty_file"
NOT_CSV: Final = "not_csv"
NOT_UTF8: Final = "not_utf8"
MISSING_COLUMN: Final = "missing_column"
DUPLICATE_COLUMN: Final = "duplicate_column"
# Not an error: the same bytes were delivered twice, and count once.
DUPLICATE_FILE: Final = "duplicate_file"

# Reasons for which a row cannot be split into columns.
WRONG_FIELD_COUNT: Final = "wrong_field_count"
MALFORMED_QUOTING: Final = "malformed_quoting"
INVALID_ENCODING: Final = "invalid_encoding"
ROW_TOO_LONG: Final = "row_too_long"
MAX_ROW_BYTES: Final = 1024 * 1024
