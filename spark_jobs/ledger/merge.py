"""What a delivery changes in the ledger, and which of the ledger's rows count.

The identity rules of :mod:`delivery.identity`, over everything that ever arrived. "Later" is
landing time, then name, then line. To them come two rules between file versions:

- The same bytes count once, as of their first landing.
- A later version of a file of the same name replaces the lines that it gave for an order.

Nothing here depends on the order in which runs happen: rows are never dropped from the ledger,
and what counts is decided from all rows of an order each time that a date is read.
"""

# ruff: noqa: S608 - names are literals of this package, paths are scratch files

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from contract.keys import DatasetName
from delivery import identity
from delivery.datasets import DATASETS

from .delta_tables import DataFile
from .ledger import Changes
from .snapshot import CommitSummary, Snapshot
from .tables import SCHEMAS, TableName

_TABLE_OF: Final[Mapping[DatasetName, TableName]] = {
    "orders": "orders",
    "order_items": "order_lines",
    "products": "products",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredFile:
    """One claimed file version that was not rejected; ``label`` is its name in the Parquet."""

    label: str
    name: str
    dataset: str
    sha256: str
    landed_at: datetime
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A run's files, and their rows by dataset: Parquet of accepted rows and of held lines."""

    run_id: str
    files: Sequence[DeliveredFile]
    rows: Mapping[str, Sequence[Path]]


def merge(base: Snapshot, delivery: Delivery, scratch: Path) -> Changes:
    """Decide what a delivery changes; ``scratch`` receives the rows to write."""
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        _take_files(connection, base, delivery)
        _take_rows(connection, base, delivery)
        connection.execute(_PRODUCTS_BEFORE_AND_AFTER)
        rewritten = _find_homes(connection, base)
        elsewhere = _dates_of_recategorised(connection, base)
        tables = _written(connection, rewritten, scratch)
        return Changes(
            rewritten=rewritten,
            dates=rewritten | elsewhere,
            summary=_summary(connection),
            tables=tables,
        )


def read(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    dates: Collection[date],
    changes: Changes | None = None,
) -> None:
    """Leave the rows of these order dates as :func:`delivery.identity.resolve` leaves them.

    ``changes`` that are not committed yet are seen on top of the snapshot.
    """
    rewritten = changes.rewritten if changes else frozenset[date]()
    overlay = changes.tables if changes else {}

    def load(name: str, table: TableName) -> None:
        if "order_date" in SCHEMAS[table].names:
            kept: set[date | None] = {day for day in dates if day not in rewritten}
            paths = snapshot.partitions(table, kept if table in overlay else kept | {None})
        else:
            paths = snapshot.fetch(table, snapshot.files(table))
        _load(connection, name, table, paths)
        if table in overlay:
            connection.execute(
                f"INSERT INTO {name} BY NAME FROM read_parquet(?)", [str(overlay[table])]
            )

    load("all_files", "files")
    connection.execute(_contents("contents", "all_files"))
    connection.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?::DATE[]) AS day", [[*dates]])
    load("order_rows", "orders")
    load("line_rows", "order_lines")
    load("product_rows", "products")
    connection.execute(_AS_DELIVERED)
    if _one(connection, _REPEATED_NAMES):
        connection.execute(_WITHOUT_REPLACED_LINES)
    identity.resolve(connection)


def _take_files(connection: duckdb.DuckDBPyConnection, base: Snapshot, delivery: Delivery) -> None:
    """Number all contents by their first landing, and tell which were never seen before."""
    _load(connection, "known_files", "files", base.fetch("files", base.files("files")))
    _load(connection, "delivered_files", "files", [], extra="label VARCHAR")
    connection.executemany(
        "INSERT INTO delivered_files BY NAME SELECT ? AS label, ? AS name, ? AS dataset,"
        " ? AS sha256, ?::TIMESTAMPTZ AS landed_at, ? AS size, ? AS run_id",
        [
            (f.label, f.name, f.dataset, f.sha256, f.landed_at, f.size, delivery.run_id)
            for f in delivery.files
        ],
    )
    connection.execute(_contents("known_contents", "known_files"))
    connection.execute(_NEW_FILES)
    connection.execute(_contents("contents", "all_files"))
    connection.execute(_DELIVERED)


