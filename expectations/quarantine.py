"""Write what becomes of the rows: accepted and held ones as Parquet, bad ones with raw text."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from contract.keys import DatasetName
from delivery.datasets import DATASETS
from delivery.reader import FileReading
from delivery.rejected_rows import raw_text

# How many rows of a file are looked up in one pass over it; each costs about 200 bytes.
_ROWS_PER_PASS: Final = 200_000
# A megabyte of one line helps nobody; the file itself stays as it was delivered.
_MAX_RAW: Final = 10_000

_CSV_COLUMNS: Final = ("dataset", "file", "line", "reasons", "raw")


def write_accepted(
    connection: duckdb.DuckDBPyConnection, dataset: DatasetName, target: Path
) -> int:
    """Write a dataset's accepted rows, typed, with where they come from; return their number.

    Columns: the dataset's, then ``_file_name``, ``_landed_at`` (TIMESTAMP in UTC, or NULL) and
    ``_line``. With no accepted row nothing is written.
    """
    source = f"""
        FROM {dataset} AS row JOIN files AS file USING (_file)
        ANTI JOIN condemned USING (_file, _line) ANTI JOIN held USING (_file, _line)
        ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL
        """
    return _copy(connection, dataset, source, target)


def write_held(connection: duckdb.DuckDBPyConnection, dataset: DatasetName, target: Path) -> int:
    """Write the lines that wait for a parent, as accepted ones with ``_reasons``, a list."""
    source = f"""
        FROM {dataset} AS row JOIN files AS file USING (_file)
        JOIN (SELECT _file, _line, list(reason ORDER BY reason) AS _reasons
              FROM failing SEMI JOIN held USING (_file, _line)
              WHERE effect = 'hold_row' GROUP BY ALL) USING (_file, _line)
        """  # noqa: S608  # a dataset's name
    return _copy(connection, dataset, source, target, extra=", _reasons")


def _copy(
    connection: duckdb.DuckDBPyConnection,
    dataset: DatasetName,
    source: str,
    target: Path,
    *,
    extra: str = "",
) -> int:
    columns = ", ".join(f"row.{name}" for name in DATASETS[dataset].column_names)
    target.parent.mkdir(parents=True, exist_ok=True)
    [(count,)] = connection.execute(
        f"COPY (SELECT {columns}, file.name AS _file_name, file.landed_at AS _landed_at,"
        f" _line{extra} {source})"
        f" TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)"
    ).fetchall()
    if not count:
        target.unlink()
    return int(count)


def write_failing_rows(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading], target: Path
) -> int:
    """Write every bad row to ``target``.csv and ``target``.parquet; return their number.

    Columns: dataset, file, line, reasons (all of them; joined with ``;`` in the CSV, a list in
    Parquet) and raw, the text as delivered (cut after 10,000 characters). By file and line.
    """
    sheet, table = target.with_suffix(".csv"), target.with_suffix(".parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with sheet.open("w", encoding="utf-8", newline="") as sink:
        rows = csv.writer(sink, lineterminator="\n")
        rows.writerow(_CSV_COLUMNS)
        for reading in readings:
            found = connection.cursor().execute(
                """
                SELECT _line, any_value(_lines), string_agg(DISTINCT reason, ';' ORDER BY reason)
                FROM failing WHERE effect = 'quarantine_row' AND _line > 0 AND _file = ?
                GROUP BY _line ORDER BY _line
                """,
                [reading.ordinal],
            )
            while batch := found.fetchmany(_ROWS_PER_PASS):
                reasons = {line: names for line, _, names in batch}
                for line, raw in raw_text(reading.file, ((line, n) for line, n, _ in batch)):
                    rows.writerow(
                        [reading.file.dataset, reading.file.name, line, reasons[line], _cut(raw)]
                    )
                    count += 1
    if not count:
        sheet.unlink()
        return 0
    connection.execute(
        f"""
        COPY (SELECT dataset, file, line, string_split(reasons, ';') AS reasons, raw
              FROM read_csv('{_quoted(sheet)}', header=true, auto_detect=false, delim=',',
                            quote='"', escape='"', new_line='\\n', allow_quoted_nulls=false,
                            max_line_size=1000000,
                            columns={{'dataset': 'VARCHAR', 'file': 'VARCHAR', 'line': 'BIGINT',
                                      'reasons': 'VARCHAR', 'raw': 'VARCHAR'}}))
        TO '{_quoted(table)}' (FORMAT parquet, COMPRESSION zstd)
        """  # noqa: S608  # paths of our own, quoted
    )
    return count


def _cut(raw: str) -> str:
    return raw if len(raw) <= _MAX_RAW else f"{raw[:_MAX_RAW]}… ({len(raw):,} characters)"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
