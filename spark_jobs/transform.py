"""Compute exact daily KPIs from a delivery of CSV files.

    spark-submit spark_jobs/transform.py --input samples/incoming --output out
    python -m spark_jobs.transform --input samples/incoming --output out

reads every orders_*.csv, order_items_*.csv and products.csv of the folder, prints both KPI
tables and what was left out, and writes to the output folder

    category_kpis.csv, category_kpis.jsonl   one row per category and order_date
    order_kpis.csv, order_kpis.jsonl         one row per order_date
    rejected.csv                             file, line, reasons and raw text of what was left out

Exit codes: 0 done (rejected.csv tells what was left out), 1 failed, 2 nothing to work on: wrong
options, no such folder, or no readable file of orders, order items or products.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa
from pyspark.sql import SparkSession
from rich.console import Console

from delivery import identity, leftovers, reader
from delivery.datasets import DATASETS
from delivery.leftovers import Leftover
from delivery.reader import DeliveryError, FileReading
from spark_jobs import engine, kpis, report
from spark_jobs.errors import KpiOverflowError, TransformError

EXIT_FAILED: Final = 1
EXIT_NOTHING_TO_DO: Final = 2


class Kpis(NamedTuple):
    """Both tables, sorted by their keys, with the columns of kpis.CATEGORY_KPIS and ORDER_KPIS."""

    category: pa.Table
    daily: pa.Table


class Staged(NamedTuple):
    """Parquet files of the rows that count: one per input of the KPI functions."""

    orders: Path
    lines: Path
    products: Path

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    progress, screen = Console(stderr=True, highlight=False), report.screen()
    try:
        choice = engine.choose(options.engine)
        if choice.note is not None:
            progress.print(choice.note)
        with tempfile.TemporaryDirectory(prefix="shop-kpis-") as scratch:
            readings, left_out, staged = read_and_stage(options.input, Path(scratch))
            for reading in readings:
                if reading.status == "rejected":
                    progress.print(f"{reading.file.name}: {reading.reason}: {reading.detail}")
            _insist_on_every_dataset(options.input, readings)
            computed = compute(
                staged,
                choice,
                start=options.start,
                end=options.end,
                explain_plan=options.explain_plan,
            )
        options.output.mkdir(parents=True, exist_ok=True)
        report.write(computed.category, options.output / "category_kpis")
        report.write(computed.daily, options.output / "order_kpis")
        leftovers.write(left_out, options.output / "rejected.csv")
    except DeliveryError as error:
        progress.print(f"error: {error}", style="red")
        return EXIT_NOTHING_TO_DO
    except (TransformError, OSError, duckdb.Error) as error:
        progress.print(f"error: {error}", style="red")
        return EXIT_FAILED
    report.show(screen, computed.category, computed.daily)
    report.show_left_out(screen, readings, left_out, options.output)
    return 0


def compute(
    staged: Staged,
    choice: engine.Choice,
    *,
    start: date | None = None,
    end: date | None = None,
    explain_plan: bool = False,
) -> Kpis:
    """Run the KPI functions on an engine; see :func:`run`.

    Raises:
        EngineError: the engine did not start.
        KpiOverflowError: a sum does not fit its column.
    """
    with engine.session(choice.engine, input_bytes=staged.bytes) as spark:
        return run(spark, staged, start=start, end=end, explain_plan=explain_plan)


def run(
    spark: SparkSession,
    staged: Staged,
    *,
    start: date | None = None,
    end: date | None = None,
    explain_plan: bool = False,
) -> Kpis:
    """Run the KPI functions in a session and fetch both results.

    ``start`` and ``end`` keep only the orders of these dates, both included.

    Raises:
        KpiOverflowError: a sum does not fit its column.
    """
    orders, lines, products = (spark.read.parquet(str(path)) for path in staged)
    orders = kpis.between(orders, start, end)
    results = kpis.category_kpis(orders, lines, products), kpis.order_kpis(orders, lines)
    if explain_plan:
        for result in results:
            result.explain()
    category, daily = (result.toArrow() for result in results)
    for name, table in (("CategoryKPIs", category), ("OrderKPIs", daily)):
        _insist_on_values(name, table)
    return Kpis(
        category.sort_by([("category", "ascending"), ("order_date", "ascending")]),
        daily.sort_by("order_date"),
    )


def read_and_stage(folder: Path, scratch: Path) -> tuple[list[FileReading], list[Leftover], Staged]:
    """Read a folder's CSV files and write what counts to ``scratch``.

    Returns what became of each file, what was left out, and the staged Parquet files.

    Raises:
        DeliveryError: no such folder, or no file of a dataset in it.
    """
    with duckdb.connect(str(scratch / "delivery.duckdb")) as connection:
        readings = reader.read(reader.files_in(folder), connection)
        identity.resolve(connection)
        left_out = list(leftovers.leftovers(connection, readings))
        return readings, left_out, stage(connection, scratch)


def stage(connection: duckdb.DuckDBPyConnection, folder: Path) -> Staged:
    """Write the current orders, lines and products of a connection as Parquet into a folder."""
    staged = Staged(
        folder / "orders.parquet", folder / "lines.parquet", folder / "products.parquet"
    )
    for view, path in zip(
        ("current_orders", "current_lines", "current_products"), staged, strict=True
    ):
        # Read once, from this disk, at once: neither compressing nor a dictionary pays.
        connection.execute(
            f"COPY (FROM {view}) TO '{path}'"
            " (FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1)"
        )
    return staged


def _insist_on_every_dataset(folder: Path, readings: Sequence[FileReading]) -> None:
    for name in DATASETS:
        if not any(r.file.dataset == name and r.status == "read" for r in readings):
            raise DeliveryError(
                f"{folder}: no readable {name}*.csv in it; KPIs need orders, order_items, products"
            )


def _insist_on_values(name: str, table: pa.Table) -> None:
    for column in table.column_names:
        if table[column].null_count:
            raise KpiOverflowError(
                f"{name}.{column}: {table[column].null_count} value(s) larger than"
                f" {table.schema.field(column).type} holds; look for absurd prices or quantities"
            )


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="transform.py",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--input", type=Path, required=True, metavar="DIR", help="folder of CSV files"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write to"
    )
    parser.add_argument(
        "--engine",
        choices=engine.ENGINES,
        default="auto",
        help="auto (default): spark where Java 17 is found, else sail; "
        "SPARK_REMOTE=sc://… makes spark a Spark Connect client",
    )
    parser.add_argument(
        "--from", dest="start", type=_date, metavar="DATE", help="first order date, as 2025-03-01"
    )
    parser.add_argument("--to", dest="end", type=_date, metavar="DATE", help="last order date")
    parser.add_argument(
        "--explain-plan", action="store_true", help="print the engine's plans for both tables"
    )
    return parser


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2025-03-01") from error


if __name__ == "__main__":
    sys.exit(main())
