"""Measure whether the time of a delivery depends on what else the ledger holds.

    .venv/bin/python -m bench.ledger [--days 365] [--orders-per-day 50000] [--small-runs 1000]
        [--runs 5]

A delivery of three dates is merged, committed, read and staged for the engine: new orders with
their lines, and orders that come back. Once with ``--days`` days in the ledger and once with those
three alone; once with the same rows in the ledger from ``--small-runs`` runs and once from ten.

The ledgers are made by the project's generator, once, and used again (build/bench/ledger); each
round works on a copy. Exit codes: 0 done (targets reached or not), 1 a delivery read files of other
dates, 2 wrong usage.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Final

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table

from bench import inputs, rounds
from delivery.datasets import DATASETS
from delivery.storage import Folder
from samples.files import Delivery as Export
from samples.shop import FIRST_ORDER, Shop
from spark_jobs.compute import stage
from spark_jobs.ledger.current_rows import read
from spark_jobs.ledger.ledger import Ledger
from spark_jobs.ledger.merge import DeliveredFile, Delivery, merge

LIMIT: Final = 1.5
START: Final = date(2025, 3, 1)
TOUCHED_DAYS: Final = 3
FEW_RUNS: Final = 10
SMALL_ORDERS_PER_DAY: Final = 5000
LANDED: Final = datetime(2026, 3, 1, tzinfo=UTC)
# One in twenty of the three dates' orders is new in the measured delivery; another one comes back.
EVERY: Final = 20
# Text sorts O1000001 between O100001 and O100002: where ids became longer, a file of other dates
# may hold an id by its smallest and largest, and its orders are looked through.
OVERLAPPING: Final = 6


class OtherDatesError(RuntimeError):
    """A delivery has read files of dates that it does not touch."""


class Watched(Folder):
    """Notes which files are fetched."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: set[str] = set()

    def fetch(self, keys: Sequence[str]) -> list[Path]:
        self.fetched.update(keys)
        return super().fetch(keys)


