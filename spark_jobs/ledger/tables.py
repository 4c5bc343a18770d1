"""The ledger: every accepted row that ever arrived, as Delta tables in a folder or in S3.

    commits      one row per commit, with the version of each other table that belongs to it
    files        one row per file version that was committed; the key of a content is its hash
    orders       every row of every orders file, in the partition of its order's latest date
    order_lines  every line, in the partition of its order's date; null while a parent is missing
    products     every row of every products file

Rows are only ever added, so that what counts can be decided from all of them, in whichever order
they came (:mod:`.merge`). All rows of an order are in one partition: a date is read from that
partition alone, however large the ledger is. A commit rewrites the partitions that
it changes, so that each stays one file.

A commit writes four tables, then ``commits``. Only that last write makes it true: readers read the
versions that a row of ``commits`` pins. The next run undoes what a run that died before its last
write has left (Delta's RESTORE). Of two runs that write at once one fails with
LedgerConflictError: every write must be the next version of its table.

:mod:`.delta_tables` reads and writes one table in a :class:`delivery.storage.Storage`,
:mod:`.snapshot` is one version of the ledger, and :mod:`.ledger` reads and adds versions.
"""

from collections.abc import Mapping
from typing import Final, Literal

import pyarrow as pa

TableName = Literal["files", "orders", "order_lines", "products"]

_ORIGIN: Final = [("file", pa.string()), ("line", pa.int64())]
SCHEMAS: Final[Mapping[TableName, pa.Schema]] = {
    "files": pa.schema(
        [
            ("sha256", pa.string()),
            ("dataset", pa.string()),
            ("name", pa.string()),
            ("landed_at", pa.timestamp("us", "UTC")),
            ("size", pa.int64()),
            ("run_id", pa.string()),
        ]
    ),
    "orders": pa.schema(
        [
            ("order_id", pa.string()),
            ("user_id", pa.string()),
            # The date in this row; the partition is the order's date by its latest row.
            ("stated_date", pa.date32()),
            ("total_amount", pa.decimal128(18, 2)),
            ("status", pa.string()),
            *_ORIGIN,
            ("order_date", pa.date32()),
        ]
    ),
    "order_lines": pa.schema(
        [
            ("order_id", pa.string()),
            ("product_id", pa.string()),
            ("quantity", pa.int64()),
            ("unit_price", pa.decimal128(18, 4)),
            *_ORIGIN,
            ("order_date", pa.date32()),
            # Tells identical lines of an order apart, where a mapping names such a column.
            ("line_id", pa.string()),
        ]
    ),
    "products": pa.schema(
        [
            ("product_id", pa.string()),
            ("category", pa.string()),
            ("name", pa.string()),
            ("price", pa.decimal128(18, 2)),
            *_ORIGIN,
        ]
    ),
}
TABLES: Final = tuple(SCHEMAS)


def is_partitioned(table: TableName) -> bool:
    return "order_date" in SCHEMAS[table].names
