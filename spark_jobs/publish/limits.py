"""What DynamoDB refuses: an item is checked before any item of its date is written.

A date with more than 99 items takes several transactions, and a refusal in the second would leave
half of it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_MAX_KEY_BYTES: Final = {"category": 2048, "order_date": 1024}
_MAX_ITEM_BYTES: Final = 400 * 1024
_MAX_DIGITS: Final = 38


def refusal(table: str, item: Mapping[str, Any]) -> str | None:
    """Return why DynamoDB would refuse an item; None if it takes it."""
    for name, limit in _MAX_KEY_BYTES.items():
        size = len(str(item.get(name, "x")).encode())
        if not 0 < size <= limit:
            return f"{table}: {name} has {size:,} bytes; a key has 1 to {limit:,}"
    for name, value in item.items():
        if isinstance(value, Decimal | int) and _digits(value) > _MAX_DIGITS:
            return (
                f"{table}: {name} has {_digits(value)} digits; a number has at most {_MAX_DIGITS}"
            )
    size = sum(len(name.encode()) + _size(value) for name, value in item.items())
    if size > _MAX_ITEM_BYTES:
        return f"{table}: the item has {size:,} bytes; DynamoDB takes {_MAX_ITEM_BYTES:,}"
    return None


def _digits(value: Decimal | int) -> int:
    return len(Decimal(value).normalize().as_tuple().digits)


def _size(value: Any) -> int:
    """Return the bytes of a value, rounded up: AWS gives the size of a number as approximate."""
    if isinstance(value, set):
        return 3 + sum(1 + _size(element) for element in value)
    if isinstance(value, Decimal | int):
        return 21
    return len(str(value).encode())
