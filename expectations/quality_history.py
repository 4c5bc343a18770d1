"""The data quality of every run as rows: one Parquet file a run, to be queried together.

    SELECT file, sum(unexpected) FROM 'out/validated/quality_history/*.parquet'
    WHERE reason = 'bad_quantity' GROUP BY file

A run's file has a name of its own, so a retry writes the same rows again and adds none.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from contract.keys import RunKeys

from .rules import Rule


def write(
    connection: duckdb.DuckDBPyConnection,
    rules: Iterable[tuple[str, Rule]],
    folder: Path,
    *,
    run_id: str,
    run_time: datetime,
) -> None:
    """Write one row per file and expectation of its dataset; ``rules`` come with their suite.

    Columns: run_id, run_time (TIMESTAMP in UTC), dataset, file, expectation, reason, severity,
    success, unexpected (the number of failing rows; 1 for a fault of the file itself).
    """
    target = folder / RunKeys(run_id).quality_history
    target.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE rules"
        " (dataset VARCHAR, expectation VARCHAR, reason VARCHAR, severity VARCHAR)"
    )
    connection.executemany(
        "INSERT INTO rules VALUES (?, ?, ?, ?)",
        [(rule.rows_of or suite, rule.type, rule.reason, rule.severity) for suite, rule in rules],
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
        [run_id, run_time.astimezone(UTC).replace(tzinfo=None)],
    )
    quoted = str(target).replace("'", "''")
    connection.execute(f"COPY quality TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
