"""CSV records with the physical lines that they span, read by Python's ``csv`` module.

Slower than DuckDB, which does not report a row's line. Used where counting rows does not give it.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from . import datasets

# A field may be as long as a row: csv's own limit is 128 KiB.
csv.field_size_limit(datasets.MAX_ROW_BYTES)


def header_of(path: Path) -> list[str]:
    """Return the column names of a file's first line, trimmed."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        try:
            record = next(
                csv.reader([source.readline(datasets.MAX_ROW_BYTES)], skipinitialspace=True)
            )
        except csv.Error:
            return []
    return [name.strip() for name in record]


def rewrite(path: Path, header: Sequence[str], plain: Path, bad: Path) -> int:
    """Write a file's records as plain CSV with their lines to ``plain``.

    ``header`` has the dataset's name of each column, "" for those that are left out.
    Records that do not split into the header's columns go to ``bad`` as line, number of lines
    and reason. Returns their number.
    """
    places = [place for place, name in enumerate(header) if name]
    unreadable = 0
    with (
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source,
        plain.open("w", encoding="utf-8", newline="") as plain_file,
        bad.open("w", encoding="utf-8", newline="") as bad_file,
    ):
        rows = csv.writer(plain_file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerow([*filter(None, header), "_line", "_lines"])
        faults = csv.writer(bad_file, lineterminator="\n")
        for line, lines, record in _records(source, len(header)):
            if isinstance(record, str):
                faults.writerow([line, lines, record])
                unreadable += 1
            else:
                rows.writerow([*(record[place] for place in places), line, lines])
    return unreadable


def _records(source: Iterable[str], width: int) -> Iterator[tuple[int, int, list[str] | str]]:
    """Yield (first line, number of lines, fields or the reason why there are none).

    Of a record that can't be parsed only the first physical line is unreadable: a stray quote
    must not make the good rows after it unreadable.
    """
    lines = _Lines(source)
    next(csv.reader(lines, skipinitialspace=True))  # the header, which is checked already
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
        if not record:
            continue
        if len(record) == width + 1 and not record[-1]:
            record.pop()  # DuckDB, too, ignores a comma at the end of a line
        taken = lines.number + 1 - start
        if len(record) != width:
            yield start, taken, datasets.WRONG_FIELD_COUNT
        elif any(
            # errors="surrogateescape" maps each byte that is not UTF-8 to one of these.
            "\udc80" <= char <= "\udcff"
            for field in record
            if not field.isascii()
            for char in field
        ):
            yield start, taken, datasets.INVALID_ENCODING
        else:
            yield start, taken, record


class _Lines(Iterator[str]):
    """Physical lines with their number; those that a broken record took can be read again."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._again: list[str] = []  # to be read next, the last one first
        self._record: list[str] = []
        self._size = 0
        self.number = 0

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source)
        self.number += 1
        self._record.append(line)
        self._size += len(line)
        if self._size > datasets.MAX_ROW_BYTES:
            raise csv.Error(f"a record of more than {datasets.MAX_ROW_BYTES} bytes")
        return line

    def begin_record(self) -> bool:
        """Start a record; False when there is no line left."""
        self._record, self._size = [], 0
        if not self._again:
            line = next(self._source, None)
            if line is None:
                return False
            self._again.append(line)
        return True

    def put_back_all_but_first(self) -> bool:
        """Undo the reading of a broken record; True when its first line alone is too long."""
        self._again.extend(reversed(self._record[1:]))
        self.number -= len(self._record) - 1
        return len(self._record[0]) > datasets.MAX_ROW_BYTES
