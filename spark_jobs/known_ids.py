"""Lists the ids that the ledger has, so that the validator knows what earlier runs accepted.

The list is written once the ledger is the one in use, and an older version never replaces a newer
one. A run that dies before it has written the list writes it when it is tried again.
"""

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from contract.keys import KNOWN_IDS, KNOWN_PRODUCTS
from contract.known_ids import KnownIds, OrderFile
from contract.typed_json import DocumentError

from .ledger.delta_tables import key_of
from .ledger.snapshot import Snapshot

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5
_REFUSED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


def write(head: Snapshot, ledger: str, s3: "S3Client", bucket: str, scratch: Path) -> None:
    """Write the list of a ledger's ids, unless there is one of a newer version."""
    for _ in range(_ATTEMPTS):
        version, condition = _current(s3, bucket)
        if version > head.version:
            log.info("known ids not written: there are those of a newer ledger version")
            return
        products = _write_products(head, scratch)
        if products is not None:
            s3.upload_file(str(products), bucket, KNOWN_PRODUCTS)
        known = KnownIds(
            ledger=ledger,
            ledger_version=head.version,
            products=None if products is None else KNOWN_PRODUCTS,
            orders=_order_files(head, ledger),
        )
        if _put(known, s3, bucket, condition):
            return
    log.warning("known ids not written: other runs write them at the same time")


def _current(s3: "S3Client", bucket: str) -> tuple[int, dict[str, Any]]:
    """Return the version of the list, 0 without one, and the condition to replace it under."""
    try:
        found = s3.get_object(Bucket=bucket, Key=KNOWN_IDS)
    except s3.exceptions.NoSuchKey:
        return 0, {"IfNoneMatch": "*"}
    condition = {"IfMatch": found["ETag"]}
    try:
        return KnownIds.from_json(found["Body"].read()).ledger_version, condition
    except DocumentError as error:
        log.warning("%s: %s; it is written again", KNOWN_IDS, error)
        return 0, condition


def _put(known: KnownIds, s3: "S3Client", bucket: str, condition: dict[str, Any]) -> bool:
    try:
        s3.put_object(
            Bucket=bucket,
            Key=KNOWN_IDS,
            Body=known.to_json().encode(),
            ContentType="application/json",
            **condition,
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _REFUSED:
            return False
        raise
    return True


def _write_products(head: Snapshot, scratch: Path) -> Path | None:
    """Write the ids of all products to a Parquet file; return None if there are none."""
    paths = [str(path) for path in head.fetch("products", head.files("products"))]
    if not paths:
        return None
    target = scratch / "known_products.parquet"
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        ids = connection.sql(
            "SELECT DISTINCT product_id FROM read_parquet($paths) ORDER BY product_id",
            params={"paths": paths},
        )
        pq.write_table(ids.to_arrow_table(), target, compression="zstd")
    return target


def _order_files(head: Snapshot, ledger: str) -> tuple[OrderFile, ...]:
    """Return the files of the orders, of the latest date first: most lines are of late orders."""
    files = sorted(head.files("orders"), key=lambda file: file.order_date or date.min, reverse=True)
    return tuple(
        OrderFile(
            key=f"{ledger}/{key_of('orders', file)}",
            size=file.size,
            first_id=file.first_id,
            last_id=file.last_id,
        )
        for file in files
    )
