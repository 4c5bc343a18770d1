"""Compute exact daily KPIs from a delivery of CSV files.

    spark-submit spark_jobs/transform.py --input samples/incoming --output out
    python -m spark_jobs.transform --input samples/incoming --output out

reads every orders_*.csv, order_items_*.csv and products.csv of the folder, prints both KPI
tables and what was left out, and writes to the output folder

    category_kpis.csv, category_kpis.jsonl   one row per category and order_date
    order_kpis.csv, order_kpis.jsonl         one row per order_date
    rejected.csv                             file, line, reasons and raw text of what was left out,
                                             and its outcome: not_recognised (the name is of no
                                             dataset), file_rejected, file_skipped, quarantined or
                                             held

The rules are those of the validator (delivery/suites), with MAX_BAD_ROW_PERCENT and MIN_BAD_ROWS.

In the pipeline's container it reads a run that has been validated and writes to DynamoDB:

    python -m spark_jobs.transform --manifest s3://BUCKET/runs/RUN/manifest.json

with the tables' names in CATEGORY_KPIS_TABLE, ORDER_KPIS_TABLE and RUNS_TABLE, and the engine in
ENGINE. With --dry-run it prints, item by item, what that would change, and writes nothing.

    python -m spark_jobs.transform --ledger s3://BUCKET/ledger/main --as-of 41 --output out

computes the KPIs from the latest or an earlier version of the ledger (a folder or in S3).

Exit codes: 0 done (rejected.csv lists what was left out), 1 failed, 2 no input: wrong options, a
missing setting, no such folder, or no readable file of orders, order items or products.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from delivery import bad_row_limit, identity, reader, rejected_rows
from delivery.apply_rules import apply_rules
from delivery.bad_row_limit import BadRowLimit
from delivery.container_log import container_log, one_line
from delivery.datasets import DATASETS
from delivery.examples import Details
from delivery.landed_files import DeliveryError, LandedFile, files_in, not_recognised_in
from delivery.mapping import STANDARD, FileMapping, mapping_of
from delivery.reader import FileReading
from delivery.rejected_rows import RejectedRow
from delivery.rules import SuiteError
from delivery.set_aside import RowCounts, count_rows
from spark_jobs import report
from spark_jobs.compute import Staged, compute, stage
from spark_jobs.engine import sessions
from spark_jobs.errors import SettingsError, TransformError

# Not __name__, which is __main__ in the container.
log = logging.getLogger("spark_jobs.transform")

EXIT_FAILED: Final = 1
EXIT_NOTHING_TO_DO: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.mapping and options.input is None:
        parser.error("--mapping (MAPPING) is for --input; the rows of a run or a ledger are read")
    # --dry-run is for a person, who reads text.
    manifest = None if options.dry_run else options.manifest
    with container_log(errors_as="error", manifest=manifest):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        choice = sessions.choose(options.engine)
        if choice.note is not None:
            log.info(choice.note)
        with tempfile.TemporaryDirectory(prefix="shop-kpis-") as scratch:
            if options.manifest is not None:
                _transform_run(options, choice, Path(scratch))
            elif options.ledger is not None:
                _read_ledger(options, choice, Path(scratch))
            else:
                _transform_folder(options, choice, Path(scratch))
    except (DeliveryError, SettingsError, bad_row_limit.SettingsError) as error:
        return _failed(error, EXIT_NOTHING_TO_DO)
    except (TransformError, SuiteError, OSError, duckdb.Error, BotoCoreError, ClientError) as error:
        return _failed(error, EXIT_FAILED)
    except Exception as error:  # the last line of a container names the cause of every failure
        if options.manifest is None or options.dry_run:
            raise
        return _failed(f"{type(error).__name__}: {error}", EXIT_FAILED, crash=error)
    return 0


def _failed(error: object, code: int, *, crash: Exception | None = None) -> int:
    log.error("%s", one_line(error), exc_info=crash)
    return code


def _transform_folder(options: argparse.Namespace, choice: sessions.Choice, scratch: Path) -> None:
    limit = BadRowLimit.from_env(os.environ)
    mapping = FileMapping.from_settings(options.mapping, os.environ)
    files = files_in(options.input, mapping.dataset_of)
    others = [
        rejected_rows.not_recognised(name) for name in not_recognised_in(options.input, files)
    ]
    size = sum(file.path.stat().st_size for file in files)
    with sessions.starting(choice.engine, input_bytes=size) as session:
        today = datetime.now(UTC).date()
        read = read_and_stage(files, scratch, limit, today=today, mapping=mapping)
        left_out = [*others, *read.left_out]
        for row in left_out:
            if row.outcome in ("not_recognised", "file_rejected"):
                log.warning("%s: %s: %s", row.file, *row.reasons, row.raw)
        for ordinal, details in read.details.items():
            for reason, detail in details.items():
                log.warning("%s: %s: %s", read.readings[ordinal].file.name, reason, detail)
        _require_every_dataset(options.input, read.readings)
        category, daily = compute(
            session(),
            read.staged,
            start=options.start,
            end=options.end,
            explain_plan=options.explain_plan,
        )
    screen = _report(options, category, daily)
    rejected_rows.write(left_out, options.output / "rejected.csv")
    report.show_left_out(screen, len(files), read.rows, left_out, options.output)


def _report(options: argparse.Namespace, category: pa.Table, daily: pa.Table) -> Console:
    options.output.mkdir(parents=True, exist_ok=True)
    report.write(category, options.output / "category_kpis")
    report.write(daily, options.output / "order_kpis")
    screen = report.screen()
    report.show(screen, category, daily)
    return screen


def _read_ledger(options: argparse.Namespace, choice: sessions.Choice, scratch: Path) -> None:
    from spark_jobs import ledger_kpis

    with sessions.starting(choice.engine, input_bytes=0) as session:
        ledger = ledger_kpis.open_ledger(options.ledger, scratch)
        snapshot = ledger.head() if options.as_of is None else ledger.at(options.as_of)
        category, daily = ledger_kpis.kpis_between(
            snapshot, session, scratch, options.start, options.end
        )
    screen = _report(options, category, daily)
    screen.print(
        f"Ledger version {snapshot.version}; KPIs as CSV and JSON lines in {options.output}"
    )


def _transform_run(options: argparse.Namespace, choice: sessions.Choice, scratch: Path) -> None:
    import boto3  # only the pipeline needs it: 0.1 s of every local run

    from dashboard import publishing as dashboard
    from spark_jobs import pipeline_run
    from spark_jobs.publish.tables import Tables, stored
    from spark_jobs.run_store import RunStore

    tables = Tables.from_env(os.environ)
    store = RunStore.open(options.manifest, boto3.client("s3"), scratch)
    now = datetime.now(UTC)
    dynamodb = boto3.client("dynamodb")
    if options.dry_run:
        found = pipeline_run.preview_run(store, dynamodb, tables, choice, now=now)
        report.show_differences(report.screen(), found)
        return
    update = dashboard.DashboardUpdate()
    run = pipeline_run.transform_run(
        store, dynamodb, tables, choice, now=now, on_published=update.add
    )
    if not run.is_superseded:
        kpis = dashboard.PublishedKpis(
            dates=lambda: run.head.dates,
            dates_since=run.ledger.dates_since,
            days=lambda dates: stored(dates, dynamodb, tables),
        )
        with run.phases.timed("dashboard"):
            dashboard.publish(update, run.report, now, kpis, store.s3, store.bucket)
    pipeline_run.finish(store, run)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDelivery:
    """A delivery as read and judged: its files, what was left out, and the rows that count.

    ``details`` says more about some reasons of some files, by the ordinal of their reading.
    """

    readings: Sequence[FileReading]
    rows: RowCounts
    left_out: Sequence[RejectedRow]
    details: Details
    staged: Staged


def read_and_stage(
    files: Sequence[LandedFile],
    scratch: Path,
    limit: BadRowLimit,
    *,
    today: date,
    mapping: FileMapping = STANDARD,
) -> ReadDelivery:
    """Read CSV files, apply the rules and write the rows that count to ``scratch``.

    ``today`` is the date in UTC, which order dates are compared with.
    """
    # Uses scratch when four fifths of the memory are full.
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        readings = reader.read(files, connection, mapping=mapping)
        details = apply_rules(connection, readings, limit, today=today)
        left_out = list(rejected_rows.find(connection, readings, limit))
        identity.resolve(connection)
        return ReadDelivery(
            readings=readings,
            rows=count_rows(connection, readings),
            left_out=left_out,
            details=details,
            staged=stage(connection, scratch),
        )


def _require_every_dataset(folder: Path, readings: Sequence[FileReading]) -> None:
    for name in DATASETS:
        if not any(r.file.dataset == name and r.status == "read" for r in readings):
            raise DeliveryError(
                f"{folder}: no readable {name}*.csv; KPIs need orders, order_items and products"
            )


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="transform.py",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, metavar="DIR", help="folder of CSV files")
    source.add_argument("--manifest", metavar="URI", help="manifest of a validated run, s3://…")
    source.add_argument("--ledger", metavar="DIR|URI", help="ledger to compute from")
    parser.add_argument(
        "--mapping",
        type=Path,
        default=mapping_of(os.environ),
        metavar="FILE",
        help="mapping.toml, with --input: other column and file names (default MAPPING)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out"), metavar="DIR", help="folder to write to (out)"
    )
    parser.add_argument(
        "--engine",
        choices=sessions.ENGINES,
        default=os.environ.get("ENGINE", "auto"),
        help="auto (default, or ENGINE): spark where Java 17 is found, else sail; "
        "SPARK_REMOTE=sc://… makes spark a Spark Connect client",
    )
    parser.add_argument(
        "--from", dest="start", type=_date, metavar="DATE", help="first order date, as 2025-03-01"
    )
    parser.add_argument("--to", dest="end", type=_date, metavar="DATE", help="last order date")
    parser.add_argument(
        "--as-of", type=int, metavar="VERSION", help="with --ledger: compute this version"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with --manifest: print what would change in DynamoDB, and write nothing",
    )
    parser.add_argument(
        "--explain-plan", action="store_true", help="print the engine's plans for both tables"
    )
    return parser


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it as 2025-03-01") from error


if __name__ == "__main__":
    sys.exit(main())
