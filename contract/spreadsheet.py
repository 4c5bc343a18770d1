"""CSV that a person opens in a spreadsheet: a cell of text must not become a formula.

The rule is OWASP's: an apostrophe in front of a cell that begins like a formula.
https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# Also what some versions take for these characters, in full width. An apostrophe in front of such a
# cell gets another one, so that every text can be read back.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def as_text(value: Any) -> Any:
    """Return a cell that a spreadsheet shows as it is; numbers stay numbers.

    >>> as_text("=1+1"), as_text("-5.00"), as_text("Books"), as_text(-5)
    ("'=1+1", '-5.00', 'Books', -5)
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def as_delivered(cell: str) -> str:
    """Return the text that ``as_text`` was given.

    >>> as_delivered("'=1+1"), as_delivered("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def row_as_text(row: Iterable[Any]) -> list[Any]:
    return [as_text(value) for value in row]


def record_as_text(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) for name, value in record.items()}


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV (RFC 4180): a header, CRLF, quotes where they are needed.

    What a row has beside the columns is left out, and what it lacks is empty.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(map(record_as_text, rows))
    return text.getvalue()
