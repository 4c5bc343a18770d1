"""Runs that die at any write, and runs that write at the same time."""

import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, count
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import spark_jobs.ledger.delta_tables
from delivery.storage import Folder
from spark_jobs.errors import LedgerConflictError
from spark_jobs.ledger.ledger import Ledger
from spark_jobs.ledger.merge import merge
from spark_jobs.ledger.snapshot import Snapshot
from spark_jobs.ledger.tables import TABLES
from tests import oracle
from tests.oracle import Version

from .ledgers import NOON, Died, before_write, deliver, delivery, die, kpis
from .test_ledger import PRODUCTS, line, order, version

FIRST = [
    version("products.csv", PRODUCTS[:1]),
    version("orders_1.csv", [order("1"), order("2", "2026-02-02")]),
    version("order_items_1.csv", [line("1"), line("2"), line("2", "p2"), line("3")]),
]
# Every table is written: an order moves, lines are released, one is pending, a category changes.
SECOND = [
    version("products.csv", [PRODUCTS[0] | {"category": "Art"}, PRODUCTS[1]], hours=1),
    version("orders_2.csv", [order("1", "2026-02-03"), order("3")], hours=1),
    version("order_items_2.csv", [line("1", quantity=4), line("4")], hours=1),
]
SAME_DATES = [
    version("orders_3.csv", [order("4", "2026-02-02"), order("1")], hours=2),
    version("order_items_3.csv", [line("4"), line("2", quantity=9)], hours=2),
]
OTHER_DATES = [
    version("orders_3.csv", [order("5", "2026-02-27")], hours=2),
    version("order_items_3.csv", [line("5")], hours=2),
]


class Places:
    """Ledgers to try things out on, alike until then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._before: Sequence[Version] = ()

    def hold(self, files: Sequence[Version]) -> None:
        run_id = f"before {len(self._before)}"
        deliver(Ledger(Folder(self._folder / "template")), files, self.scratch(), run_id)
        self._before = [*self._before, *files]

    def ledger(self) -> Ledger:
        folder = self.scratch()
        if self._before:
            shutil.copytree(self._folder / "template", folder)
        return Ledger(Folder(folder))

    def scratch(self) -> Path:
        return self._folder / str(next(self._numbers))

    def run(self, ledger: Ledger, files: Sequence[Version], run_id: str) -> None:
        """Do as a run does: nothing where it has committed already."""
        if ledger.commit_of(run_id) is None:
            deliver(ledger, files, self.scratch(), run_id)

    def holds(self, ledger: Ledger, *deliveries: Sequence[Version]) -> bool:
        """Tell whether these files' rows, each once, are all that there is; and their KPIs."""
        head, files = ledger.head(), [*self._before, *chain(*deliveries)]
        rows = {
            table: sum(len(v.rows) for v in files if oracle._dataset(v.name) == dataset)
            for table, dataset in zip(
                TABLES[1:], ("orders", "order_items", "products"), strict=True
            )
        }
        return (
            _rows(head) == {"files": len(files), **rows}
            and kpis(head) == oracle.from_versions(files)
        )  # fmt: skip


def _rows(snapshot: Snapshot) -> dict[str, int]:
    return {
        table: sum(
            pq.read_metadata(path).num_rows for path in snapshot.fetch(table, snapshot.files(table))
        )
        for table in TABLES
    }


