"""What a delivery's KPIs leave out, and why: files, unreadable rows, lines held back."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Final, Literal

import duckdb

from contract import spreadsheet
from contract.keys import name_wanted
from contract.verdict import UNKNOWN_NAME

from .bad_row_limit import TOO_MANY_BAD_ROWS, BadRowLimit
from .gzip_files import opened
from .landed_files import LandedFile
from .reader import FileReading
from .set_aside import rows_by_file

COLUMNS: Final = ("file", "line", "last_line", "reasons", "raw", "outcome")
Outcome = Literal["not_recognised", "file_rejected", "file_skipped", "quarantined", "held"]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of a file, or the whole file: then it has no lines and ``raw`` explains the reason.

    ``line`` and ``last_line`` are the first and the last physical line of the row.
    A row that is ``held`` counts once its order or product is delivered, too.
    """

    file: str
    line: int | None
    last_line: int | None
    reasons: tuple[str, ...]
    raw: str
    outcome: Outcome


def find(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading], limit: BadRowLimit
) -> Iterator[RejectedRow]:
    """Yield whole files first, then rows by file and line, each row once with all its reasons.

    Takes the connection after :func:`delivery.apply_rules.apply_rules`.
    """
    unreadable = rows_by_file(connection, "unreadable")
    for reading in readings:
        reason, detail = reading.reason, reading.detail
        bad = unreadable.get(reading.ordinal, 0)
        if reading.status == "read" and limit.is_exceeded(bad, reading.rows):
            reason, detail = TOO_MANY_BAD_ROWS, limit.detail(bad, reading.rows)
        if reason is not None:
            outcome: Outcome = "file_skipped" if reading.status == "duplicate" else "file_rejected"
            yield RejectedRow(reading.file.name, None, None, (reason,), detail or "", outcome)
    rows: dict[int, dict[int, tuple[int, list[str], Outcome]]] = defaultdict(dict)
    for file, line, lines, reasons, what in connection.execute(_ROWS).fetchall():
        rows[file][line] = (lines, reasons, what)
    for ordinal, found in sorted(rows.items()):
        spans = ((line, lines) for line, (lines, *_) in found.items())
        for line, raw in raw_text(readings[ordinal].file, spans):
            lines, reasons, what = found[line]
            name = readings[ordinal].file.name
            yield RejectedRow(name, line, line + lines - 1, tuple(reasons), raw, what)


def not_recognised(name: str) -> RejectedRow:
    """Return what rejected.csv says of a file whose name no dataset has."""
    return RejectedRow(name, None, None, (UNKNOWN_NAME,), name_wanted(name), "not_recognised")


def count(rows: Iterable[RejectedRow]) -> Counter[str]:
    """Count the rows of each reason; a row with two reasons counts in both."""
    return Counter(reason for row in rows for reason in row.reasons)


def write(rows: Iterable[RejectedRow], path: Path) -> None:
    """Write a CSV of COLUMNS for a spreadsheet; a semicolon joins several reasons of one row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            lines = ["" if line is None else line for line in (row.line, row.last_line)]
            cells = [row.file, *lines, ";".join(row.reasons), row.raw, row.outcome]
            writer.writerow(spreadsheet.row_as_text(cells))


def raw_text(file: LandedFile, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """Yield (line, raw text without its last line end) for each (line, lines) of one file."""
    wanted = dict(rows)
    pending: list[str] = []
    start = left = 0
    with (
        opened(file.path) as content,
        TextIOWrapper(content, encoding="utf-8-sig", errors="replace", newline="") as source,
    ):
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


# A bad row is listed with its own reasons; that its parent is unknown, too, does not matter then.
_ROWS: Final = """
    SELECT _file, _line, any_value(_lines), list(DISTINCT reason ORDER BY reason), 'quarantined'
    FROM failing WHERE effect IN ('quarantine_row', 'unreadable_row') AND _line > 0
    GROUP BY _file, _line
    UNION ALL
    SELECT _file, _line, any_value(_lines), list(DISTINCT reason ORDER BY reason), 'held'
    FROM failing SEMI JOIN held_rows USING (_file, _line)
    WHERE effect = 'hold_row' GROUP BY _file, _line
    ORDER BY _file, _line
    """
