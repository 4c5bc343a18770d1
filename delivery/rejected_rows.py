"""What a delivery's KPIs leave out, and why: files, unreadable rows, lines held back."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from .datasets import DATASETS
from .reader import FileReading, raw_text

COLUMNS: Final = ("file", "line", "reasons", "raw")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file (``line`` is None, ``raw`` says what is wrong with it) or one of its rows."""

    file: str
    line: int | None
    reasons: tuple[str, ...]
    raw: str


def leftovers(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading]
) -> Iterator[Leftover]:
    """Yield whole files first, then rows by file and line, each row once with all its reasons.

    Takes the connection after :func:`delivery.reader.read` and
    :func:`delivery.identity.resolve`.
    """
    for reading in readings:
        if reading.reason is not None:
            yield Leftover(reading.file.name, None, (reading.reason,), reading.detail or "")
    rows: dict[int, dict[int, tuple[int, list[str]]]] = defaultdict(dict)
    for file, line, lines, reasons in connection.execute(_ROWS).fetchall():
        rows[file][line] = (lines, reasons)
    for ordinal, found in sorted(rows.items()):
        spans = ((line, lines) for line, (lines, _) in found.items())
        for line, raw in raw_text(readings[ordinal].file, spans):
            yield Leftover(readings[ordinal].file.name, line, tuple(found[line][1]), raw)


def count(found: Iterable[Leftover]) -> Counter[str]:
    """Count the leftovers of each reason; a row with two reasons counts in both."""
    return Counter(reason for leftover in found for reason in leftover.reasons)


def write(found: Iterable[Leftover], path: Path) -> None:
    """Write a CSV of COLUMNS; several reasons of one row are joined by a semicolon."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for leftover in found:
            line = "" if leftover.line is None else leftover.line
            writer.writerow([leftover.file, line, ";".join(leftover.reasons), leftover.raw])


_UNREADABLE_VALUES: Final = " UNION ALL ".join(
    f"SELECT _file, _line, _lines, unnest(_unreadable) AS reason FROM {name}"  # noqa: S608
    for name in DATASETS
)
_ROWS: Final = f"""
    SELECT _file, _line, any_value(_lines), list(reason ORDER BY reason)
    FROM ({_UNREADABLE_VALUES}
          UNION ALL SELECT _file, _line, _lines, reason FROM unreadable_rows
          UNION ALL SELECT _file, _line, _lines, reason FROM held_lines)
    GROUP BY _file, _line ORDER BY _file, _line
    """  # noqa: S608  # the names are the datasets'
