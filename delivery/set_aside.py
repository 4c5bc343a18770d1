"""Set aside: failing rows decide which rows and files are not accepted.

A row that breaks a rule goes to quarantine, a line without its parent is held back, and a file
with too many unreadable rows is rejected. :func:`create` and :func:`set_aside` leave

``files``: ``_file``, ``name``, ``dataset``, ``status``, ``landed_at``;
``failing``: ``_file``, ``_line`` (0: the file itself), ``_lines``, ``reason``, ``effect``, one
    row per failing row and reason;
``quarantined``: ``_file``, ``_line``, ``_lines`` of the rows that go to quarantine, once each;
``unreadable``: ``_file``, ``_line`` of those that cannot be read, once each;
``rejected_files``: ``_file`` of the files that are rejected whole;
``held_rows``: ``_file``, ``_line``, ``_lines`` of valid lines that wait for a parent;
``valid_orders``, ``valid_products``: the rows that are accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

import duckdb

from contract.keys import DatasetName

from .bad_row_limit import BadRowLimit
from .datasets import DATASETS
from .reader import FileReading
from .rules import Rule, SuiteError

_TABLES: Final = """
    CREATE TABLE files (
        _file UINTEGER, name VARCHAR, dataset VARCHAR, status VARCHAR, landed_at TIMESTAMP);
    CREATE TABLE failing (
        _file UINTEGER, _line BIGINT, _lines INTEGER, reason VARCHAR, effect VARCHAR);
    CREATE TABLE quarantined (_file UINTEGER, _line BIGINT, _lines INTEGER);
    CREATE TABLE rejected_files (_file UINTEGER);
    CREATE VIEW unreadable AS
        SELECT DISTINCT _file, _line FROM failing WHERE effect = 'unreadable_row' AND _line > 0;
    CREATE VIEW held_rows AS
        SELECT DISTINCT _file, _line, _lines FROM failing
        ANTI JOIN quarantined USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE effect = 'hold_row';
    """
# Each row that the reader could not split becomes a row of its dataset, so that the suites see it.
_ADD_UNREADABLE_ROWS: Final = """
    INSERT INTO {dataset} BY NAME
        SELECT _file, _line, _lines, [reason] AS _unreadable
        FROM unreadable_rows SEMI JOIN (FROM files WHERE dataset = '{dataset}') USING (_file)
    """
_VALID_PARENTS: Final = "".join(
    f"""
    CREATE VIEW valid_{dataset} AS
        FROM {dataset} ANTI JOIN quarantined USING (_file, _line)
        ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL;
    """  # a dataset's name
    for dataset in ("orders", "products")
)


def create(connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading]) -> None:
    """Create the tables, and add the reader's faults to the datasets' tables."""
    connection.execute(_TABLES)
    connection.execute(_VALID_PARENTS)
    if readings:  # executemany takes at least one
        connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", [*map(_file, readings)])
    for dataset in DATASETS:
        connection.execute(_ADD_UNREADABLE_ROWS.format(dataset=dataset))
    for reading in readings:
        if reading.reason is not None:
            connection.execute(
                f"INSERT INTO {reading.file.dataset} BY NAME"  # a dataset's name
                " SELECT ? AS _file, 0 AS _line, 0 AS _lines, [?] AS _unreadable",
                [reading.ordinal, reading.reason],
            )


def _file(reading: FileReading) -> tuple[object, ...]:
    file, landed = reading.file, reading.file.landed_at
    landed_utc = landed.astimezone(UTC).replace(tzinfo=None) if landed else None
    return reading.ordinal, file.name, file.dataset, reading.status, landed_utc


def record(connection: duckdb.DuckDBPyConnection, rule: Rule, failing_rows: str) -> int:
    """Keep the rows of a SELECT as failing a rule; return their number."""
    [(count,)] = connection.execute(
        f"INSERT INTO failing SELECT _file, _line, _lines, ?, ? FROM ({failing_rows})",  # noqa: S608  # a suite's
        [rule.reason, rule.effect],
    ).fetchall()
    return int(count)


def set_aside(
    connection: duckdb.DuckDBPyConnection,
    dataset: DatasetName,
    readings: Sequence[FileReading],
    limit: BadRowLimit,
) -> None:
    """Set the bad rows and files of a dataset aside, once its failing rows are recorded.

    Raises:
        SuiteError: a row or file that the reader could not read failed no expectation.
    """
    _check_coverage(connection, dataset)
    connection.execute(
        "INSERT INTO quarantined SELECT DISTINCT _file, _line, _lines FROM failing"
        " SEMI JOIN (FROM files WHERE dataset = ?) USING (_file)"
        " WHERE effect IN ('quarantine_row', 'unreadable_row') AND _line > 0",
        [dataset],
    )
    unreadable = rows_by_file(connection, "unreadable")
    rejected = [
        [reading.ordinal]
        for reading in readings
        if reading.file.dataset == dataset
        and (
            reading.status == "rejected"
            or limit.is_exceeded(unreadable.get(reading.ordinal, 0), reading.rows)
        )
    ]
    if rejected:
        connection.executemany("INSERT INTO rejected_files VALUES (?)", rejected)


def _check_coverage(connection: duckdb.DuckDBPyConnection, dataset: DatasetName) -> None:
    missed = connection.execute(
        f"SELECT DISTINCT unnest(_unreadable) AS fault FROM {dataset}"  # noqa: S608  # a dataset's name
        " EXCEPT SELECT reason FROM failing ORDER BY fault"
    ).fetchall()
    if missed:
        raise SuiteError(
            f"suite {dataset}: has no expectation for what the reader calls"
            f" {', '.join(reason for (reason,) in missed)}; add one"
        )


def rows_by_file(connection: duckdb.DuckDBPyConnection, table: str) -> dict[int, int]:
    """Return the number of a table's rows by ``_file``."""
    return dict(
        connection.execute(f"SELECT _file, count(*) FROM {table} GROUP BY _file").fetchall()  # noqa: S608  # a table's name
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """The rows of a delivery: each is in exactly one of the three parts."""

    accepted: int
    set_aside: int
    held: int


def count_rows(connection: duckdb.DuckDBPyConnection, readings: Sequence[FileReading]) -> RowCounts:
    """Count the rows that were read; every row of a rejected file is set aside."""
    rejected = {file for (file,) in connection.execute("FROM rejected_files").fetchall()}
    bad = rows_by_file(connection, "quarantined")
    held = rows_by_file(connection, "held_rows")
    rows = sum(reading.rows for reading in readings)
    set_aside = sum(
        reading.rows if reading.ordinal in rejected else bad.get(reading.ordinal, 0)
        for reading in readings
    )
    return RowCounts(
        accepted=rows - set_aside - sum(held.values()), set_aside=set_aside, held=sum(held.values())
    )
