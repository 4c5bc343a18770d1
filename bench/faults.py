"""A delivery for validators: the clean one, with a fault in every 40th row.

Only values are at fault, in files that any CSV reader reads, so that every library sees the
same rows. Each fault violates one rule; 2.5 % is under the share that rejects a whole file.
"""

import csv
import shutil
from pathlib import Path
from typing import Final

from .inputs import BUILD, delivery

EVERY: Final = 40
# An id has at most 64 characters.
_TOO_LONG: Final = "X" * 65
# Column and new value, taken in turn.
_FAULTS: Final = {
    "orders": (
        ("order_id", ""),
        ("order_id", _TOO_LONG),
        ("user_id", ""),
        ("user_id", _TOO_LONG),
        ("order_date", ""),
        ("order_date", "not-a-date"),
        ("order_date", "1999-12-31"),
        ("total_amount", ""),
        ("total_amount", "abc"),
        ("total_amount", "-5.00"),
        ("total_amount", "9999999.99"),
        ("status", ""),
        ("status", "teleported"),
    ),
    "order_items": (
        ("order_id", ""),
        ("order_id", _TOO_LONG),
        ("order_id", "O1"),
        ("product_id", ""),
        ("product_id", _TOO_LONG),
        ("product_id", "P1"),
        ("quantity", ""),
        ("quantity", "two"),
        ("quantity", "0"),
        ("unit_price", ""),
        ("unit_price", "abc"),
        ("unit_price", "-1.00"),
    ),
    "products": (
        ("product_id", _TOO_LONG),
        ("category", ""),
        ("price", ""),
        ("price", "abc"),
        ("price", "-1.00"),
    ),
}


def faulty_delivery(size: str) -> Path:
    """Return a folder with the faulty delivery of a size; it is made if it is not there."""
    clean, made = delivery(size), BUILD / f"faulty-{size}"
    if made.is_dir() and made.stat().st_mtime < clean.parent.stat().st_mtime:
        shutil.rmtree(made)
    if not made.is_dir():
        unfinished = made.with_name(f"{made.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        plant(clean, unfinished)
        unfinished.rename(made)
    return made


def plant(clean: Path, target: Path) -> None:
    """Copy a folder's CSV files with faults; rows are counted through all files of a dataset."""
    read = dict.fromkeys(_FAULTS, 0)
    for path in sorted(clean.glob("*.csv")):
        dataset = next(name for name in ("order_items", "orders", "products") if name in path.name)
        faults = _FAULTS[dataset]
        with (
            path.open(encoding="utf-8", newline="") as source,
            (target / path.name).open("w", encoding="utf-8", newline="") as copy,
        ):
            rows = csv.reader(source)
            writer = csv.writer(copy, lineterminator="\n")
            header = next(rows)
            writer.writerow(header)
            for row in rows:
                read[dataset] += 1
                if read[dataset] % EVERY == 0:
                    column, value = faults[read[dataset] // EVERY % len(faults)]
                    row[header.index(column)] = value
                writer.writerow(row)
