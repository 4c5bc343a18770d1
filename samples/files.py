"""A shop's orders as CSV files: which row is in which file, and its text.

The order of the files' names is the order of time. As in real exports, a return is the same order
again in a later file; some orders' rows come one file after their lines; some orders' last lines
come one file after the others.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from delivery.datasets import ORDER_ITEMS, ORDERS, PRODUCTS, Dataset

from .shop import FIRST_ORDER, RETURNED, STATUSES, Flags, Numbers, Shop

# Orders per chunk: memory stays near 150 MB for files of any size.
_CHUNK: Final = 100_000
# The last orders before an order_items file ends are cut in two by it.
_CUT_ORDERS: Final = 2


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of a delivery by its name and its dataset; ``part`` counts from 0."""

    name: str
    dataset: Dataset
    part: int


@dataclass(frozen=True)
class Delivery:
    """The clean files of a shop: orders_001.csv …, order_items_001.csv …, products.csv."""

    shop: Shop
    order_files: int
    item_files: int

    @property
    def files(self) -> list[CsvFile]:
        return [
            *(CsvFile(f"orders_{i + 1:03}.csv", ORDERS, i) for i in range(self.order_files)),
            *(
                CsvFile(f"order_items_{i + 1:03}.csv", ORDER_ITEMS, i)
                for i in range(self.item_files)
            ),
            CsvFile("products.csv", PRODUCTS, 0),
        ]

    def chunks(self, file: CsvFile) -> Iterator[bytes]:
        """Yield the bytes of a file, whole lines at a time, the header first."""
        yield f"{','.join(file.dataset.column_names)}\n".encode()
        if file.dataset is ORDERS:
            yield from self._orders(file.part)
        elif file.dataset is ORDER_ITEMS:
            yield from self._order_items(file.part)
        else:
            yield self._products()

    def _orders(self, part: int) -> Iterator[bytes]:
        shop = self.shop
        start, end = _bounds(shop, part, self.order_files)
        own = np.arange(start, end)
        if part < self.order_files - 1:
            own = own[~shop.comes_late(own)]
        before, _ = _bounds(shop, part - 1, self.order_files) if part else (0, 0)
        late = np.arange(before, start)
        late = late[shop.comes_late(late)]

        back = np.arange(shop.first_that_may_return_at(start), start) if part else own[:0]
        at = shop.returned_at(back)
        here = (at >= start) & (at < end) & ~np.isin(back, late)
        back, at = back[here], at[here]

        orders = np.concatenate([late, own, back])
        moments = np.concatenate([start + np.arange(len(late)), own, at])
        returned = np.concatenate([np.zeros(len(late) + len(own), bool), np.ones(len(back), bool)])
        for rows in _chunked(np.argsort(moments, kind="stable")):
            yield self._order_rows(orders[rows], returned[rows])

    def _order_rows(self, orders: Numbers, returned: Flags) -> bytes:
        shop = self.shop
        customers = shop.customers_of(orders)
        guest = customers < 0
        users = pc.binary_join_element_wise("U", _text(customers + 10_001), "")
        status = np.where(returned, RETURNED, shop.statuses_of(orders))
        totals = shop.lines_of(orders).totals
        return _lines(
            pc.binary_join_element_wise("O", _text(orders + FIRST_ORDER), ""),
            pc.if_else(pa.array(guest), "", users),
            self._dates.take(pa.array(shop.days_of(orders))),
            pc.binary_join_element_wise(
                _text(totals // 100), _CENTS.take(pa.array(totals % 100)), "."
            ),
            _STATUS_LINE_ENDS.take(pa.array(status)),
        )

    def _order_items(self, part: int) -> Iterator[bytes]:
        start, end = _bounds(self.shop, part, self.item_files)
        if part:
            before, _ = _bounds(self.shop, part - 1, self.item_files)
            for orders in _chunked(np.arange(before, start)):
                yield self._item_rows(orders, cut=self._cut(orders, start), late=True)
        for orders in _chunked(np.arange(start, end)):
            last = part == self.item_files - 1
            cut = np.zeros(len(orders), bool) if last else self._cut(orders, end)
            yield self._item_rows(orders, cut=cut, late=False)

    def _cut(self, orders: Numbers, end: int) -> Flags:
        """Return which orders' last line comes one file later; `end` is the end of their file."""
        often = self.shop.last_line_comes_late(orders)
        return often | (orders >= end - _CUT_ORDERS)

    def _item_rows(self, orders: Numbers, *, cut: Flags, late: bool) -> bytes:
        """Return the late last lines of those orders that are cut, or all their other lines."""
        if late:
            orders, cut = orders[cut], cut[cut]
        lines = self.shop.lines_of(orders)
        rows = np.arange(len(orders))
        last = lines.there.sum(axis=1) - 1
        # An order may be cut only if its last line differs from all others: identical lines in
        # two files would count once.
        product = lines.product[rows, last]
        same = ((lines.product == product[:, None]) & lines.there).sum(axis=1)
        moved = np.zeros_like(lines.there)
        moved[rows, last] = cut & (last > 0) & (same == 1)
        wanted = moved if late else lines.there & ~moved

        order, slot = np.nonzero(wanted)
        price = lines.unit_price[order, slot]
        return _lines(
            pc.binary_join_element_wise("O", _text(orders[order] + FIRST_ORDER), ""),
            self._product_ids.take(pa.array(lines.product[order, slot])),
            _text(lines.quantity[order, slot]),
            pc.binary_join_element_wise(
                _text(price // 10_000), _PRICE_LINE_ENDS.take(pa.array(price % 10_000)), "."
            ),
        )

    def _products(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for product in self.shop.products:
            price = f"{product.price // 100}.{product.price % 100:02}"
            writer.writerow([product.product_id, product.category, product.name, price])
        return text.getvalue().encode()

    @cached_property
    def _dates(self) -> Any:
        return pa.array([self.shop.date_of(day) for day in range(self.shop.days)])

    @cached_property
    def _product_ids(self) -> Any:
        return pa.array([product.product_id for product in self.shop.products])


def _bounds(shop: Shop, part: int, parts: int) -> tuple[int, int]:
    return shop.orders * part // parts, shop.orders * (part + 1) // parts


def _chunked(numbers: Numbers) -> Iterator[Numbers]:
    for start in range(0, len(numbers), _CHUNK):
        yield numbers[start : start + _CHUNK]


def _four_digits(fraction: int) -> str:
    """Return the decimals of a price: two, or up to four where it has them."""
    return f"{fraction:04}".rstrip("0").ljust(2, "0")


_CENTS: Final = pa.array([f"{cents:02}" for cents in range(100)])
_PRICE_LINE_ENDS: Final = pa.array([f"{_four_digits(i)}\n" for i in range(10_000)])
_STATUS_LINE_ENDS: Final = pa.array([f"{status}\n" for status in STATUSES])


def _text(numbers: Numbers) -> Any:
    return pc.cast(pa.array(numbers), pa.string())


def _lines(*columns: Any) -> bytes:
    """Join columns of text to CSV lines; the last column ends each line."""
    rows = pc.binary_join_element_wise(*columns, ",")
    if not len(rows):
        return b""
    # The texts of a column are contiguous in memory: their buffer is the file.
    _, offsets, data = rows.buffers()
    end = np.frombuffer(offsets, dtype=np.int32)[len(rows)]
    return bytes(memoryview(data)[:end])
