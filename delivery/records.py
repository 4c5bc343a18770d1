"""CSV records with the physical lines that they span, read by Python's ``csv`` module.

Slower than DuckDB, which does not report a row's line. Used where counting rows does not give it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import datasets
from .words import WHITE_SPACE

# A field may be as long as a row: csv's own limit is 128 KiB.
csv.field_size_limit(datasets.MAX_ROW_BYTES)

_SPACE: Final = f"[{re.escape(WHITE_SPACE.replace(chr(10), '').replace(chr(13), ''))}]"
# White space between a closing quote and the comma or line end, which csv does not accept.
_AFTER_QUOTE: Final = re.compile(rf'((?:^|,){_SPACE}*"(?:[^"]++|"")*+"){_SPACE}+(?=,|\r|\n|\Z)')


@dataclass(frozen=True, slots=True)
class Header:
    """The line with a file's column names, which are trimmed, as ``written``."""

    line: int
    written: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names in lower case, in which they are compared."""
        return tuple(name.lower() for name in self.written)


def header_of(path: Path) -> Header | None:
    """Return the header, which is the first line that is not blank; None when all are."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        number = 0
        while line := source.readline(datasets.MAX_ROW_BYTES):
            number += 1
            try:
                record = next(csv.reader([line], skipinitialspace=True), [])
            except csv.Error:
                return Header(number, ())
            if not _is_blank(record):
                return Header(number, tuple(name.strip(WHITE_SPACE) for name in record))
    return None


def _is_blank(record: Iterable[str]) -> bool:
    """Return whether a line is blank, or has nothing but commas and white space."""
    return not any(field.strip(WHITE_SPACE) for field in record)


def rewrite(path: Path, header: Header, columns: Sequence[str], plain: Path, bad: Path) -> int:
    """Write a file's records as plain CSV with their lines to ``plain``.

    ``columns`` has the dataset's name of each column of the header, "" for those that are left
    out. Records that do not split into the header's columns go to ``bad`` as line, number of lines
    and reason. Returns their number.

    An empty field after the last column is accepted where every record has it; fields may be
    missing at the end where no column is needed.
    """
    needed = 1 + max(place for place, name in enumerate(columns) if name)
    widths = range(needed, len(columns) + 2)
    unreadable, found = _rewrite(path, header, columns, widths, plain, bad)
    if widths[-1] in found and len(found) > 1:
        unreadable, _ = _rewrite(path, header, columns, widths[:-1], plain, bad)
    return unreadable


def _rewrite(
    path: Path, header: Header, columns: Sequence[str], widths: range, plain: Path, bad: Path
) -> tuple[int, set[int]]:
    """Return the number of unreadable records, and the numbers of fields of the others."""
    places = [place for place, name in enumerate(columns) if name]
    unreadable, found = 0, set[int]()
    with (
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source,
        plain.open("w", encoding="utf-8", newline="") as plain_file,
        bad.open("w", encoding="utf-8", newline="") as bad_file,
    ):
        rows = csv.writer(plain_file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerow([*filter(None, columns), "_line", "_lines"])
        faults = csv.writer(bad_file, lineterminator="\n")
        for line, lines, record in _records(source, header, widths):
            if isinstance(record, str):
                faults.writerow([line, lines, record])
                unreadable += 1
            else:
                found.add(len(record))
                rows.writerow([*(record[place] for place in places), line, lines])
    return unreadable, found


def _records(
    source: Iterable[str], header: Header, widths: range
) -> Iterator[tuple[int, int, list[str] | str]]:
    """Yield (first line, number of lines, fields or the reason why there are none).

    Of a record that can't be parsed only the first physical line is unreadable: a stray quote
    must not make the good rows after it unreadable.
    """
    lines = _Lines(source)
    for _ in range(header.line):
        if lines.begin_record():
            next(lines)
    while lines.begin_record():
        start = lines.number + 1
        try:
            record = next(csv.reader(lines, strict=True, skipinitialspace=True))
        except StopIteration:
            return
        except csv.Error:
            too_long = lines.put_back_all_but_first()
            reason = datasets.ROW_TOO_LONG if too_long else datasets.MALFORMED_QUOTING
            yield start, 1, reason
            continue
        if _is_blank(record):
            continue
        yield start, lines.number + 1 - start, _fault(record, lines, header, widths) or record


def _fault(record: list[str], lines: "_Lines", header: Header, widths: range) -> str | None:
    if len(lines.record) > 1 and _holds_rows(record, lines.record, len(header.written)):
        return datasets.STRAY_QUOTE
    width = len(record)
    if width not in widths or (width > len(header.written) and record[-1].strip(WHITE_SPACE)):
        return datasets.WRONG_FIELD_COUNT
    if any(
        # errors="surrogateescape" maps each byte that is not UTF-8 to one of these.
        "\udc80" <= char <= "\udcff"
        for field in record
        if not field.isascii()
        for char in field
    ):
        return datasets.INVALID_ENCODING
    return None


def _holds_rows(record: Sequence[str], lines: Sequence[str], width: int) -> bool:
    """Return whether a quoted field that spans lines has swallowed rows.

    A line that has as many fields as a row is one. The last line of a field that the record
    begins with is none, for the record's other fields follow on it.
    """
    rows = [_is_row(line, width) for line in lines]
    first_field_ends = record[0].count("\n") == len(lines) - 1 and not rows[0]
    return any(rows[1:-1]) or (rows[-1] and not first_field_ends)


def _is_row(line: str, width: int) -> bool:
    fields = len(next(csv.reader([line], skipinitialspace=True), []))
    return not {fields, line.count(",") + 1}.isdisjoint((width, width + 1))


class _Lines(Iterator[str]):
    """Physical lines with their number; those that a broken record took can be read again."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._again: list[str] = []  # to be read next, the last one first
        self._size = 0
        self.record: list[str] = []
        self.number = 0

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source)
        self.number += 1
        self.record.append(line)
        self._size += len(line)
        if self._size > datasets.MAX_ROW_BYTES:
            raise csv.Error(f"a record of more than {datasets.MAX_ROW_BYTES} bytes")
        return _AFTER_QUOTE.sub(r"\1", line) if '"' in line else line

    def begin_record(self) -> bool:
        """Start a record; False when there is no line left."""
        self.record, self._size = [], 0
        if not self._again:
            line = next(self._source, None)
            if line is None:
                return False
            self._again.append(line)
        return True

    def put_back_all_but_first(self) -> bool:
        """Undo the reading of a broken record; True when its first line alone is too long."""
        self._again.extend(reversed(self.record[1:]))
        self.number -= len(self.record) - 1
        return len(self.record[0]) > datasets.MAX_ROW_BYTES
