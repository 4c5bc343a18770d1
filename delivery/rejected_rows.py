"""What a delivery's KPIs leave out, and why: files, unreadable rows, lines held back."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from contract import spreadsheet

from .datasets import DATASETS
from .landed_files import LandedFile
from .reader import FileReading

COLUMNS: Final = ("file", "line", "reasons", "raw")


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of a file, or the whole file: then ``line`` is None and ``raw`` explains the reason."""

    file: str
    line: int | None
    reasons: tuple[str, ...]
    raw: str


def find(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading]
) -> Iterator[RejectedRow]:
    """Yield whole files first, then rows by file and line, each row once with all its reasons.

    Takes the connection after :func:`delivery.reader.read` and
    :func:`delivery.identity.resolve`.
    """
    for reading in readings:
        if reading.reason is not None:
            yield RejectedRow(reading.file.name, None, (reading.reason,), reading.detail or "")
    rows: dict[int, dict[int, tuple[int, list[str]]]] = defaultdict(dict)
    for file, line, lines, reasons in connection.execute(_ROWS).fetchall():
        rows[file][line] = (lines, reasons)
    for ordinal, found in sorted(rows.items()):
        spans = ((line, lines) for line, (lines, _) in found.items())
        for line, raw in raw_text(readings[ordinal].file, spans):
            yield RejectedRow(readings[ordinal].file.name, line, tuple(found[line][1]), raw)


def count(rows: Iterable[RejectedRow]) -> Counter[str]:
    """Count the rows of each reason; a row with two reasons counts in both."""
    return Counter(reason for row in rows for reason in row.reasons)


def write(rows: Iterable[RejectedRow], path: Path) -> None:
    """Write a CSV of COLUMNS for a spreadsheet; a semicolon joins several reasons of one row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            line = "" if row.line is None else row.line
            cells = [row.file, line, ";".join(row.reasons), row.raw]
            writer.writerow(spreadsheet.row_as_text(cells))


def raw_text(file: LandedFile, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """Yield (line, raw text without its last line end) for each (line, lines) of one file."""
    wanted = dict(rows)
    pending: list[str] = []
    start = left = 0
    with file.path.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        for number, text in enumerate(source, start=1):
            if not left and number in wanted:
                start, left, pending = number, wanted[number], []
            if left:
                pending.append(text)
                left -= 1
                if not left:
                    yield start, "".join(pending).rstrip("\r\n")
    if left:
        yield start, "".join(pending).rstrip("\r\n")


_UNREADABLE_VALUES: Final = " UNION ALL ".join(
    f"SELECT _file, _line, _lines, unnest(_unreadable) AS reason FROM {name}"  # noqa: S608
    for name in DATASETS
)
_ROWS: Final = f"""
    SELECT _file, _line, any_value(_lines), list(reason ORDER BY reason)
    FROM ({_UNREADABLE_VALUES}
          UNION ALL SELECT _file, _line, _lines, reason FROM unreadable_rows
          UNION ALL SELECT _file, _line, _lines, reason FROM pending_lines)
    GROUP BY _file, _line ORDER BY _file, _line
    """  # noqa: S608  # the names are the datasets'
