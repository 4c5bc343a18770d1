"""What was found in each file, from the failing rows that are recorded.

:mod:`delivery.set_aside` describes the tables.
"""

from collections.abc import Iterable, Sequence

import duckdb

from contract.verdict import DataWarning, FileVerdict
from delivery.bad_row_limit import BadRowLimit
from delivery.examples import Details
from delivery.reader import FileReading
from delivery.rules import Rule
from delivery.set_aside import rows_by_file

from .verdict import FileFacts, decide


def file_verdicts(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    keys: Sequence[str],
    limit: BadRowLimit,
    details: Details,
) -> tuple[FileVerdict, ...]:
    """Decide about each file; ``keys`` are those under which the files were claimed."""
    bad = rows_by_file(connection, "quarantined")
    unreadable = rows_by_file(connection, "unreadable")
    held = rows_by_file(connection, "held_rows")
    reasons: dict[int, dict[str, int]] = {}
    for ordinal, reason, count in connection.execute(
        """
        SELECT _file, reason, count(*) FROM failing
        WHERE _line > 0 AND effect IN ('quarantine_row', 'unreadable_row')
           OR effect = 'hold_row' AND (_file, _line) IN (SELECT _file, _line FROM held_rows)
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
                details=details.get(reading.ordinal, {}),
            ),
            limit,
        )
        for reading, key in zip(readings, keys, strict=True)
    )


def warnings(
    connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule], details: Details
) -> tuple[DataWarning, ...]:
    """List the failed expectations of files and rows that are accepted nevertheless."""
    explanations = {rule.reason: rule.explanation for rule in rules}
    found = connection.execute(
        """
        SELECT reason, dataset, _file, name, count(*) FROM failing JOIN files USING (_file)
        ANTI JOIN quarantined USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE effect = 'warn' GROUP BY ALL ORDER BY reason, dataset, name, _file
        """
    ).fetchall()
    return tuple(
        DataWarning(
            reason=reason,
            dataset=dataset,
            file=name,
            count=count,
            detail=details.get(file, {}).get(reason, explanations[reason]),
        )
        for reason, dataset, file, name, count in found
    )