@pytest.fixture(params=["a new ledger", "a ledger with rows"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    places = Places(tmp_path)
    if request.param == "a ledger with rows":
        places.hold(FIRST)
    return places


def writes_of(places: Places) -> int:
    ledger = places.ledger()
    before = ledger.head().version
    with before_write(0, lambda: None) as writes:
        places.run(ledger, SECOND, "run")
    # Four tables and the commit; a new ledger's five tables are made first.
    assert len(writes) == (5 if before else 10)
    return len(writes)


def test_a_run_that_dies_before_any_of_its_writes_is_simply_done_again(places: Places):
    for number in range(writes_of(places)):
        ledger = places.ledger()
        before = ledger.head().version
        with before_write(number, die), pytest.raises(Died):
            places.run(ledger, SECOND, "run")
        assert ledger.head().version == before
        assert places.holds(ledger)
        places.run(ledger, SECOND, "run")
        places.run(ledger, SECOND, "run")
        assert ledger.head().version == before + 1
        places.run(ledger, SECOND, "the same files again")
        assert places.holds(ledger, SECOND)


def test_a_run_that_died_does_not_disturb_others_and_another_can_take_its_files(places: Places):
    for number in range(writes_of(places)):
        ledger = places.ledger()
        with before_write(number, die), pytest.raises(Died):
            places.run(ledger, SECOND, "run")
        places.run(ledger, SAME_DATES, "other files")
        assert places.holds(ledger, SAME_DATES)
        places.run(ledger, SECOND, "another run")
        assert places.holds(ledger, SAME_DATES, SECOND)


@pytest.mark.parametrize(
    ("places", "others"),
    [
        pytest.param("a new ledger", SAME_DATES, id="a new ledger"),
        pytest.param("a ledger with rows", SAME_DATES, id="the same dates"),
        pytest.param("a ledger with rows", OTHER_DATES, id="other dates"),
    ],
    indirect=["places"],
)
def test_of_two_runs_one_must_merge_again_wherever_the_other_comes_in_between(
    places: Places, others: Sequence[Version]
):
    for number in range(writes_of(places)):
        ledger = places.ledger()
        with (
            before_write(number, partial(places.run, ledger, others, "other")),
            pytest.raises(LedgerConflictError, match="another run"),
        ):
            places.run(ledger, SECOND, "run")
        assert places.holds(ledger, others)
        places.run(ledger, SECOND, "run")
        assert places.holds(ledger, others, SECOND)


def test_of_two_runs_one_must_merge_again_where_tables_are_compacted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spark_jobs.ledger.delta_tables, "_COMPACT_AT", 2)
    places = Places(tmp_path)
    places.hold(FIRST)
    places.hold([version("products.csv", PRODUCTS, hours=0.5)])
    ledger = places.ledger()
    with before_write(0, lambda: None) as writes:
        places.run(ledger, SECOND, "run")
    assert writes.count("compact") == 3
    for number in range(len(writes)):
        ledger = places.ledger()
        with (
            before_write(number, partial(places.run, ledger, SAME_DATES, "other")),
            pytest.raises(LedgerConflictError, match="another run"),
        ):
            places.run(ledger, SECOND, "run")
        assert places.holds(ledger, SAME_DATES)
        places.run(ledger, SECOND, "run")
        assert places.holds(ledger, SAME_DATES, SECOND)


def test_a_run_that_merged_with_an_older_ledger_writes_nothing(places: Places):
    ledger = places.ledger()
    base = ledger.head()
    scratch = places.scratch()
    changes = merge(base, delivery(SECOND, scratch), scratch)
    places.run(ledger, SAME_DATES, "newer")
    with before_write(0, die) as writes, pytest.raises(LedgerConflictError, match="another run"):
        ledger.commit(base, changes, run_id="zombie", now=NOON)
    assert writes == []
    assert places.holds(ledger, SAME_DATES)


def test_runs_that_write_at_once_are_all_there_after_as_many_attempts_as_it_takes(places: Places):
    ledger = places.ledger()
    days = [f"2026-02-{day:02}" for day in (1, 1, 2, 3)]
    files = [
        [
            version(f"orders_{n}.csv", [order(f"new {n}", day)], hours=n),
            version(f"order_items_{n}.csv", [line(f"new {n}")], hours=n),
        ]
        for n, day in enumerate(days, start=3)
    ]
    folder = Path(ledger._storage.uri(""))
    # Processes, as runs are: in threads of one, delta-rs may wait for a lock that it holds itself.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        len(files), mp_context=spawn, initializer=_wait_at, initargs=(spawn.Barrier(len(files)),)
    ) as runs:
        pending = [
            runs.submit(_commit_at_last, folder, places.scratch(), versions, f"run-{number}")
            for number, versions in enumerate(files)
        ]
        conflicts = sum(run.result(timeout=60) for run in pending)
    assert places.holds(ledger, *files)
    assert ledger.head().version == len(files) + (1 if _rows(ledger.at(1))["orders"] == 2 else 0)
    assert conflicts > 0


_READY = []


def _wait_at(barrier: Barrier) -> None:
    _READY.append(barrier)


def _commit_at_last(folder: Path, scratch: Path, files: Sequence[Version], run_id: str) -> int:
    """Merge again until it is committed, and return how often another run had come in between."""
    ledger, conflicts = Ledger(Folder(folder)), 0
    _READY[0].wait(timeout=60)
    while ledger.commit_of(run_id) is None:
        try:
            deliver(ledger, files, scratch / str(conflicts), run_id)
        except LedgerConflictError:
            conflicts += 1
    return conflicts