def _take_rows(connection: duckdb.DuckDBPyConnection, base: Snapshot, delivery: Delivery) -> None:
    """Make ``delivered_<table>`` of rows that may change something, ``new_<table>`` of new ones."""
    for dataset, table in _TABLE_OF.items():
        columns = ", ".join(_columns(dataset))
        _load(connection, f"raw_{table}", table, [], extra="_file_name VARCHAR, _line BIGINT")
        for path in delivery.rows.get(dataset, ()):
            connection.execute(
                f"INSERT INTO raw_{table} BY NAME SELECT {columns}, _file_name, _line"
                " FROM read_parquet(?)",
                [str(path)],
            )
        connection.execute(f"""
            CREATE TEMP TABLE delivered_{table} AS
                SELECT raw.* EXCLUDE (file, line, _file_name, _line),
                       sha256 AS file, _line AS line, is_new
                FROM raw_{table} AS raw JOIN delivered
                  ON label = _file_name AND dataset = '{dataset}' AND (is_new OR is_earlier);
            CREATE TEMP VIEW new_{table} AS
                SELECT * EXCLUDE (is_new) FROM delivered_{table} WHERE is_new;
            """)
    _load(connection, "held", "order_lines", base.partitions("order_lines", [None]))
    products = base.fetch("products", base.files("products"))
    _load(connection, "known_products", "products", products)


def _find_homes(connection: duckdb.DuckDBPyConnection, base: Snapshot) -> frozenset[date]:
    """Load the partitions of all orders that a delivery concerns, with their dates before and now.

    Returns the dates of the partitions to be written anew.
    """
    connection.execute(_CONCERNED)
    ids = _all(connection, "FROM concerned ORDER BY order_id")
    candidates = [file for file in base.files("orders") if _may_hold(file, ids)]
    _load(
        connection,
        "candidates",
        "orders",
        base.fetch("orders", candidates),
        # Where ids do not grow with time, every file is a candidate.
        only="SEMI JOIN concerned USING (order_id)",
    )
    connection.execute(_HOMES_BEFORE)
    connection.execute(_HOMES)
    dates = frozenset(
        _all(connection, "SELECT order_date FROM homes UNION SELECT order_date FROM homes_before")
    )
    _load(connection, "order_rows", "orders", base.partitions("orders", dates))
    _load(connection, "line_rows", "order_lines", base.partitions("order_lines", dates))
    connection.execute(_CHANGED)
    return dates


def _may_hold(file: DataFile, ids: Sequence[str]) -> bool:
    """Tell from a file's smallest and largest id whether one of these sorted ids can be in it."""
    if file.first_id is None or file.last_id is None:
        return True
    at = bisect_left(ids, file.first_id)
    return at < len(ids) and ids[at] <= file.last_id


def _dates_of_recategorised(
    connection: duckdb.DuckDBPyConnection, base: Snapshot
) -> frozenset[date]:
    """Return all dates with a line of a product that is in another category than before.

    It happens seldom, and only then the product ids of the whole ledger are read.
    """
    if not _one(connection, "SELECT count(*) FROM recategorised"):
        return frozenset()
    lines = base.fetch("order_lines", base.files("order_lines"))
    if not lines:
        return frozenset()
    return frozenset(
        _all(
            connection,
            f"SELECT DISTINCT order_date FROM {_parquet('order_lines', lines)}"
            " WHERE product_id IN (FROM recategorised) AND order_date IS NOT NULL",
        )
    )


def _written(
    connection: duckdb.DuckDBPyConnection, rewritten: Collection[date], scratch: Path
) -> dict[TableName, Path]:
    connection.execute(
        "CREATE TEMP VIEW changed_files AS FROM new_files;"
        "CREATE TEMP VIEW changed_products AS FROM new_products"
    )
    counts = {table: _one(connection, f"SELECT count(*) FROM new_{table}") for table in SCHEMAS}
    wanted: dict[TableName, bool] = {
        "files": bool(counts["files"]),
        "orders": bool(rewritten),
        "order_lines": bool(rewritten or counts["order_lines"]),
        "products": bool(counts["products"]),
    }
    written: dict[TableName, Path] = {}
    for table in (table for table, write in wanted.items() if write):
        written[table] = scratch / f"changed_{table}.parquet"
        # By id, so that a file's row groups tell which ids they hold.
        order = "ORDER BY order_date, order_id" if "order_date" in SCHEMAS[table].names else ""
        connection.execute(
            f"COPY (SELECT {', '.join(SCHEMAS[table].names)} FROM changed_{table} {order})"
            f" TO '{written[table]}' (FORMAT parquet, COMPRESSION uncompressed)"
        )
    return written


