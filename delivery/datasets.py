"""The three datasets: their columns and types, and the reasons for unreadable values.

The reasons here are the reader's: the value cannot be read. Rules about values that can be read
(ranges, vocabulary, references) are the suites in :mod:`delivery.rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contract.keys import DatasetName


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its type in DuckDB and its meaning.

    An empty value of a ``required`` column is unreadable.

    A ``key`` names an order, a customer, a product or a category; an ``is_id`` one comes from
    the shop's own numbering.

    The rest is from :mod:`delivery.mapping`. ``names`` are the column's names in a file, in lower
    case, of which the first that is present counts; by default ``name``. A ``constant`` is the
    value of every row, and a column ``from_lines`` is NULL until the KPIs are computed, or for
    ever: then no column of the file is read. ``words`` maps a file's values, in lower case, to
    values.
    """

    name: str
    sql_type: str
    meaning: str
    required: bool = True
    key: bool = False
    names: tuple[str, ...] = ()
    constant: str | None = None
    from_lines: bool = False
    words: tuple[tuple[str, str], ...] = ()

    @property
    def is_delivered(self) -> bool:
        return self.constant is None and not self.from_lines

    def find(self, header: Sequence[str]) -> str | None:
        """Return the name under which a header, in lower case, has the column."""
        if not self.is_delivered:
            return None
        return next((name for name in self.names or (self.name,) if name in header), None)

    @property
    def is_number(self) -> bool:
        return self.sql_type == "BIGINT" or self.sql_type.startswith("DECIMAL")

    @property
    def is_id(self) -> bool:
        return self.key and self.name.endswith("_id")

    @property
    def missing(self) -> str:
        return f"missing_{self.name}"

    @property
    def bad(self) -> str:
        return f"bad_{self.name}"

    @property
    def mangled(self) -> str:
        return f"mangled_{self.name}"


@dataclass(frozen=True, slots=True)
class Dataset:
    name: DatasetName
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def columns_in(self, header: Sequence[str]) -> list[str]:
        """Return the dataset's name of each column of a header, "" for one that is not needed."""
        names = {column.find(header): column.name for column in self.columns}
        return [names.get(name, "") for name in header]


ORDERS: Final = Dataset(
    "orders",
    (
        Column(
            "order_id", "VARCHAR", "names the order; of several rows the latest counts", key=True
        ),
        # An order without a customer counts, except in unique_customers.
        Column("user_id", "VARCHAR", "the customer", required=False, key=True),
        Column("order_date", "DATE", "the date on which the order counts"),
        Column("total_amount", "DECIMAL(18,2)", "what the customer pays for the order"),
        Column("status", "VARCHAR", "completed, returned, cancelled or other"),
    ),
)
ORDER_ITEMS: Final = Dataset(
    "order_items",
    (
        Column("order_id", "VARCHAR", "the order that the line belongs to", key=True),
        Column("product_id", "VARCHAR", "the product that is ordered", key=True),
        Column("quantity", "BIGINT", "pieces"),
        Column("unit_price", "DECIMAL(18,4)", "the price of one piece"),
    ),
)
PRODUCTS: Final = Dataset(
    "products",
    (
        Column(
            "product_id",
            "VARCHAR",
            "names the product; of several rows the latest counts",
            key=True,
        ),
        Column(
            "category", "VARCHAR", "the category whose KPIs the product's lines count in", key=True
        ),
        Column("name", "VARCHAR", "for people; no KPI uses it", required=False),
        Column("price", "DECIMAL(18,2)", "the list price; no KPI uses it"),
    ),
)
DATASETS: Final = {dataset.name: dataset for dataset in (ORDERS, ORDER_ITEMS, PRODUCTS)}

# Reasons for which a whole file is rejected.
EMPTY_FILE: Final = "empty_file"
NOT_CSV: Final = "not_csv"
NOT_UTF8: Final = "not_utf8"
DAMAGED_GZIP: Final = "damaged_gzip"
MISSING_COLUMN: Final = "missing_column"
DUPLICATE_COLUMN: Final = "duplicate_column"
# Not an error: the same bytes were delivered twice, and count once.
DUPLICATE_FILE: Final = "duplicate_file"

# Reasons for which a row cannot be split into columns.
WRONG_FIELD_COUNT: Final = "wrong_field_count"
MALFORMED_QUOTING: Final = "malformed_quoting"
INVALID_ENCODING: Final = "invalid_encoding"
ROW_TOO_LONG: Final = "row_too_long"
STRAY_QUOTE: Final = "stray_quote"
MAX_ROW_BYTES: Final = 1024 * 1024
