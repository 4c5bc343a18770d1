"""Which ids earlier runs accepted: a delivery's lines may refer to orders and products of before.

Product ids are one small file. Order ids are looked up only where the delivery does not have the
order itself, in the ledger's files whose ranges of ids leave room for one, up to a number of bytes.
Beyond it the ledger decides when it takes the rows: such a line is not held back here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import duckdb

from contract.keys import KNOWN_IDS
from contract.known_ids import KnownIds, OrderFile
from contract.manifest import Manifest
from contract.typed_json import DocumentError
from delivery.storage import Storage, open_storage

log = logging.getLogger(__name__)

# A million orders are about 25 MB in the ledger.
MAX_BYTES: Final = 64 * 1024**2

_TABLES: Final = """
    CREATE TABLE known_orders (order_id VARCHAR);
    CREATE TABLE known_products (product_id VARCHAR);
    CREATE TABLE unchecked_orders (order_id VARCHAR);
    """
# Orders that lines name and the delivery lacks; and orders without lines here, which may have been
# delivered before.
_WANTED: Final = """
    CREATE TEMP TABLE wanted_orders AS
        SELECT DISTINCT order_id FROM order_items ANTI JOIN valid_orders USING (order_id)
        WHERE order_id IS NOT NULL
        UNION SELECT order_id FROM valid_orders ANTI JOIN order_items USING (order_id)
    """
_RANGES: Final = """
    CREATE TEMP TABLE order_files AS
        SELECT unnest($numbers) AS number, unnest($first) AS first_id, unnest($last) AS last_id
    """
# The nearest wanted id above the smallest id of a file is in its range, or none is.
_POSSIBLE: Final = """
    SELECT number FROM order_files WHERE first_id IS NULL OR last_id IS NULL
    UNION
    SELECT number FROM order_files ASOF JOIN wanted_orders ON first_id <= order_id
    WHERE order_id <= last_id
    """
# One range for all files that are not read: the ids may be millions, and the files thousands.
_UNCHECKED: Final = """
    INSERT INTO unchecked_orders
        SELECT order_id FROM wanted_orders ANTI JOIN known_orders USING (order_id)
        WHERE order_id >= coalesce($first, '') AND ($last IS NULL OR order_id <= $last)
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBefore:
    """The list of known ids, and the storage of the files that it names."""

    storage: Storage
    ids: KnownIds
    max_bytes: int = MAX_BYTES

    @classmethod
    def of_run(cls, manifest: Manifest, scratch: Path) -> Self | None:
        """Return what the ledger of the run's bucket has; None without a ledger.

        A rebuild reads everything again, so that nothing was accepted before.
        """
        if manifest.task == "rebuild":
            return None
        storage = open_storage(f"s3://{manifest.bucket}", scratch)
        text = storage.get(KNOWN_IDS)
        if text is None:
            return None
        try:
            return cls(storage=storage, ids=KnownIds.from_json(text))
        except DocumentError as error:
            log.warning("%s is not used, the next transform writes it: %s", KNOWN_IDS, error)
            return None

    @classmethod
    def of_folder(cls, uri: str, scratch: Path) -> Self:
        """Return the ids of orders.parquet and products.parquet in a folder or under a prefix."""
        storage = open_storage(uri, scratch)
        there = {
            name for name in ("orders", "products") if storage.get(f"{name}.parquet") is not None
        }
        orders = OrderFile(key="orders.parquet", size=0, first_id=None, last_id=None)
        ids = KnownIds(
            ledger=uri,
            ledger_version=0,
            products="products.parquet" if "products" in there else None,
            orders=(orders,) if "orders" in there else (),
        )
        return cls(storage=storage, ids=ids)


def look_up(connection: duckdb.DuckDBPyConnection, known: KnownBefore | None) -> None:
    """Fill ``known_orders``, ``known_products`` and ``unchecked_orders``, see check_tables.

    Takes the tables of the reader, and ``valid_orders``.
    """
    connection.execute(_TABLES)
    if known is None:
        return
    if known.ids.products and (paths := _fetch(known.storage, [known.ids.products])):
        connection.execute(
            "INSERT INTO known_products SELECT DISTINCT product_id FROM read_parquet($paths)"
            " SEMI JOIN order_items USING (product_id)",
            {"paths": paths},
        )
    if not known.ids.orders:
        return
    connection.execute(_WANTED)
    read, unread = _chosen(_possible_files(connection, known.ids.orders), known.max_bytes)
    paths = _fetch(known.storage, [file.key for file in read])
    if paths is None:
        read, unread, paths = [], [*read, *unread], []
    if paths:
        connection.execute(
            "INSERT INTO known_orders SELECT DISTINCT order_id"
            " FROM read_parquet($paths, hive_partitioning = false)"
            " SEMI JOIN wanted_orders USING (order_id)",
            {"paths": paths},
        )
    if unread:
        _leave_to_the_ledger(connection, unread)
    log.info(
        "looked up order ids in %(files)d files of the ledger",
        {"files": len(read), "bytes": sum(file.size for file in read), "left_out": len(unread)},
    )


def _possible_files(
    connection: duckdb.DuckDBPyConnection, files: Sequence[OrderFile]
) -> list[OrderFile]:
    """Return the files that may have a wanted order, in their order."""
    connection.execute(
        _RANGES,
        {
            "numbers": list(range(len(files))),
            "first": [file.first_id for file in files],
            "last": [file.last_id for file in files],
        },
    )
    numbers = connection.execute(f"{_POSSIBLE} ORDER BY number").fetchall()
    return [files[number] for (number,) in numbers]


def _chosen(files: Sequence[OrderFile], max_bytes: int) -> tuple[list[OrderFile], list[OrderFile]]:
    """Split files into those to read, of at most so many bytes together, and the rest."""
    read: list[OrderFile] = []
    unread: list[OrderFile] = []
    size = 0
    for file in files:
        if size + file.size <= max_bytes:
            size += file.size
            read.append(file)
        else:
            unread.append(file)
    return read, unread


def _leave_to_the_ledger(
    connection: duckdb.DuckDBPyConnection, unread: Sequence[OrderFile]
) -> None:
    firsts = [file.first_id for file in unread if file.first_id is not None]
    lasts = [file.last_id for file in unread if file.last_id is not None]
    connection.execute(
        _UNCHECKED,
        {
            "first": min(firsts) if len(firsts) == len(unread) else None,
            "last": max(lasts) if len(lasts) == len(unread) else None,
        },
    )
    connection.execute("INSERT INTO known_orders FROM unchecked_orders")


def _fetch(storage: Storage, keys: Sequence[str]) -> list[str] | None:
    """Return local paths of files; None if one of them has been deleted."""
    try:
        return [str(path) for path in storage.fetch(keys)]
    except FileNotFoundError as error:
        log.warning("%s is missing: what it may have is left to the ledger", error)
        return None