def _summary(connection: duckdb.DuckDBPyConnection) -> CommitSummary:
    return CommitSummary(
        new_files=_one(connection, "SELECT count(*) FROM delivered WHERE is_new"),
        duplicate_files=tuple(
            _all(connection, "SELECT name FROM delivered WHERE is_duplicate ORDER BY name")
        ),
        known_from=tuple(_all(connection, _KNOWN_FROM)),
        new_rows={
            dataset: _one(connection, f"SELECT count(*) FROM new_{table}")
            for dataset, table in _TABLE_OF.items()
        },
        readmitted_lines=_one(connection, _READMITTED),
        held_lines=_one(
            connection, "SELECT count(*) FROM changed_order_lines WHERE order_date IS NULL"
        ),
    )


def _load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: TableName,
    paths: Iterable[Path],
    *,
    extra: str = "",
    only: str = "",
) -> None:
    """Create ``name`` with the columns of a ledger table and the rows of its Parquet files.

    A file that was written before a column came has NULL there.
    """
    empty = SCHEMAS[table].empty_table()
    connection.register(f"{name}_like", empty)
    connection.execute(f"CREATE TEMP TABLE {name} AS FROM {name}_like")
    connection.unregister(f"{name}_like")
    for column in filter(None, extra.split(", ")):
        connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")
    if found := list(paths):
        connection.execute(f"INSERT INTO {name} BY NAME FROM {_parquet(table, found)} {only}")


def _parquet(table: TableName, paths: Iterable[Path]) -> str:
    listed = ", ".join(f"'{path}'" for path in paths)
    partitioned = "order_date" in SCHEMAS[table].names
    hive = ", hive_partitioning = true, hive_types = {'order_date': DATE}" if partitioned else ""
    return f"read_parquet([{listed}], union_by_name = true{hive})"


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    [(value,)] = connection.execute(query).fetchall()
    return int(value)


