"""A shop whose every order can be computed from its number alone.

All chance is a hash of (seed, topic, number) in 64-bit integers, and every step after it is
integer arithmetic. So any stretch of orders can be made by itself, in bounded memory, and the
same arguments give the same bytes on any machine and with any version of numpy (the streams of
``numpy.random.Generator`` may change between versions; floating-point functions differ
between machines).
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import catalogue

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

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
MAX_LINES: Final = 5
FIRST_ORDER: Final = 100_001
# A return comes 2 to 10 days after its order.
_RETURN_AFTER: Final = 2
_RETURN_WITHIN: Final = 9

_WEEK: Final = (88, 84, 86, 92, 108, 128, 114)  # Monday to Sunday, 100 on average


def _slots(*shares: tuple[int, int]) -> Numbers:
    """Return a table that has each value in proportion to its share."""
    return np.repeat([value for value, _ in shares], [share for _, share in shares])


_STATUS_SHARES: Final = {
    "delivered": 460, "completed": 240, "shipped": 120, "processing": 60, "pending": 40,
    "cancelled": 40, "returned": 25, "refunded": 15,
}  # fmt: skip
_STATUS: Final = _slots(*((STATUSES.index(name), share) for name, share in _STATUS_SHARES.items()))
RETURNED: Final = STATUSES.index("returned")
_RETURNABLE: Final = [STATUSES.index(name) for name in ("shipped", "delivered", "completed")]
_LINES: Final = _slots((1, 15), (2, 20), (3, 30), (4, 20), (5, 15))  # 3 on average
_QUANTITIES: Final = _slots((1, 76), (2, 14), (3, 5), (4, 2), (6, 2), (12, 1))
_DISCOUNTS: Final = _slots((50, 3), (100, 4), (125, 2), (150, 2), (200, 3), (250, 1), (333, 1))


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of n orders as tables of n by 5; ``there`` marks those that exist.

    ``product`` is a product's number, ``unit_price`` in hundredths of a cent.
    """

    there: Flags
    product: Numbers
    quantity: Numbers
    unit_price: Numbers

    @property
    def totals(self) -> Numbers:
        """Each order's sum of quantity times unit_price, in cents, half a cent rounded up."""
        exact = np.where(self.there, self.quantity * self.unit_price, 0).sum(axis=1)
        rounded: Numbers = (exact + 50) // 100
        return rounded


