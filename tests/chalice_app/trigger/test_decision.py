"""The pure decision: what a look at the landing folder means."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalice_app.chalicelib.aws.landing_folder import Listing
from chalice_app.chalicelib.aws.run_lock import Lock
from chalice_app.chalicelib.settings import Settings
from chalice_app.chalicelib.trigger.start_batch import (
    MAX_BATCH_KEY_BYTES,
    Busy,
    Counts,
    Start,
    Wait,
    Waiting,
    batch_id,
    decide,
    execution_input,
    select_batch,
)
from contract.manifest import FileVersion

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(bucket="b", state_machine_arn="arn:aws:states:r:1:stateMachine:M")
LOCK = Lock(owner="arn", run_id="r-0", acquired_at=NOON, expires_at=NOON, etag="e")


def file(name: str, *, minutes_ago: float = 0, etag: str = "e") -> FileVersion:
    return FileVersion(
        key=f"incoming/{name}",
        name=name,
        version_id="v",
        etag=etag,
        size=1,
        landed_at=NOON - timedelta(minutes=minutes_ago),
    )


def listing(orders: int, items: int, products: int, *, minutes_ago: float = 0) -> Listing:
    names = [f"orders_{n}.csv" for n in range(orders)]
    names += [f"order_items_{n}.csv" for n in range(items)]
    names += [f"products_{n}.csv" for n in range(products)]
    return Listing(files=tuple(file(name, minutes_ago=minutes_ago) for name in names))


def test_a_batch_starts_when_every_threshold_is_met() -> None:
    decision = decide(listing(5, 5, 1), None, NOON, SETTINGS)
    assert isinstance(decision, Start)
    assert (len(decision.files), decision.forced, decision.left) == (11, False, 0)


@pytest.mark.parametrize("counts", [(4, 5, 1), (5, 4, 1), (5, 5, 0)])
def test_one_file_short_of_any_threshold_waits(counts: tuple[int, int, int]) -> None:
    decision = decide(listing(*counts), None, NOON, SETTINGS)
    assert decision == Wait(
        counts=Counts(orders=counts[0], items=counts[1], products=counts[2]), since=NOON
    )


def test_a_products_file_that_was_accepted_earlier_meets_its_threshold() -> None:
    decision = decide(listing(5, 5, 0), None, NOON, SETTINGS, products_known=True)
    assert isinstance(decision, Start)
    assert not decision.forced


def test_a_held_lock_means_busy_for_any_number_of_files() -> None:
    assert decide(listing(50, 50, 5), LOCK, NOON, SETTINGS) == Busy(run_id="r-0")


def test_nothing_landed_waits_for_nothing() -> None:
    assert decide(Listing(files=()), None, NOON, SETTINGS) == Wait(
        counts=Counts(), reason="nothing has landed"
    )


@pytest.mark.parametrize(("minutes_ago", "forced"), [(29.9, False), (30, True)])
def test_too_few_files_are_forced_once_the_oldest_has_waited_for_thirty_minutes(
    *, minutes_ago: float, forced: bool
) -> None:
    files = (file("orders_1.csv", minutes_ago=minutes_ago), file("orders_2.csv"))
    decision = decide(Listing(files=files), None, NOON, SETTINGS)
    assert isinstance(decision, Start if forced else Wait)
    if isinstance(decision, Start):
        assert decision.forced
        assert len(decision.files) == 2


def test_what_a_capped_batch_left_need_not_meet_the_thresholds_again() -> None:
    rest = Waiting(since=NOON, rest_of="r-0")
    decision = decide(listing(0, 3, 0), None, NOON, SETTINGS, waiting=rest)
    assert isinstance(decision, Start)
    assert (len(decision.files), decision.forced) == (3, True)


def test_the_cap_takes_the_oldest_files_and_counts_the_others() -> None:
    young = tuple(file(f"orders_{n}.csv") for n in range(1200))
    old = tuple(file(f"order_items_{n}.csv", minutes_ago=5) for n in range(300))
    decision = decide(Listing(files=young + old), None, NOON, SETTINGS, products_known=True)
    assert isinstance(decision, Start)
    assert Counts.of(decision.files) == Counts(orders=200, items=300)
    assert decision.left == 1000


def test_keys_of_full_length_cap_the_batch_before_the_input_grows_too_large() -> None:
    files = [file(f"{'x' * 900}/orders_{n:03}.csv") for n in range(500)]
    batch = select_batch(files, 500)
    assert 90 < len(batch) < 500
    assert sum(len(found.key) for found in batch) < MAX_BATCH_KEY_BYTES


def test_a_runs_name_is_derived_from_the_versions_and_from_nothing_else() -> None:
    one, other = file("orders_1.csv"), file("orders_1.csv", etag="changed")
    assert batch_id([one]) == batch_id([one])
    assert batch_id([one]) != batch_id([other])
    assert batch_id([one]).startswith("20260301T120000Z-")


@given(
    orders=st.integers(0, 9),
    items=st.integers(0, 9),
    products=st.integers(0, 2),
    age=st.floats(0, 60),
    locked=st.booleans(),
    known=st.booleans(),
)
def test_a_decision_never_loses_or_invents_a_file(
    *, orders: int, items: int, products: int, age: float, locked: bool, known: bool
) -> None:
    seen = listing(orders, items, products, minutes_ago=age)
    decision = decide(seen, LOCK if locked else None, NOON, SETTINGS, products_known=known)
    met = orders >= 5 and items >= 5 and (products >= 1 or known)
    if isinstance(decision, Start):
        assert set(decision.files) == set(seen.files)
        assert not locked
        assert decision.forced is not met
    elif isinstance(decision, Wait):
        assert not seen.files or (not met and age < 30)
    else:
        assert locked


def test_the_executions_input_has_the_documented_fields() -> None:
    from contract.manifest import Manifest

    manifest = Manifest(
        run_id="r", bucket="b", created_at=NOON, forced=True, files=listing(1, 1, 1).files
    )
    assert execution_input(manifest) == {
        "run_id": "r",
        "manifest": "runs/r/manifest.json",
        "task": "process",
        "orders_count": 1,
        "items_count": 1,
        "products_count": 1,
        "files": ["incoming/orders_0.csv", "incoming/order_items_0.csv", "incoming/products_0.csv"],
        "forced": True,
    }
