"""Whatever arrives in whichever order, and wherever a run dies: the KPIs are those of all rows."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from delivery.storage import Folder
from spark_jobs.ledger.ledger import Changes, Ledger
from spark_jobs.ledger.merge import merge
from spark_jobs.ledger.snapshot import Snapshot
from tests import oracle
from tests.conftest import IN_CI
from tests.oracle import Row, Version

from .ledgers import NOON, Died, before_write, changed_dates, delivery, die, kpis, of_dates

DAYS = ("2026-02-01", "2026-02-02", "2026-02-03")
ORDERS = ("1", "2", "3")
PRODUCTS = ("p1", "p2")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)

# Few ids and few names, so that nearly every file says something again about what was said before.
ROWS = {
    "orders": st.fixed_dictionaries(
        {
            "order_id": st.sampled_from(ORDERS),
            "user_id": st.sampled_from(["u", "v"]),
            "order_date": st.sampled_from(DAYS),
            "total_amount": st.sampled_from(["10.00", "20.00"]),
            "status": st.sampled_from(["delivered", "returned"]),
        }
    ),
    "order_items": st.fixed_dictionaries(
        {
            "order_id": st.sampled_from(ORDERS),
            "product_id": st.sampled_from(PRODUCTS),
            "quantity": st.sampled_from(["1", "2"]),
            "unit_price": st.just("2.50"),
        }
    ),
    "products": st.fixed_dictionaries(
        {
            "product_id": st.sampled_from(PRODUCTS),
            "category": st.sampled_from(["Books", "Toys"]),
            "name": st.just("n"),
            "price": st.just("1.00"),
        }
    ),
}
FILES = st.sampled_from(list(ROWS)).flatmap(
    lambda dataset: st.tuples(
        st.sampled_from([f"{dataset}_1.csv", f"{dataset}_2.csv"]),
        st.lists(ROWS[dataset], min_size=1, max_size=4),
    )
)
HOURS = st.integers(0, 20)
BATCHES = st.sets(st.integers(0, 20), min_size=1, max_size=4)


class Shop(RuleBasedStateMachine):
    """Files land at any time; runs take any of them, in any order, and die anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.ledger = Ledger(Folder(self.folder / "ledger"))
        self.landed: list[Version] = []
        self.waiting: list[Version] = []
        self.taken: list[Version] = []
        self.seen: dict[int, oracle.Tables] = {0: oracle.Tables([], [])}
        self.runs = 0

    def teardown(self) -> None:
        for version, tables in self.seen.items():
            if version:
                assert kpis(self.ledger.at(version)) == tables
        self.scratch.cleanup()

    @initialize(files=st.lists(st.tuples(FILES, HOURS), min_size=2, max_size=6))
    def open_the_shop(self, files: Sequence[tuple[tuple[str, list[Row]], int]]) -> None:
        for file, hour in files:
            self.land(file, hour)

    @rule(file=FILES, hour=HOURS)
    def land(self, file: tuple[str, list[Row]], hour: int) -> None:
        name, rows = file
        # The oracle does not know which of two goes first that land as one name in one moment.
        moment = MIDNIGHT + timedelta(hours=hour, seconds=len(self.landed))
        self._land(Version(name, moment, rows))

    @precondition(lambda self: self.landed)
    @rule(which=st.integers(0, 20), another=st.booleans(), hour=HOURS)
    def land_the_same_bytes_again(self, which: int, another: bool, hour: int) -> None:  # noqa: FBT001
        old = self.landed[which % len(self.landed)]
        name = f"again/{old.name}" if another else old.name
        moment = MIDNIGHT + timedelta(hours=hour, seconds=len(self.landed))
        self._land(Version(name, moment, old.rows))

    @rule(first=FILES, second=FILES, hour=HOURS)
    def undo_a_correction(
        self, first: tuple[str, list[Row]], second: tuple[str, list[Row]], hour: int
    ) -> None:
        (name, rows), (other, corrected) = first, second
        if other.partition("_")[0] == name.partition("_")[0] and corrected:
            for content in (rows, corrected, rows):
                self.land((name, content), hour)

    def _land(self, version: Version) -> None:
        self.landed.append(version)
        self.waiting.append(version)

    @precondition(lambda self: self.waiting)
    @rule(batch=BATCHES)
    def run(self, batch: set[int]) -> None:
        self._commit(self._claim(batch))

    @precondition(lambda self: self.taken)
    @rule(batch=BATCHES)
    def replay(self, batch: set[int]) -> None:
        changes = self._commit([self.taken[i % len(self.taken)] for i in sorted(batch)])
        assert (changes.summary.new_files, changes.dates) == (0, frozenset())

    @precondition(lambda self: self.waiting)
    @rule(batch=BATCHES, write=st.integers(0, 11))
    def die_and_retry(self, batch: set[int], write: int) -> None:
        files = self._claim(batch)
        self._die(files, write)
        self._commit(files)

    @precondition(lambda self: self.waiting)
    @rule(batch=BATCHES, write=st.integers(0, 11), next_batch=BATCHES)
    def die_and_let_others_run(self, batch: set[int], write: int, next_batch: set[int]) -> None:
        files = self._claim(batch)
        self._die(files, write)
        self.waiting += files
        self._commit(self._claim(next_batch))

    def _claim(self, batch: set[int]) -> list[Version]:
        files = [self.waiting[i] for i in sorted({i % len(self.waiting) for i in batch})]
        self.waiting = [version for version in self.waiting if version not in files]
        return files

    def _scratch(self) -> tuple[str, Path]:
        self.runs += 1
        return f"run-{self.runs}", self.folder / f"run-{self.runs}"

    def _die(self, files: Sequence[Version], write: int) -> None:
        run_id, scratch = self._scratch()
        base = self.ledger.head()
        changes = merge(base, delivery(files, scratch, run_id), scratch)
        with before_write(write, die):
            try:
                self.ledger.commit(base, changes, run_id=run_id, now=NOON)
            except Died:
                return
        # It had fewer writes than that.
        self._check(base, changes, files)

    def _commit(self, files: Sequence[Version]) -> Changes:
        run_id, scratch = self._scratch()
        base = self.ledger.head()
        changes = merge(base, delivery(files, scratch, run_id), scratch)
        overlaid = kpis(base, changes=changes)
        self.ledger.commit(base, changes, run_id=run_id, now=NOON)
        self._check(base, changes, files)
        assert overlaid == self.seen[self.ledger.head().version]
        return changes

    def _check(self, base: Snapshot, changes: Changes, files: Sequence[Version]) -> None:
        self.taken += files
        head = self.ledger.head()
        assert head.version == base.version + 1
        actual = kpis(head)
        assert actual == oracle.from_versions(self.taken)
        assert changed_dates(self.seen[base.version], actual) <= changes.dates
        assert self.ledger.dates_since(base.version) == changes.dates
        day = date.fromisoformat(DAYS[head.version % len(DAYS)])
        assert kpis(head, {day}) == of_dates(actual, {day})
        self.seen[head.version] = actual


TestShop = Shop.TestCase
TestShop.settings = settings(
    deadline=None,
    max_examples=8 if IN_CI else 20,
    stateful_step_count=12,
    derandomize=IN_CI,
    database=None,
    suppress_health_check=list(HealthCheck),
)