@dataclass(frozen=True, slots=True)
class Rows:
    """A shop's rows as a validator leaves them, as one Parquet file for each exported file."""

    folder: Path
    shop: Shop
    parts: int

    def make(self) -> None:
        export = Export(self.shop, self.parts, self.parts)
        with tempfile.NamedTemporaryFile(suffix=".csv") as csv, duckdb.connect() as connection:
            for file in export.files:
                with Path(csv.name).open("wb") as target:
                    target.writelines(export.chunks(file))
                columns = {column.name: column.sql_type for column in file.dataset.columns}
                connection.execute(
                    f"COPY (FROM read_csv('{csv.name}', columns = {columns}, header = true))"
                    f" TO '{self.folder}/{file.dataset.name}-{file.part:02}.parquet'"
                )

    @property
    def touched(self) -> str:
        """The SQL condition of the orders of the three dates."""
        return f"{_NUMBER} >= {FIRST_ORDER + int(self.shop.first_of_day[-1 - TOUCHED_DAYS])}"

    @property
    def kept(self) -> str:
        """The SQL condition of the orders that first come with the measured delivery."""
        return f"({self.touched} AND {_NUMBER} % {EVERY} = 0)"

    @property
    def returned(self) -> str:
        return f"({self.touched} AND {_NUMBER} % {EVERY} = 1)"

    def delivery(self, name: str, where: str, folder: Path, *, parts: str = "*") -> Delivery:
        """Write the rows of the orders ``where``; and all products, with the first part."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        with duckdb.connect() as connection:
            for dataset in DATASETS:
                found = sorted(self.folder.glob(f"{dataset}-{parts}.parquet"))
                if not found:
                    continue
                paths[dataset] = [folder / f"{dataset}.parquet"]
                condition = where if dataset != "products" else "true"
                connection.execute(
                    f"COPY (SELECT *, '{dataset}' AS _file_name, row_number() OVER () AS _line"
                    f" FROM read_parquet({[str(path) for path in found]}) WHERE {condition})"
                    f" TO '{paths[dataset][0]}'"
                )
        files = [
            DeliveredFile(
                label=dataset,
                name=f"{dataset}_{name}.csv",
                dataset=dataset,
                # Products are the same bytes every time.
                sha256=dataset if dataset == "products" else f"{dataset} {name}",
                landed_at=LANDED,
                size=path.stat().st_size,
            )
            for dataset, [path] in paths.items()
        ]
        return Delivery(run_id=name, files=files, rows=paths)

    def measured(self, folder: Path) -> Delivery:
        """Write the delivery that is measured."""
        last = f"{self.parts - 1:02}"
        delivery = self.delivery("zz-measured", self.kept, folder, parts=last)
        orders = folder / "orders.parquet"
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (FROM '{orders}' UNION ALL BY NAME"
                "  SELECT * REPLACE ('returned' AS status), 'orders' AS _file_name,"
                "    1000000 + row_number() OVER () AS _line"
                f" FROM '{self.folder}/orders-{last}.parquet' WHERE {self.returned})"
                f" TO '{folder}/with-returns.parquet'"
            )
        (folder / "with-returns.parquet").replace(orders)
        return delivery


_NUMBER: Final = "order_id[2:]::BIGINT"


def made(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made if it is not there; it gets its name last."""
    folder = inputs.BUILD / "ledger" / name
    if not folder.is_dir():
        unfinished = folder.with_name(f"{name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def rows_of(shop: Shop, parts: int) -> Rows:
    folder = made(
        f"rows-{shop.days}x{shop.orders_per_day}",
        lambda folder: Rows(folder, shop, parts).make(),
    )
    return Rows(folder, shop, parts)


def deliver_all(ledger: Ledger, deliveries: Iterator[Callable[[Path], Delivery]]) -> None:
    for write in deliveries:
        with tempfile.TemporaryDirectory(dir=inputs.BUILD) as scratch:
            base = ledger.head()
            delivery = write(Path(scratch) / "delivery")
            changes = merge(base, delivery, Path(scratch))
            ledger.commit(base, changes, run_id=delivery.run_id, now=LANDED)
            ledger.tidy()


def by_month(rows: Rows) -> Iterator[Callable[[Path], Delivery]]:
    for part in range(rows.parts):
        yield lambda folder, part=part: rows.delivery(
            f"{part:02}", f"NOT {rows.kept}", folder, parts=f"{part:02}"
        )


def last_days(rows: Rows) -> Iterator[Callable[[Path], Delivery]]:
    yield lambda folder: rows.delivery("00", f"{rows.touched} AND NOT {rows.kept}", folder)


def in_runs(rows: Rows, runs: int) -> Iterator[Callable[[Path], Delivery]]:
    for run in range(runs):
        yield lambda folder, run=run: rows.delivery(
            f"{run:04}", f"NOT {rows.kept} AND {_NUMBER} % {runs} = {run}", folder
        )


@dataclass(frozen=True, slots=True)
class Contestant:
    """A ledger that the measured delivery goes to."""

    name: str
    ledger: Path
    rows: Rows


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of each stage, and how many files of which size were fetched."""

    seconds: Mapping[str, float]
    files: int
    megabytes: float
    overlapping: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def measure(contestant: Contestant, delivery: Delivery, scratch: Path) -> Round:
    """Deliver to a copy of the ledger, as a run does.

    Raises:
        OtherDatesError: files of other dates were read.
    """
    copy = scratch / "ledger"
    # Delta never changes a file: links do.
    shutil.copytree(contestant.ledger, copy, copy_function=os.link)
    store = Watched(copy)
    ledger = Ledger(store)
    seconds: dict[str, float] = {}
    lap = time.monotonic()

    def done(name: str) -> None:
        nonlocal lap
        now = time.monotonic()
        seconds[name], lap = now - lap, now

    base = ledger.head()
    done("head")
    changes = merge(base, delivery, scratch)
    done("merge")
    head = ledger.commit(base, changes, run_id=delivery.run_id, now=LANDED)
    done("commit")
    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        read(connection, head, changes.dates)
        done("read")
        stage(connection, scratch)
    done("stage")
    return Round(seconds, *_fetched(store, contestant, changes.dates))


def _fetched(
    store: Watched, contestant: Contestant, dates: Collection[date]
) -> tuple[int, float, int]:
    wanted = {f"order_date={day}" for day in dates} | {"order_date=__HIVE_DEFAULT_PARTITION__"}
    other = [
        key
        for key in sorted(store.fetched)
        if "/order_date=" in key and key.split("/")[1] not in wanted
    ]
    tables = {key.split("/")[0] for key in other}
    if len(dates) != TOUCHED_DAYS or len(other) > OVERLAPPING or tables - {"orders"}:
        raise OtherDatesError(
            f"{contestant.name}: a delivery of {len(dates)} dates has read {len(other)} files of"
            f" others, as {other[:3]}"
        )
    paths = store.fetch([*store.fetched])
    return len(paths), sum(path.stat().st_size for path in paths) / 1e6, len(other)


def play(
    contestants: Sequence[Contestant], count: int, progress: Console
) -> dict[str, list[Round]]:
    """Measure in turn (A B, A B, …), after a round that does not count."""
    taken: dict[str, list[Round]] = {contestant.name: [] for contestant in contestants}
    with tempfile.TemporaryDirectory(dir=inputs.BUILD / "ledger") as written:
        delivery = contestants[0].rows.measured(Path(written))
        for number in range(count + 1):
            for contestant in contestants:
                with tempfile.TemporaryDirectory(dir=inputs.BUILD / "ledger") as scratch:
                    found = measure(contestant, delivery, Path(scratch))
                label = f"round {number}/{count}" if number else "warm-up"
                progress.print(f"{label}  {contestant.name:<14} {found.total:6.2f} s")
                if number:
                    taken[contestant.name].append(found)
    return taken


def show(screen: Console, taken: Mapping[str, Sequence[Round]]) -> None:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    stages = list(next(iter(taken.values()))[0].seconds)
    table.add_column("ledger", no_wrap=True)
    for column in ("wall s", "from", "to", *stages, "files", "MB", "other dates' files"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, found in taken.items():
        totals = [one.total for one in found]
        table.add_row(
            name,
            *(f"{figure:.2f}" for figure in (median(totals), min(totals), max(totals))),
            *(f"{median(one.seconds[stage] for one in found):.2f}" for stage in stages),
            str(found[0].files),
            f"{found[0].megabytes:.1f}",
            str(found[0].overlapping),
        )
    screen.print(table)
    (name, more), (less_name, less) = taken.items()
    ratio = median(one.total for one in more) / median(one.total for one in less)
    verdict = "reached" if ratio <= LIMIT else "MISSED"
    screen.print(f"{verdict:<8} {name} ÷ {less_name} ≤ {LIMIT}: {ratio:.2f}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ledger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, default in (
        ("days", 365), ("orders-per-day", 50_000), ("small-runs", 1000), ("runs", 5)
    ):  # fmt: skip
        parser.add_argument(f"--{option}", type=int, default=default, metavar="N")
    options = parser.parse_args(arguments)
    screen = rounds.console()
    progress = Console(stderr=True, highlight=False)

    def contestant(
        name: str, rows: Rows, deliveries: Iterator[Callable[[Path], Delivery]]
    ) -> Contestant:
        progress.print(f"ledger of {name}")
        shape = f"{name}-{rows.shop.days}x{rows.shop.orders_per_day}".replace(" ", "-")
        folder = made(shape, lambda folder: deliver_all(Ledger(Folder(folder)), deliveries))
        return Contestant(name, folder, rows)

    year = rows_of(Shop(1, START, options.days, options.orders_per_day), -(-options.days // 31))
    small = rows_of(Shop(1, START, TOUCHED_DAYS, SMALL_ORDERS_PER_DAY), 1)
    try:
        for pair in (
            (
                contestant(f"{options.days} days", year, by_month(year)),
                contestant(f"{TOUCHED_DAYS} days", year, last_days(year)),
            ),
            (
                contestant(f"{options.small_runs} runs", small, in_runs(small, options.small_runs)),
                contestant(f"{FEW_RUNS} runs", small, in_runs(small, FEW_RUNS)),
            ),
        ):
            show(screen, play(pair, options.runs, progress))
    except OtherDatesError as error:
        progress.print(f"[red]{error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
