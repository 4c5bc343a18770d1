"""The data quality of every run as rows: one Parquet file a run, to be queried together.

    SELECT file, sum(unexpected) FROM 'out/validated/quality_history/*.parquet'
    WHERE reason = 'bad_quantity' GROUP BY file

The file is named after the run, so a retry writes the same rows again and adds none.
"""

from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from contract.keys import RunKeys
from contract.verdict import Verdict

if TYPE_CHECKING:
    from .gx import SuiteRun


def write(
    connection: duckdb.DuckDBPyConnection,
    verdict: Verdict,
    runs: Iterable["SuiteRun"],
    folder: Path,
) -> None:
    """Write one row per file and expectation of its dataset.

    Columns: run_id, run_time (TIMESTAMP in UTC), dataset, file, expectation, reason, severity,
    success, unexpected (the number of failing rows; 1 for a fault of the file itself).
    """
    target = folder / RunKeys(verdict.run_id).quality_history
    target.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE rules"
        " (dataset VARCHAR, expectation VARCHAR, reason VARCHAR, severity VARCHAR)"
    )
    connection.executemany(
        "INSERT INTO rules VALUES (?, ?, ?, ?)",
        [
            (rule.rows_of or run.suite.name, rule.type, rule.reason, rule.severity)
            for run in runs
            for rule in run.rules
        ],
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE quality AS
        SELECT ?::VARCHAR AS run_id, ?::TIMESTAMP AS run_time, dataset, name AS file, expectation,
               reason, severity, unexpected IS NULL AS success,
               coalesce(unexpected, 0) AS unexpected
        FROM files JOIN rules USING (dataset)
        LEFT JOIN (SELECT _file, reason, count(*) AS unexpected FROM failing GROUP BY ALL)
            USING (_file, reason)
        ORDER BY file, reason
        """,
        [verdict.run_id, verdict.created_at.astimezone(UTC).replace(tzinfo=None)],
    )
    quoted = str(target).replace("'", "''")
    connection.execute(f"COPY quality TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