def _all(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return [value for (value,) in connection.execute(query).fetchall()]


def _columns(dataset: DatasetName) -> list[str]:
    return [
        "order_date AS stated_date" if column == "order_date" else column
        for column in DATASETS[dataset].column_names
    ]


def _contents(name: str, files: str) -> str:
    """Return the SQL of a table of contents: of the same bytes the first landing, numbered."""
    return f"""
        CREATE TEMP TABLE {name} AS
            SELECT dataset, sha256 AS file, name, landed_at,
                   row_number() OVER (ORDER BY landed_at, name, sha256) AS _file
            FROM {files}
            QUALIFY row_number() OVER (PARTITION BY dataset, sha256 ORDER BY landed_at, name) = 1
        """


_NEW_FILES: Final = """
    CREATE TEMP TABLE new_files AS
        SELECT DISTINCT ON (dataset, sha256, name, landed_at) * EXCLUDE (label)
        FROM delivered_files ANTI JOIN known_files USING (dataset, sha256, name, landed_at);
    CREATE TEMP VIEW all_files AS FROM known_files UNION ALL FROM new_files;
    """
# is_earlier: the bytes are known, and now turn out to have landed before what was known.
_DELIVERED: Final = """
    CREATE TEMP TABLE delivered AS
        SELECT d.label, d.name, d.dataset, d.sha256,
               before.file IS NULL AND (now.name, now.landed_at) = (d.name, d.landed_at) AS is_new,
               before.file IS NOT NULL
                   AND (now.name, now.landed_at) <> (before.name, before.landed_at) AS is_earlier,
               NOT is_new AND EXISTS (
                   FROM new_files AS n WHERE (n.dataset, n.sha256, n.name, n.landed_at)
                       = (d.dataset, d.sha256, d.name, d.landed_at)) AS is_duplicate
        -- One name may have got the same bytes twice in one second, the step of S3's clock.
        FROM (SELECT DISTINCT ON (dataset, sha256, name, landed_at) *
              FROM delivered_files ORDER BY label) AS d
        JOIN contents AS now ON (now.dataset, now.file) = (d.dataset, d.sha256)
        LEFT JOIN known_contents AS before ON (before.dataset, before.file) = (d.dataset, d.sha256)
    """
_KNOWN_FROM: Final = """
    SELECT DISTINCT known.run_id FROM known_files AS known
    SEMI JOIN delivered_files USING (dataset, sha256, name, landed_at) ORDER BY ALL
    """
# A shop that sends all its products every day has millions of rows in a year: grouping takes a
# fifth of what a window over them does.
_PRODUCTS_BEFORE_AND_AFTER: Final = """
    CREATE TEMP TABLE products_before AS
        SELECT product_id, arg_max(category, (_file, line)) AS category
        FROM known_products AS p
        JOIN known_contents AS c ON (c.dataset, c.file) = ('products', p.file)
        GROUP BY product_id;
    CREATE TEMP TABLE products_after AS
        SELECT product_id, arg_max(category, (_file, line)) AS category
        FROM (FROM known_products UNION ALL BY NAME FROM new_products) AS p
        JOIN contents AS c ON (c.dataset, c.file) = ('products', p.file)
        GROUP BY product_id;
    CREATE TEMP TABLE recategorised AS
        SELECT product_id FROM products_before AS before JOIN products_after AS after
        USING (product_id) WHERE before.category <> after.category;
    """
_CONCERNED: Final = """
    CREATE TEMP TABLE concerned AS
        SELECT order_id FROM delivered_orders
        UNION SELECT order_id FROM delivered_order_lines
        UNION SELECT order_id FROM held WHERE product_id IN (SELECT product_id FROM new_products)
    """
_HOMES_BEFORE: Final = """
    CREATE TEMP TABLE homes_before AS
        SELECT DISTINCT order_id, order_date FROM candidates
    """
_HOMES: Final = """
    CREATE TEMP TABLE homes AS
        SELECT order_id, stated_date AS order_date
        FROM (SELECT order_id, stated_date, file, line
              FROM candidates
              UNION ALL SELECT order_id, stated_date, file, line FROM new_orders) AS o
        JOIN contents AS c ON (c.dataset, c.file) = ('orders', o.file)
        QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY _file DESC, line DESC) = 1
    """
_CHANGED: Final = """
    CREATE TEMP VIEW changed_orders AS
        SELECT o.* REPLACE (coalesce(homes.order_date, o.order_date) AS order_date)
        FROM (FROM order_rows UNION ALL BY NAME FROM new_orders) AS o
        LEFT JOIN homes USING (order_id);
    CREATE TEMP VIEW changed_order_lines AS
        SELECT l.* REPLACE (coalesce(homes.order_date, l.order_date) AS order_date)
        FROM line_rows AS l LEFT JOIN homes USING (order_id)
        UNION ALL BY NAME
        SELECT l.* REPLACE (
            CASE WHEN product_id IN (SELECT product_id FROM products_after)
                 THEN homes.order_date END AS order_date)
        FROM (FROM held UNION ALL BY NAME FROM new_order_lines) AS l
        LEFT JOIN homes USING (order_id);
    """
_READMITTED: Final = """
    SELECT count(*) FROM held JOIN homes USING (order_id)
    WHERE product_id IN (SELECT product_id FROM products_after)
    """
_AS_DELIVERED: Final = """
    CREATE TABLE orders AS
        SELECT order_id, user_id, stated_date AS order_date, total_amount, status,
               _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
        FROM order_rows AS r JOIN contents AS c ON (c.dataset, c.file) = ('orders', r.file)
        WHERE order_date IN (FROM wanted);
    CREATE TABLE order_items AS
        SELECT order_id, product_id, quantity, unit_price, c.name AS _name,
               _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
        FROM line_rows AS r JOIN contents AS c ON (c.dataset, c.file) = ('order_items', r.file)
        WHERE order_date IS NULL OR order_date IN (FROM wanted);
    CREATE TABLE products AS
        SELECT product_id, category, r.name, price,
               _file, line AS _line, 1 AS _lines, NULL::VARCHAR[] AS _unreadable
        FROM product_rows AS r JOIN contents AS c ON (c.dataset, c.file) = ('products', r.file)
        WHERE (product_id, (_file, line)) IN (
            SELECT (product_id, max((_file, line)))
            FROM product_rows AS r JOIN contents AS c ON (c.dataset, c.file) = ('products', r.file)
            GROUP BY product_id);
    """
_REPEATED_NAMES: Final = """
    SELECT count(*) FROM (SELECT name FROM contents WHERE dataset = 'order_items'
                          GROUP BY name HAVING count(*) > 1)
    """
_WITHOUT_REPLACED_LINES: Final = """
    CREATE OR REPLACE TABLE order_items AS
        FROM order_items
        QUALIFY _file = max(_file) OVER (PARTITION BY order_id, _name)
    """
