"""Generate a delivery: realistic orders, order items and products as CSV files.

The same arguments give the same bytes on any machine. DIR/incoming receives the files;
with --dirty, DIR/ledger.jsonl lists every fault and oddity in them, row by row.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from .dirt import Dirt, DirtError
from .files import Delivery
from .shop import Shop

_EXIT_CODES: Final = """\
exit codes:
  0  the delivery is written
  1  it could not be written (disk full, no permission)
  2  wrong usage, or a delivery too small for the faults of --dirty
"""
_OVERFLOW: Final = (
    "more bad rows than the files can take: the rest is in orders_bad_rows.csv and "
    "order_items_bad_rows.csv, and the ledger holds for MAX_BAD_ROW_PERCENT=100"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a delivery is; an order has three lines on average."""

    days: int
    orders_per_day: int
    order_files: int
    item_files: int


SMALL: Final = Size(days=14, orders_per_day=40, order_files=5, item_files=5)
SIZES: Final = {
    "S": Size(days=20, orders_per_day=250, order_files=5, item_files=5),
    "M": Size(days=100, orders_per_day=10_000, order_files=10, item_files=10),
    "L": Size(days=250, orders_per_day=20_000, order_files=50, item_files=50),
}


class StaleFilesError(ValueError):
    """The folder holds files that are not part of the delivery to be made."""


def write_clean(delivery: Delivery, folder: Path) -> None:
    """Write a delivery's files into a folder, which is created if needed.

    Raises:
        StaleFilesError: the folder holds other CSV files.
        OSError: a file can't be written.
    """
    make_room(folder, {file.name for file in delivery.files})
    for file in delivery.files:
        with (folder / file.name).open("wb") as target:
            for chunk in delivery.chunks(file):
                target.write(chunk)


def make_room(folder: Path, names: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stale = sorted(path.name for path in folder.glob("*.csv") if path.name not in names)
    if stale:
        raise StaleFilesError(
            f"{folder}: holds {stale[0]}, which is not part of this delivery "
            f"({len(stale)} such files); name an empty folder or remove them"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.dirty_rows is not None and not options.dirty:
        parser.error("--dirty-rows needs --dirty")
    preset = SIZES[options.size] if options.size else SMALL
    size = Size(
        **{
            name: getattr(preset, name)
            if getattr(options, name) is None
            else getattr(options, name)
            for name in Size.__dataclass_fields__
        }
    )
    orders = size.days * size.orders_per_day
    if max(size.order_files, size.item_files) > orders:
        parser.error(f"{orders} orders can't fill more than {orders} files of a kind")
    if size.days > (date.max - options.start).days:
        parser.error(f"--days {size.days}: the calendar ends before that")
    shop = Shop(options.seed, options.start, size.days, size.orders_per_day)
    delivery = Delivery(shop, size.order_files, size.item_files)
    folder = options.output / "incoming"
    try:
        if options.dirty:
            dirt = Dirt(delivery, options.dirty_rows)
            make_room(folder, dirt.names)
            dirt.write(folder, options.output / "ledger.jsonl")
            if dirt.overflows:
                print(_OVERFLOW, file=sys.stderr)
        else:
            write_clean(delivery, folder)
    except (StaleFilesError, DirtError) as error:
        parser.error(str(error))
    except OSError as error:
        print(f"{parser.prog}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    files = len(list(folder.glob("*.csv")))
    print(f"{folder}: {files} files, {shop.orders:,} orders", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m samples.generate",
        description=__doc__,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", choices=SIZES, help="a preset for the next four")
    for option, meaning in (
        ("days", "days from --start on"),
        ("orders-per-day", "orders a day on average; weekends have more"),
        ("order-files", "files of orders"),
        ("item-files", "files of order items"),
    ):
        name = option.replace("-", "_")
        parser.add_argument(
            f"--{option}",
            type=_positive,
            metavar="N",
            help=f"{meaning} (default {getattr(SMALL, name)})",
        )
    parser.add_argument(
        "--start", type=date.fromisoformat, default=date(2025, 3, 1), metavar="DATE"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="another seed, another shop"
    )
    parser.add_argument(
        "--dirty", action="store_true", help="add faults and oddities, and write ledger.jsonl"
    )
    parser.add_argument(
        "--dirty-rows",
        type=_positive,
        metavar="N",
        help="with --dirty: how many rows are to be quarantined (default one of each fault)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
