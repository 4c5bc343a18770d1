"""Which rows and files are at fault: the suites' failing rows, kept in DuckDB.

Judged in :data:`STEPS`: products, orders, then order_items against the orders and products that
survived, and last how the surviving rows go together. The connection then holds

``files``: ``_file``, ``name``, ``dataset``, ``status``, ``landed_at``;
``failing``: ``_file``, ``_line`` (0: the file itself), ``_lines``, ``reason``, ``effect``, one
    row per failing row and reason;
``condemned``: ``_file``, ``_line``, ``_lines`` of the rows that go to quarantine, once each;
``rejected_files``: ``_file`` of the files that are set aside whole;
``held``: ``_file``, ``_line``, ``_lines`` of sound lines that wait for a parent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final

import duckdb

from contract.keys import DatasetName
from delivery.datasets import DATASETS
from delivery.identity import once_across_files
from delivery.reader import FileReading

from . import verdict
from .rules import Outcome, Rule, SuiteError


@dataclass(frozen=True, slots=True)
class Step:
    """A suite, the table or view it runs on, and the dataset whose rows it can condemn."""

    suite: str
    table: str
    dataset: DatasetName | None


_TABLES: Final = """
    CREATE TABLE files (
        _file USMALLINT, name VARCHAR, dataset VARCHAR, status VARCHAR, landed_at TIMESTAMP);
    CREATE TABLE failing (
        _file USMALLINT, _line BIGINT, _lines INTEGER, reason VARCHAR, effect VARCHAR);
    CREATE TABLE condemned (_file USMALLINT, _line BIGINT, _lines INTEGER);
    CREATE TABLE rejected_files (_file USMALLINT);
    CREATE TABLE typical_rows (dataset VARCHAR, rows BIGINT);
    CREATE VIEW held AS
        SELECT DISTINCT _file, _line, _lines FROM failing
        ANTI JOIN condemned USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE effect = 'hold_row';
    """
# Each row and file the reader gave up on becomes a row of its dataset, so that the suites see it.
_SHOW_FAULTS: Final = """
    INSERT INTO {dataset} BY NAME
        SELECT _file, _line, _lines, [reason] AS _unreadable
        FROM unreadable_rows SEMI JOIN (FROM files WHERE dataset = '{dataset}') USING (_file)
    """
_SOUND_PARENTS: Final = "".join(
    f"""
    CREATE VIEW sound_{dataset} AS
        FROM {dataset} ANTI JOIN condemned USING (_file, _line)
        ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL;
    """  # a dataset's name
    for dataset in ("orders", "products")
)
_SOUND_LINES: Final = """
    CREATE VIEW sound_lines AS
        FROM order_items ANTI JOIN condemned USING (_file, _line)
        ANTI JOIN held USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE _unreadable IS NULL;
    CREATE TABLE unsound AS
        SELECT _file, _line, true AS unsound FROM condemned UNION ALL
        SELECT _file, _line, true FROM held;
    CREATE TABLE lines_by_order (
        order_id VARCHAR, first_file USMALLINT, last_file USMALLINT, amount DECIMAL(38,4));
    """
# Every order that lines were delivered for; the amount is that of its sound lines, NULL without.
_LINES_BY_ORDER: Final = """
    INSERT INTO lines_by_order
        SELECT order_id, min(_file) FILTER (sound), max(_file) FILTER (sound),
               sum(quantity * unit_price) FILTER (sound)
        FROM (SELECT order_id, order_items._file, quantity, unit_price,
                     unsound IS NULL AND _unreadable IS NULL
                     AND _file NOT IN (FROM rejected_files) AS sound
              FROM order_items LEFT JOIN unsound USING (_file, _line)
              WHERE order_id IS NOT NULL AND hash(order_id) % {parts} = {part})
        GROUP BY order_id
    """
# One group costs about 100 bytes of memory that DuckDB can't spill while it adds up.
_LINES_PER_PART: Final = 500_000
# An order's lines in several files: those that overlap count once, as they do in the KPIs.
_LINE_TOTALS: Final = f"""
    CREATE TABLE straddling_orders AS
        SELECT order_id FROM lines_by_order WHERE first_file <> last_file;
    CREATE VIEW line_totals AS
        SELECT order_id, amount FROM lines_by_order WHERE first_file = last_file
        UNION ALL
        SELECT order_id, sum(quantity * unit_price) AS amount
        FROM ({once_across_files("sound_lines SEMI JOIN straddling_orders USING (order_id)")})
        GROUP BY order_id;
    """  # noqa: S608  # names of tables

# Every sound order beside what was delivered for it. Joined in parts, too: an order's text id
# takes a join of a million past a memory limit of 100 MB that it can't spill below.
_ORDER_TOTALS: Final = """
    CREATE TABLE order_totals (
        _file USMALLINT, _line BIGINT, _lines INTEGER, order_id VARCHAR,
        total_amount DECIMAL(18,2), has_lines BOOLEAN, amount DECIMAL(38,4));
    """
_ORDER_TOTALS_PART: Final = """
    INSERT INTO order_totals
        SELECT _file, _line, _lines, order_id, total_amount, has_lines, amount
        FROM (FROM sound_orders WHERE hash(order_id) % {parts} = {part})
        LEFT JOIN (SELECT order_id, true AS has_lines FROM lines_by_order
                   WHERE hash(order_id) % {parts} = {part}) USING (order_id)
        LEFT JOIN (FROM line_totals WHERE hash(order_id) % {parts} = {part}) USING (order_id)
        ANTI JOIN known_orders USING (order_id)
    """

STEPS: Final = (
    Step("products", "products", "products"),
    Step("orders", "orders", "orders"),
    Step("order_items", "order_items", "order_items"),
    Step("relations", "sound_lines", None),
)


def prepare(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    *,
    typical_rows: Mapping[str, int],
    known: Path | None,
) -> None:
    """Make the tables around the reader's: files, their faults, and what is known from before.

    ``typical_rows`` is the usual number of rows of a dataset's file; ``known`` a folder with
    orders.parquet and products.parquet, the ids accepted by earlier runs.
    """
    connection.execute(_TABLES)
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
        [
            (
                reading.ordinal,
                reading.file.name,
                reading.file.dataset,
                reading.status,
                landed.astimezone(UTC).replace(tzinfo=None)
                if (landed := reading.file.landed_at)
                else None,
            )
            for reading in readings
        ],
    )
    for dataset in DATASETS:
        connection.execute(_SHOW_FAULTS.format(dataset=dataset))
    for reading in readings:
        if reading.reason is not None:
            connection.execute(
                f"INSERT INTO {reading.file.dataset} BY NAME"  # a dataset's name
                " SELECT ? AS _file, 0 AS _line, 0 AS _lines, [?] AS _unreadable",
                [reading.ordinal, reading.reason],
            )
    if typical_rows:
        connection.executemany("INSERT INTO typical_rows VALUES (?, ?)", list(typical_rows.items()))
    for dataset, key in (("orders", "order_id"), ("products", "product_id")):
        ids = known / f"{dataset}.parquet" if known else None
        connection.execute(f"CREATE TABLE known_{dataset} ({key} VARCHAR)")
        if ids is not None and ids.is_file():
            connection.execute(
                f"INSERT INTO known_{dataset} SELECT DISTINCT {key} FROM read_parquet(?)",  # noqa: S608
                [str(ids)],
            )


def prepare_step(connection: duckdb.DuckDBPyConnection, step: Step) -> None:
    """Make the tables that a step's suite compares its own with."""
    if step.suite == "order_items":
        connection.execute(_SOUND_PARENTS)
    elif step.suite == "relations":
        connection.execute(_SOUND_LINES)
        [(rows,)] = connection.execute("SELECT count(*) FROM order_items").fetchall()
        parts = 1 + rows // _LINES_PER_PART
        for part in range(parts):
            connection.execute(_LINES_BY_ORDER.format(parts=parts, part=part))
        connection.execute(_LINE_TOTALS)
        connection.execute(_ORDER_TOTALS)
        for part in range(parts):
            connection.execute(_ORDER_TOTALS_PART.format(parts=parts, part=part))


