"""How many rows of a file may be unreadable before the whole file is rejected.

Rows that can be read and break a rule do not count: they are set aside one by one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

TOO_MANY_BAD_ROWS: Final = "too_many_bad_rows"


class SettingsError(ValueError):
    """A setting can't be used; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRowLimit:
    """A file is rejected for its unreadable rows when both limits are reached.

    They are more than ``percent`` of its rows, and at least ``least`` rows: one bad row of a file
    of nine says nothing about the other eight.
    """

    percent: float = 10
    least: int = 5

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Raise SettingsError when MAX_BAD_ROW_PERCENT or MIN_BAD_ROWS can't be used."""
        percent, least = env.get("MAX_BAD_ROW_PERCENT", "10"), env.get("MIN_BAD_ROWS", "5")
        try:
            number = float(percent)
        except ValueError:
            number = -1
        if not 0 <= number <= 100:
            raise SettingsError(f"MAX_BAD_ROW_PERCENT is '{percent}': set a number from 0 to 100")
        if not re.fullmatch("[0-9]{1,9}", least) or int(least) < 1:
            raise SettingsError(f"MIN_BAD_ROWS is '{least}': set a whole number from 1")
        return cls(percent=number, least=int(least))

    def is_exceeded(self, unreadable: int, rows: int) -> bool:
        """Return whether so many of a file's rows are unreadable that none of them is trusted.

        >>> limit = BadRowLimit(percent=10, least=5)
        >>> limit.is_exceeded(1, 9), limit.is_exceeded(5, 50), limit.is_exceeded(6, 50)
        (False, False, True)
        """
        return unreadable >= self.least and unreadable * 100 > rows * self.percent

    def detail(self, unreadable: int, rows: int) -> str:
        """Explain why a file is rejected."""
        return (
            f"{unreadable:,} of its {rows:,} rows cannot be read, more than {self.percent:g} %;"
            " correct it and deliver it again"
        )