@dataclass(frozen=True)
class Shop:
    """``orders_per_day`` orders a day on average, numbered from 0 in order of time."""

    seed: int
    start: date
    days: int
    orders_per_day: int

    @property
    def orders(self) -> int:
        return self.days * self.orders_per_day

    @property
    def customers(self) -> int:
        return max(40, self.orders // 5)

    def order_id(self, number: int) -> str:
        return f"O{FIRST_ORDER + number}"

    def date_of(self, day: int) -> str:
        return (self.start + timedelta(days=day)).isoformat()

    @cached_property
    def products(self) -> list[catalogue.Product]:
        count = min(5000, max(240, self.orders // 10))
        chances = self._chance("price", np.arange(count)).tolist()
        return [catalogue.product(number, chance >> 32) for number, chance in enumerate(chances)]

    @cached_property
    def first_of_day(self) -> Numbers:
        """The number of each day's first order, and the count of all orders at the end."""
        noise = self._below("day", np.arange(self.days), 101).tolist()
        weights = [
            _WEEK[(self.start + timedelta(days=day)).weekday()] * (950 + noise[day])
            for day in range(self.days)
        ]
        total, so_far, first = sum(weights), 0, [0]
        for weight in weights:
            so_far += weight
            first.append(self.orders * so_far // total)
        return np.array(first, dtype=np.int64)

    def days_of(self, orders: Numbers) -> Numbers:
        return np.searchsorted(self.first_of_day, orders, side="right") - 1

    def customers_of(self, orders: Numbers) -> Numbers:
        """Return customer numbers, -1 for a guest. A tenth of them place a third of the orders."""
        chance = self._chance("customer", orders) >> np.uint64(32)
        rank = _share(chance * chance >> np.uint64(32), self.customers)
        number = rank * 7919 % self.customers if self.customers % 7919 else rank
        return np.where(self._below("guest", orders, 1000) < 6, -1, number)

    def statuses_of(self, orders: Numbers) -> Numbers:
        return _STATUS[self._below("status", orders, len(_STATUS))]

    def line_counts_of(self, orders: Numbers) -> Numbers:
        counts = _LINES[self._below("lines", orders, len(_LINES))]
        return np.where(self._below("no lines", orders, 1000) < 6, 0, counts)

    def comes_late(self, orders: Numbers) -> Flags:
        """Return whether an order's row comes one file late, after its lines."""
        return self._below("late", orders, 1000) < 12

    def last_line_comes_late(self, orders: Numbers) -> Flags:
        return self._below("late line", orders, 1000) < 8

    def returned_at(self, orders: Numbers) -> Numbers:
        """Return the number of the order at whose time each order comes back, -1 if it doesn't."""
        able = np.isin(self.statuses_of(orders), _RETURNABLE) & (self.line_counts_of(orders) > 0)
        back = able & (self._below("return", orders, 1000) < 50)
        after = self._below("return after", orders, _RETURN_WITHIN)
        day = self.days_of(orders) + _RETURN_AFTER + after
        back &= day < self.days
        day = np.where(back, day, 0)
        of_day = np.diff(self.first_of_day)[day]
        moment = self._chance("return moment", orders) >> np.uint64(32)
        at = self.first_of_day[day] + _share(moment, of_day)
        return np.where(back & (of_day > 0), at, -1)

    def first_that_may_return_at(self, order: int) -> int:
        """Return the first order that may come back at an order's time or later."""
        day = int(self.days_of(np.array([order]))[0]) - _RETURN_AFTER - _RETURN_WITHIN
        return int(self.first_of_day[max(0, day)])

    def lines_of(self, orders: Numbers) -> Lines:
        slots = orders[:, None] * 8 + np.arange(MAX_LINES)
        counts = self.line_counts_of(orders)
        product = self._products_at("product", slots)
        for place in range(1, MAX_LINES):
            # A product is seldom chosen again for another line of the same order.
            again = (product[:, :place] == product[:, place : place + 1]).any(axis=1)
            product[again, place] = self._products_at("other product", slots[again, place])
        twice = self._below("product twice", orders, 1000) < 15
        product[twice, 1] = product[twice, 0]
        quantity = _QUANTITIES[self._below("quantity", slots, len(_QUANTITIES))]
        return Lines(
            there=np.arange(MAX_LINES) < counts[:, None],
            product=product,
            quantity=quantity,
            unit_price=self._prices(product, slots),
        )

    def _prices(self, product: Numbers, slots: Numbers) -> Numbers:
        listed = self._listed_prices[product]
        discount = _DISCOUNTS[self._below("discount", slots, len(_DISCOUNTS))]
        exact = listed * (1000 - discount) // 10
        chance = self._below("discounted", slots, 1000)
        to_the_cent = (exact + 50) // 100 * 100
        discounted = np.where(chance < 30, exact, to_the_cent)
        return np.where(chance < 120, discounted, listed * 100)

    @cached_property
    def _listed_prices(self) -> Numbers:
        return np.array([product.price for product in self.products], dtype=np.int64)

    def _products_at(self, topic: str, slots: Numbers) -> Numbers:
        chosen: Numbers = self._popularity[self._below(topic, slots, len(self._popularity))]
        return chosen

    @cached_property
    def _popularity(self) -> Numbers:
        """A table of 65,536 product numbers in which the k-th best seller has a share ~ 1/(k+8)."""
        count = len(self.products)
        shares = 10**12 // (np.arange(count, dtype=np.int64) + 8)
        reached = np.cumsum(shares)
        total = int(reached[-1])
        marks = np.array([(2 * slot + 1) * total // 131_072 for slot in range(65_536)])
        ranks = np.searchsorted(reached, marks, side="right")
        by_rank = np.argsort(self._chance("rank", np.arange(count)), kind="stable")
        return by_rank[ranks]

    def _below(self, topic: str, numbers: Numbers, limit: int) -> Numbers:
        return _share(self._chance(topic, numbers) >> np.uint64(32), limit)

    def _chance(self, topic: str, numbers: Numbers) -> npt.NDArray[np.uint64]:
        """Return 64 random bits for each number (SplitMix64 over a key of seed and topic)."""
        key = hashlib.sha256(f"{self.seed}/{topic}".encode()).digest()[:8]
        bits = numbers.astype(np.uint64)
        bits *= np.uint64(0x9E3779B97F4A7C15)
        bits += np.uint64(int.from_bytes(key, "little"))
        bits ^= bits >> np.uint64(30)
        bits *= np.uint64(0xBF58476D1CE4E5B9)
        bits ^= bits >> np.uint64(27)
        bits *= np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        return bits


def _share(chance: npt.NDArray[np.uint64], limits: Any) -> Numbers:
    """Map 32-bit chances evenly to 0 … limit - 1, for one limit or one per chance."""
    limit = np.asarray(limits).astype(np.uint64)
    return ((chance * limit) >> np.uint64(32)).astype(np.int64)
