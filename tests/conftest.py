"""Fixtures of several test folders: deliveries, real files, and the engines as processes."""

import csv
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from delivery.bad_row_limit import BadRowLimit
from delivery.landed_files import files_in
from spark_jobs import compute as kpi_tables
from spark_jobs import transform
from spark_jobs.engine import jvm, sessions
from tests import oracle

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI") == "true"

HEADERS = {
    "orders": ("order_id", "user_id", "order_date", "total_amount", "status"),
    "order_items": ("order_id", "product_id", "quantity", "unit_price"),
    "products": ("product_id", "category", "name", "price"),
}

Files = Mapping[str, Sequence[Mapping[str, str]]]
Compute = Callable[[Path], oracle.Tables]


def write_delivery(folder: Path, files: Files) -> Path:
    """Write {file name: rows} as CSV files with their dataset's header."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        dataset = next(d for d in ("order_items", "orders", "products") if name.startswith(d))
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADERS[dataset])
            writer.writeheader()
            writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def real_files() -> Path:
    """The folder of real files beside the project; tests on them are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real files are not beside the project")
    return folder


@pytest.fixture(scope="session", params=["spark", "sail"])
def compute(request: pytest.FixtureRequest) -> Iterator[Compute]:
    """Run the transform on a folder, on one engine whose session stays open.

    A process of its own for each engine: once pyspark has spoken Spark Connect, its functions
    no longer make columns for the JVM.
    """
    if request.param == "spark" and jvm.find_java() is None:
        assert not IN_CI, "CI must have Java 17"
        pytest.skip("no Java 17: the spark engine is not tested")
    with ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open_session,
        initargs=(request.param,),
    ) as process:
        yield lambda folder: process.submit(_compute, folder).result(timeout=120)
        process.submit(_SESSION.close).result(timeout=60)


_SESSION = ExitStack()
_STATE = {}


def _open_session(name: sessions.EngineName) -> None:
    choice = sessions.choose(name)
    _STATE["spark"] = _SESSION.enter_context(sessions.session(choice.engine, input_bytes=0))


def _compute(folder: Path) -> oracle.Tables:
    with tempfile.TemporaryDirectory() as scratch:
        read = transform.read_and_stage(
            files_in(folder), Path(scratch), BadRowLimit(), today=date(2026, 3, 1)
        )
        category, daily = kpi_tables.compute(_STATE["spark"], read.staged)
    return oracle.Tables(category.to_pylist(), daily.to_pylist())
