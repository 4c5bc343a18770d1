"""Write: accepted rows and lines held back as Parquet, quarantined rows with their raw text."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from contract import spreadsheet
from contract.keys import DatasetName, RunKeys
from delivery.datasets import DATASETS
from delivery.identity import has_line_ids
from delivery.reader import FileReading
from delivery.rejected_rows import raw_text

# How many rows of a file are looked up in one pass over it; each costs about 200 bytes.
_ROWS_PER_PASS: Final = 200_000
# The raw text of a row may be megabytes long; the file itself stays as it was delivered.
_MAX_RAW: Final = 10_000

_CSV_COLUMNS: Final = ("dataset", "file", "line", "last_line", "reasons", "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRows:
    """The keys of what was written: Parquet by dataset, and the CSV of quarantined rows."""

    accepted: Mapping[str, str]
    held: Mapping[str, str]
    quarantined: str | None


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    folder: Path,
    keys: RunKeys,
) -> WrittenRows:
    """Write every row to ``folder`` under the run's keys; without rows there is no file."""

    def written(
        write: Callable[[duckdb.DuckDBPyConnection, DatasetName, Path], int],
        key_of: Callable[[DatasetName], str],
    ) -> dict[str, str]:
        return {
            dataset: key_of(dataset)
            for dataset in DATASETS
            if write(connection, dataset, folder / key_of(dataset))
        }

    quarantined = _write_quarantined(connection, readings, folder / keys.quarantined_rows)
    return WrittenRows(
        accepted=written(_write_accepted, keys.accepted),
        held=written(_write_held, keys.held),
        quarantined=f"{keys.quarantined_rows}.csv" if quarantined else None,
    )


def _write_accepted(
    connection: duckdb.DuckDBPyConnection, dataset: DatasetName, target: Path
) -> int:
    """Write a dataset's accepted rows, typed, with where they come from; return their number.

    Columns: the dataset's, then ``_file_name``, ``_landed_at`` (TIMESTAMP in UTC, or NULL) and
    ``_line``. With no accepted row nothing is written.
    """
    source = f"""
        FROM {dataset} AS row JOIN files AS file USING (_file)
        ANTI JOIN quarantined USING (_file, _line) ANTI JOIN held_rows USING (_file, _line)
        ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL
        """
    return _copy(connection, dataset, source, target)


def _write_held(connection: duckdb.DuckDBPyConnection, dataset: DatasetName, target: Path) -> int:
    """Write the rows that wait for a parent, like accepted ones, with a list of ``_reasons``."""
    source = f"""
        FROM {dataset} AS row JOIN files AS file USING (_file)
        JOIN (SELECT _file, _line, list(reason ORDER BY reason) AS _reasons
              FROM failing SEMI JOIN held_rows USING (_file, _line)
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
    names = DATASETS[dataset].column_names
    if dataset == "order_items" and has_line_ids(connection):
        names = (*names, "line_id")
    columns = ", ".join(f"row.{name}" for name in names)
    target.parent.mkdir(parents=True, exist_ok=True)
    [(count,)] = connection.execute(
        f"COPY (SELECT {columns}, file.name AS _file_name, file.landed_at AS _landed_at,"
        f" _line{extra} {source})"
        f" TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)"
    ).fetchall()
    if not count:
        target.unlink()
    return int(count)


def _write_quarantined(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading], target: Path
) -> int:
    """Write every bad row to ``target``.csv and ``target``.parquet; return their number.

    Columns: dataset, file, line and last_line (which differ for a row that spans lines), reasons
    (all of them; joined with ``;`` in the CSV, a list in Parquet) and raw, the text as delivered
    (cut after 10,000 characters). By file and line.
    The CSV is for a spreadsheet: a text that it would take for a formula begins with an apostrophe.
    """
    sheet, table = target.with_suffix(".csv"), target.with_suffix(".parquet")
    exact = target.with_suffix(".exact")
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        sheet.open("w", encoding="utf-8", newline="") as sheet_sink,
        exact.open("w", encoding="utf-8", newline="") as exact_sink,
    ):
        rows = csv.writer(sheet_sink, lineterminator="\n")
        exact_rows = csv.writer(exact_sink, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows.writerow(_CSV_COLUMNS)
        exact_rows.writerow(_CSV_COLUMNS)
        for reading in readings:
            found = connection.cursor().execute(
                """
                SELECT _line, any_value(_lines), string_agg(DISTINCT reason, ';' ORDER BY reason)
                FROM failing
                WHERE effect IN ('quarantine_row', 'unreadable_row') AND _line > 0 AND _file = ?
                GROUP BY _line ORDER BY _line
                """,
                [reading.ordinal],
            )
            while batch := found.fetchmany(_ROWS_PER_PASS):
                found_at = {line: (line + lines - 1, names) for line, lines, names in batch}
                for line, raw in raw_text(reading.file, ((line, n) for line, n, _ in batch)):
                    file = reading.file
                    row = [file.dataset, file.name, line, *found_at[line], _cut(raw)]
                    rows.writerow(spreadsheet.row_as_text(row))
                    exact_rows.writerow(row)
                    count += 1
    if not count:
        sheet.unlink()
        exact.unlink()
        return 0
    connection.execute(
        f"""
        COPY (SELECT dataset, file, line, last_line, string_split(reasons, ';') AS reasons, raw
              FROM read_csv('{_quoted(exact)}', header=true, auto_detect=false, delim=',',
                            hive_partitioning=false,
                            quote='"', escape='"', new_line='\\n', allow_quoted_nulls=false,
                            max_line_size=1000000,
                            columns={{'dataset': 'VARCHAR', 'file': 'VARCHAR', 'line': 'BIGINT',
                                      'last_line': 'BIGINT',
                                      'reasons': 'VARCHAR', 'raw': 'VARCHAR'}}))
        TO '{_quoted(table)}' (FORMAT parquet, COMPRESSION zstd)
        """  # noqa: S608  # paths of our own, quoted
    )
    exact.unlink()
    return count


def _cut(raw: str) -> str:
    return raw if len(raw) <= _MAX_RAW else f"{raw[:_MAX_RAW]}… ({len(raw):,} characters)"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
