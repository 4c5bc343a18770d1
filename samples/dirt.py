"""Add faults and oddities to a clean delivery, and keep a ledger of every one.

Bad rows are added with ids that no clean row has, so that they do not affect clean rows; oddities
are other spellings of clean rows, so that the KPIs stay the same.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np

from delivery import datasets
from delivery.datasets import ORDER_ITEMS, ORDERS, PRODUCTS, Dataset

from .faults import (
    DIALECTS,
    FAULTS,
    ODDITIES,
    ORDER_IN_A_REJECTED_FILE,
    PLAIN,
    TOO_MANY_BAD_ROWS,
    WHOLE_FILES,
    Dialect,
    Fault,
    Oddity,
    Values,
    WholeFile,
)
from .files import CsvFile, Delivery

# Below the 10 % at which a file is rejected, with room for the spread of file sizes.
_BAD_PERCENT: Final = 8
_FEWEST_FILES: Final = 5
_AGAIN: Final = ("order_items_001.csv", "order_items_001_again.csv")


class DirtError(ValueError):
    """The delivery is too small for the faults; the message gives the size that is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A line of the ledger; ``line`` is the physical line where a row starts, the header is 1."""

    file: str
    line: int | None
    reasons: tuple[str, ...]
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row to be added to a file, and what the ledger says of it (nothing when it is good)."""

    values: Values
    outcome: str | None = None
    reasons: tuple[str, ...] = ()
    detail: str = ""
    fault: Fault | None = None


