"""Set aside: the failing rows of a suite decide which rows and files are not accepted.

A row that breaks a rule goes to quarantine, a line without its parent is held back, and a file
with too many unreadable rows is rejected. :mod:`expectations.check_tables` describes the tables.
"""

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from contract.keys import DatasetName
from contract.verdict import DataWarning, FileVerdict
from delivery.bad_row_limit import BadRowLimit
from delivery.reader import FileReading

from .rules import Outcome, Rule, SuiteError
from .verdict import FileFacts, decide


def _record(connection: duckdb.DuckDBPyConnection, outcomes: Iterable[Outcome]) -> None:
    """Keep every failing row of a suite, by the query that Great Expectations itself returns."""
    for outcome in outcomes:
        if outcome.failing_rows is not None:
            connection.execute(
                "INSERT INTO failing SELECT _file, _line, _lines, ?, ?"  # noqa: S608  # a suite's
                f" FROM ({outcome.failing_rows})",
                [outcome.rule.reason, outcome.rule.effect],
            )


def set_aside(
    connection: duckdb.DuckDBPyConnection,
    dataset: DatasetName | None,
    outcomes: Iterable[Outcome],
    readings: Sequence[FileReading],
    limit: BadRowLimit,
) -> None:
    """Record a suite's failing rows, and set the bad rows and files of its dataset aside.

    Raises:
        SuiteError: a row or file that the reader could not read failed no expectation.
    """
    _record(connection, outcomes)
    if dataset is None:
        return
    _check_coverage(connection, dataset)
    connection.execute(
        "INSERT INTO quarantined SELECT DISTINCT _file, _line, _lines FROM failing"
        " SEMI JOIN (FROM files WHERE dataset = ?) USING (_file)"
        " WHERE effect IN ('quarantine_row', 'unreadable_row') AND _line > 0",
        [dataset],
    )
    unreadable = _rows_by_file(connection, "unreadable")
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


def file_verdicts(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    keys: Sequence[str],
    limit: BadRowLimit,
) -> tuple[FileVerdict, ...]:
    """Decide about each file; ``keys`` are those under which the files were claimed."""
    bad = _rows_by_file(connection, "quarantined")
    unreadable = _rows_by_file(connection, "unreadable")
    held = _rows_by_file(connection, "pending_lines")
    reasons: dict[int, dict[str, int]] = {}
    for ordinal, reason, count in connection.execute(
        """
        SELECT _file, reason, count(*) FROM failing
        WHERE _line > 0 AND effect IN ('quarantine_row', 'unreadable_row')
           OR effect = 'hold_row' AND (_file, _line) IN (SELECT _file, _line FROM pending_lines)
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall():
        reasons.setdefault(ordinal, {})[reason] = count
    return tuple(
        decide(
            FileFacts(
                key=key,
                reading=reading,
                bad_rows=bad.get(reading.ordinal, 0),
                unreadable_rows=unreadable.get(reading.ordinal, 0),
                held_rows=held.get(reading.ordinal, 0),
                reasons=reasons.get(reading.ordinal, {}),
            ),
            limit,
        )
        for reading, key in zip(readings, keys, strict=True)
    )


def _rows_by_file(connection: duckdb.DuckDBPyConnection, table: str) -> Mapping[int, int]:
    return dict(
        connection.execute(f"SELECT _file, count(*) FROM {table} GROUP BY _file").fetchall()  # noqa: S608  # a table's name
    )


def warnings(
    connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule]
) -> tuple[DataWarning, ...]:
    """List the failed expectations of files and rows that are accepted nevertheless."""
    explanations = {rule.reason: rule.explanation for rule in rules}
    found = connection.execute(
        """
        SELECT reason, dataset, name, count(*) FROM failing JOIN files USING (_file)
        ANTI JOIN quarantined USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE effect = 'warn' GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return tuple(
        DataWarning(
            reason=reason, dataset=dataset, file=name, count=count, detail=explanations[reason]
        )
        for reason, dataset, name, count in found
    )