def record(connection: duckdb.DuckDBPyConnection, outcomes: Iterable[Outcome]) -> None:
    """Keep every failing row of a suite, by the query that Great Expectations itself gave."""
    for outcome in outcomes:
        if outcome.failing_rows is not None:
            connection.execute(
                "INSERT INTO failing SELECT _file, _line, _lines, ?, ?"  # noqa: S608  # a suite's
                f" FROM ({outcome.failing_rows})",
                [outcome.rule.reason, outcome.rule.effect],
            )


def set_aside(
    connection: duckdb.DuckDBPyConnection,
    dataset: DatasetName,
    readings: Sequence[FileReading],
    *,
    max_bad_row_percent: float,
) -> None:
    """Set a dataset's bad rows and files aside, once its suite's failing rows are recorded.

    Raises:
        SuiteError: a row or file that the reader gave up on failed no expectation.
    """
    _check_coverage(connection, dataset)
    connection.execute(
        "INSERT INTO condemned SELECT DISTINCT _file, _line, _lines FROM failing"
        " SEMI JOIN (FROM files WHERE dataset = ?) USING (_file)"
        " WHERE effect = 'quarantine_row' AND _line > 0",
        [dataset],
    )
    bad = dict(
        connection.execute("SELECT _file, count(*) FROM condemned GROUP BY _file").fetchall()
    )
    rejected = [
        [reading.ordinal]
        for reading in readings
        if reading.file.dataset == dataset
        and (
            reading.status == "rejected"
            or verdict.too_many(bad.get(reading.ordinal, 0), reading.rows, max_bad_row_percent)
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


def file_facts(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    keys: Sequence[str],
    *,
    max_bad_row_percent: float,
) -> list[verdict.FileFacts]:
    """Count, per file, what was found; ``keys`` are the files' names in the verdict."""
    condemned = dict(
        connection.execute("SELECT _file, count(*) FROM condemned GROUP BY _file").fetchall()
    )
    held = dict(connection.execute("SELECT _file, count(*) FROM held GROUP BY _file").fetchall())
    reasons: dict[int, dict[str, int]] = {}
    for ordinal, reason, count in connection.execute(
        """
        SELECT _file, reason, count(*) FROM failing
        WHERE _line > 0 AND effect = 'quarantine_row'
           OR effect = 'hold_row' AND (_file, _line) IN (SELECT _file, _line FROM held)
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall():
        reasons.setdefault(ordinal, {})[reason] = count
    return [
        verdict.FileFacts(
            key=key,
            name=reading.file.name,
            sha256=reading.file.sha256,
            dataset=reading.file.dataset,
            status=reading.status,
            reason=reading.reason,
            detail=reading.detail,
            rows=reading.rows,
            bad_rows=condemned.get(reading.ordinal, 0),
            held_rows=held.get(reading.ordinal, 0),
            reasons=reasons.get(reading.ordinal, {}),
            max_bad_row_percent=max_bad_row_percent,
        )
        for reading, key in zip(readings, keys, strict=True)
    ]


def warnings(connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule]) -> list[verdict.Warning]:
    """List what should be looked at in files and rows that are accepted all the same."""
    explanations = {rule.reason: rule.explanation for rule in rules}
    found = connection.execute(
        """
        SELECT reason, dataset, name, count(*) FROM failing JOIN files USING (_file)
        ANTI JOIN condemned USING (_file, _line) ANTI JOIN rejected_files USING (_file)
        WHERE effect = 'warn' GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return [
        verdict.Warning(
            reason=reason,
            dataset=dataset,
            file=name,
            count=count,
            detail=explanations[reason],
        )
        for reason, dataset, name, count in found
    ]