class Dirt:
    """The faults of one delivery and their places.

    ``rows`` is the number of rows to be quarantined, None for one of each fault. Those that
    would bring a file over 10 % are in separate files, ``orders_bad_rows.csv`` and
    ``order_items_bad_rows.csv``; see ``overflows``.

    Raises:
        DirtError: the delivery is too small, or ``rows`` fewer than there are faults.
    """

    def __init__(self, delivery: Delivery, rows: int | None) -> None:
        shop = delivery.shop
        if min(delivery.order_files, delivery.item_files) < _FEWEST_FILES:
            raise DirtError(f"--dirty needs {_FEWEST_FILES} files of each kind or more")
        if rows is not None and rows < len(FAULTS):
            raise DirtError(
                f"--dirty-rows {rows}: must be {len(FAULTS)} or more, one of each fault"
            )
        self._delivery = delivery
        self._serial = 0
        self._rows: defaultdict[str, list[_Row]] = defaultdict(list)
        self._oddities = list(ODDITIES)
        per_file = {
            ORDERS.name: shop.orders // delivery.order_files,
            ORDER_ITEMS.name: shop.orders * 28 // 10 // delivery.item_files,
            PRODUCTS.name: len(shop.products),
        }
        self._room = {
            file.name: per_file[file.dataset.name] * _BAD_PERCENT // 100 for file in delivery.files
        }
        bad = [self._bad_row(fault) for fault in FAULTS]
        self._spread(bad)
        more = [fault for fault in FAULTS if not fault.once and fault.dataset is not PRODUCTS]
        self._spread_more(more, (rows or 0) - len(FAULTS))
        self._hold_lines(bad)
        self._warn()

    @property
    def overflows(self) -> bool:
        """Return whether there are files of bad rows only.

        They are rejected as a whole unless MAX_BAD_ROW_PERCENT is 100, and the ledger holds
        for that setting; ``orders_too_many_bad_rows.csv``, which it would not hold for, is
        left out.
        """
        return any(name.endswith("_bad_rows.csv") for name in self._rows)

    @property
    def names(self) -> set[str]:
        """The names of all files that :meth:`write` makes."""
        return {
            *(file.name for file in self._files()),
            *(file.name for file in self._whole_files()),
            _AGAIN[1],
        }

    def write(self, folder: Path, ledger: Path) -> None:
        """Write the delivery's files into a folder that is there, then the ledger.

        Raises:
            OSError: a file can't be written.
        """
        records: list[Record] = []
        for file in self._files():
            with (folder / file.name).open("wb") as target:
                for text, added in self._render(file):
                    target.write(text)
                    records.extend(added)
        for whole in self._whole_files():
            (folder / whole.name).write_bytes(whole.content)
            records.append(
                Record(
                    file=whole.name,
                    line=None,
                    reasons=(whole.reason,),
                    outcome=whole.outcome,
                    detail=whole.detail,
                )
            )
        (folder / _AGAIN[1]).write_bytes((folder / _AGAIN[0]).read_bytes())
        records.append(
            Record(
                file=_AGAIN[1],
                line=None,
                reasons=(datasets.DUPLICATE_FILE,),
                outcome="file_skipped",
                detail=f"the same bytes as {_AGAIN[0]}",
            )
        )
        if self._oddities:
            raise DirtError(f"no row can take {self._oddities[0].name}: make a larger delivery")
        records.sort(key=lambda record: (record.file, record.line or 0, record.outcome))
        with ledger.open("w", encoding="utf-8", newline="\n") as lines:
            lines.writelines(f"{json.dumps(asdict(record))}\n" for record in records)

    # Which rows are added to which file

    def _bad_row(self, fault: Fault) -> _Row:
        return _Row(
            values={**self._good(fault.dataset), **fault.values},
            outcome="quarantined",
            reasons=fault.reasons,
            detail=fault.detail,
            fault=fault,
        )

    def _good(self, dataset: Dataset) -> dict[str, str]:
        """Return a good row: a new order or product, or a line of a clean order."""
        self._serial += 1
        shop, serial = self._delivery.shop, self._serial
        if dataset is ORDERS:
            return {
                "order_id": f"O9{serial:07}",
                "user_id": "U10001",
                "order_date": shop.date_of(serial % shop.days),
                "total_amount": "9.99",
                "status": "delivered",
            }
        if dataset is PRODUCTS:
            return {
                "product_id": f"P9{serial:05}",
                "category": "Garden",
                "name": f"Rake, model {serial}",
                "price": "9.99",
            }
        return {
            "order_id": shop.order_id(serial * 37 % shop.orders),
            "product_id": shop.products[serial * 11 % len(shop.products)].product_id,
            "quantity": "1",
            "unit_price": "9.99",
        }

    def _spread(self, bad: Sequence[_Row]) -> None:
        """Give each file its share of the first row of every fault."""
        files: dict[str, Iterator[CsvFile]] = {}
        for dataset in (ORDERS, ORDER_ITEMS, PRODUCTS):
            files[dataset.name] = cycle(
                [file for file in self._delivery.files if file.dataset is dataset]
            )
            count = sum(fault.dataset is dataset for fault in FAULTS)
            room = sum(
                self._room[file.name] for file in self._delivery.files if file.dataset is dataset
            )
            if count > room:
                raise DirtError(
                    f"{count} faults of {dataset.name} would be more than {_BAD_PERCENT} % of its "
                    "rows: set a larger --orders-per-day or --days"
                )
        for row in bad:
            assert row.fault is not None  # noqa: S101  # for the type checker
            name = row.fault.dataset.name
            if row.fault.last:
                file = next(f for f in self._delivery.files if f.dataset is row.fault.dataset)
            else:
                file = next(f for f in files[name] if self._room[f.name] > 0)
            self._room[file.name] -= 1
            self._rows[file.name].append(row)

    def _spread_more(self, faults: Sequence[Fault], count: int) -> None:
        """Repeat faults in turn: first where there is room, then in files of bad rows only."""
        places = {
            dataset.name: [
                file.name
                for file in self._delivery.files
                if file.dataset is dataset
                for _ in range(max(0, self._room[file.name]))
            ]
            for dataset in (ORDERS, ORDER_ITEMS)
        }
        of_dataset = {
            name: cycle([fault for fault in faults if fault.dataset.name == name])
            for name in places
        }
        names = cycle(places)
        for _ in range(count):
            name = next(names)
            if not places[name]:
                name = next((other for other, room in places.items() if room), name)
            file = places[name].pop() if places[name] else f"{name}_bad_rows.csv"
            self._rows[file].append(self._bad_row(next(of_dataset[name])))

    def _hold_lines(self, bad: Sequence[_Row]) -> None:
        def quarantined(dataset: Dataset, reason: str, column: str) -> str:
            return next(
                row.values[column]
                for row in bad
                if row.fault and row.fault.dataset is dataset and row.reasons == (reason,)
            )

        order = quarantined(ORDERS, "bad_total_amount", "order_id")
        product = quarantined(PRODUCTS, "price_out_of_range", "product_id")
        for detail, values in (
            ("an order that was not delivered", {"order_id": "O99000001"}),
            ("an order in quarantine", {"order_id": order}),
            ("an order of a rejected file", {"order_id": ORDER_IN_A_REJECTED_FILE}),
            ("a product that was not delivered", {"product_id": "P99001"}),
            ("a product in quarantine", {"product_id": product}),
            (
                "neither order nor product delivered",
                {"order_id": "O99000002", "product_id": "P99002"},
            ),
        ):
            if self.overflows and ORDER_IN_A_REJECTED_FILE in values.values():
                continue
            self._rows[self._item_file()].append(
                _Row(
                    values={**self._good(ORDER_ITEMS), **values},
                    outcome="held",
                    reasons=tuple(f"unknown_{column.removesuffix('_id')}" for column in values),
                    detail=detail,
                )
            )

    def _warn(self) -> None:
        """Add good orders, each with its line, that a person should look at; and two overlaps."""
        for reason, detail, values in (
            ("missing_user_id", "user_id is empty", {"user_id": ""}),
            ("malformed_user_id", "a tab within user_id", {"user_id": "U9\t17"}),
            ("total_mismatch", "its lines add up to 9.99", {"total_amount": "10.00"}),
        ):
            order = {**self._good(ORDERS), **values}
            self._rows[self._order_file()].append(_warning(order, reason, detail))
            self._rows[self._item_file()].append(self._line_of(order))

        order = {**self._good(ORDERS), "total_amount": "0.00"}
        self._rows[self._order_file()].append(
            _warning(order, "order_without_lines", "no line anywhere")
        )

        order = {**self._good(ORDERS), "status": "pending"}
        again = _warning(
            {**order, "status": "shipped"},
            "repeated_order_id",
            "the same order twice in one file; the later row counts",
        )
        self._rows[self._order_file()].extend((_Row(values=order), again))
        self._rows[self._item_file()].append(self._line_of(order))

        first = self._delivery.shop.products[0]
        again = _warning(
            {
                "product_id": first.product_id,
                "category": first.category,
                "name": first.name,
                "price": f"{first.price // 100}.{first.price % 100:02}",
            },
            "repeated_product_id",
            "the same product twice in one file",
        )
        self._rows["products.csv"].append(again)

        order = {**self._good(ORDERS), "total_amount": "29.97"}
        line = self._line_of(order)
        other = _warning(
            {**line.values, "quantity": "2"},
            "differing_lines",
            "the same product with another quantity than in order_items_001.csv",
        )
        self._rows[self._order_file()].append(_Row(values=order))
        self._rows["order_items_001.csv"].append(line)
        self._rows["order_items_002.csv"].append(other)

        order = self._good(ORDERS)
        line = self._line_of(order)
        same = _Row(
            values=line.values,
            outcome="tolerated",
            reasons=("overlapping_export",),
            detail="the same line as in order_items_003.csv; it counts once",
        )
        self._rows[self._order_file()].append(_Row(values=order))
        self._rows["order_items_003.csv"].append(line)
        self._rows["order_items_004.csv"].append(same)

    def _line_of(self, order: Values) -> _Row:
        return _Row(values={**self._good(ORDER_ITEMS), "order_id": order["order_id"]})

    def _order_file(self) -> str:
        self._serial += 1
        return f"orders_{1 + self._serial % _FEWEST_FILES:03}.csv"

    def _item_file(self) -> str:
        self._serial += 1
        return f"order_items_{1 + self._serial % _FEWEST_FILES:03}.csv"

    # How it is written

    def _files(self) -> list[CsvFile]:
        """Return the delivery's files and those of bad rows only (part -1)."""
        bad_only = [
            CsvFile(name, dataset, -1)
            for dataset in (ORDERS, ORDER_ITEMS)
            if (name := f"{dataset.name}_bad_rows.csv") in self._rows
        ]
        return [*self._delivery.files, *bad_only]

    def _whole_files(self) -> list[WholeFile]:
        return [*WHOLE_FILES, *([] if self.overflows else [TOO_MANY_BAD_ROWS])]

    def _render(self, file: CsvFile) -> Iterator[tuple[bytes, list[Record]]]:
        """Yield a file's text, record by record, and what the ledger says of each."""
        dialects = DIALECTS[file.dataset.name]
        dialect = dialects[file.part] if 0 <= file.part < len(dialects) else PLAIN
        page = _Page(file.dataset.column_names, dialect)
        whole = [
            Record(
                file=file.name,
                line=None,
                reasons=(oddity,),
                outcome="tolerated",
                detail="the whole file is written so",
            )
            for oddity in dialect.oddities
        ]
        header = page.header()
        yield header, whole

        clean = self._clean_rows(file)
        added = sorted(self._rows[file.name], key=lambda row: bool(row.fault and row.fault.last))
        at = [len(clean) * (i + 1) // (len(added) + 1) for i in range(len(added))]
        if added and added[-1].fault and added[-1].fault.last:
            at[-1] = len(clean)
        # Several rows of one file have an oddity, some rows apart.
        odd_room = 3
        number, line, next_odd = 0, 2, 2
        for place in range(len(clean) + 1):
            while number < len(added) and at[number] == place:
                row = added[number]
                number += 1
                final = place == len(clean) and number == len(added)
                text = page.row(row.values, spoil=row.fault.spoil if row.fault else None)
                yield _ended(text, dialect, final=final), _record(file, line, row)
                line += 1 + text.count(b"\n")
            if place == len(clean):
                return
            values: Values = clean[place]
            final = place == len(clean) - 1 and number == len(added)
            oddity = None
            if place >= next_odd and odd_room:
                oddity = self._take_oddity(file.dataset, values)
            note = "Leave at the door,\nring twice" if place == 1 and dialect.extra else ""
            records = self._warnings(file, line, values)
            if oddity is not None:
                odd_room, next_odd = odd_room - 1, place + 5
                values = oddity.change(values)
            text = page.row(values, quoted=oddity is not None and oddity.quoted, note=note)
            for name in [
                *([oddity.name] if oddity else []),
                *(["embedded_newline"] if note else []),
            ]:
                records.append(
                    Record(
                        file=file.name,
                        line=line,
                        reasons=(name,),
                        outcome="tolerated",
                        detail="read like any other row",
                    )
                )
            yield _ended(text, dialect, final=final), records
            line += 1 + text.count(b"\n")

    def _take_oddity(self, dataset: Dataset, values: Values) -> Oddity | None:
        for oddity in self._oddities:
            if oddity.dataset is dataset and oddity.applies(values):
                self._oddities.remove(oddity)
                return oddity
        return None

    def _clean_rows(self, file: CsvFile) -> list[dict[str, str]]:
        if file.part < 0:
            return []
        text = b"".join(self._delivery.chunks(file)).decode()
        return list(csv.DictReader(text.splitlines()))

    def _warnings(self, file: CsvFile, line: int, values: Values) -> list[Record]:
        """Return the warnings of a clean row: the ledger has all of them."""
        if file.dataset is not ORDERS:
            return []
        reasons = {
            "missing_user_id": not values["user_id"],
            "order_without_lines": values["order_id"] in self._without_lines,
        }
        found = tuple(reason for reason, there in reasons.items() if there)
        if not found:
            return []
        return [
            Record(
                file=file.name, line=line, reasons=found, outcome="warning", detail="a clean order"
            )
        ]

    @cached_property
    def _without_lines(self) -> set[str]:
        shop = self._delivery.shop
        counts = shop.line_counts_of(np.arange(shop.orders))
        return {shop.order_id(int(order)) for order in np.flatnonzero(counts == 0)}


def _warning(values: Values, reason: str, detail: str) -> _Row:
    return _Row(values=values, outcome="warning", reasons=(reason,), detail=detail)


def _record(file: CsvFile, line: int, row: _Row) -> list[Record]:
    if row.outcome is None:
        return []
    return [
        Record(
            file=file.name,
            line=line,
            reasons=tuple(sorted(row.reasons)),
            outcome=row.outcome,
            detail=row.detail,
        )
    ]


def _ended(text: bytes, dialect: Dialect, *, final: bool) -> bytes:
    if final and not dialect.final_newline:
        return text
    return text + dialect.line_end.encode()


class _Page:
    """Spells rows the way of a file's dialect."""

    def __init__(self, columns: Sequence[str], dialect: Dialect) -> None:
        ordered = (*reversed(columns),) if dialect.swapped else tuple(columns)
        self._columns = (*dialect.extra, *ordered)
        self._dialect = dialect

    def header(self) -> bytes:
        mark = "\ufeff" if self._dialect.byte_order_mark else ""
        text = mark + self._dialect.separator.join(self._columns) + self._dialect.line_end
        return text.encode()

    def row(
        self,
        values: Values,
        *,
        spoil: Callable[[bytes], bytes] | None = None,
        quoted: bool = False,
        note: str = "",
    ) -> bytes:
        """Return a record without its line end."""
        full = {"channel": "web", "note": note, **values}
        cells = [self._cell(full[column], quoted=quoted) for column in self._columns]
        text = self._dialect.separator.join(cells).encode()
        return text if spoil is None else spoil(text)

    def _cell(self, value: str, *, quoted: bool) -> str:
        if quoted or self._dialect.quoted or any(char in value for char in ',"\n'):
            return '"' + value.replace('"', '""') + '"'
        return value
