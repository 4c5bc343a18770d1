"""The lock: one holder, and free in bounded time, also after a crash."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from chalice_app.chalicelib.aws.executions import Executions
from chalice_app.chalicelib.aws.run_lock import Lock, RunLock
from chalice_app.chalicelib.trigger.start_batch import Busy, Start, Trigger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=120)


def lock_of(pipeline) -> RunLock:
    executions = Executions(pipeline.sfn, pipeline.settings)
    return RunLock(pipeline.s3, executions, pipeline.settings)


@pytest.mark.parametrize(
    ("status", "seconds_past_expiry", "held"),
    [
        ("RUNNING", -1, True),
        ("RUNNING", 9999, True),
        (None, -1, True),
        (None, 0, False),
        ("SUCCEEDED", -1, False),
        ("FAILED", -1, False),
        ("ABORTED", -1, False),
        ("TIMED_OUT", -1, False),
    ],
)
def test_a_lock_is_held_while_its_execution_runs_or_may_still_start(
    *, status: str | None, seconds_past_expiry: int, held: bool
) -> None:
    lock = Lock(owner="o", run_id="r", acquired_at=NOON - GRACE, expires_at=NOON, etag="e")
    assert lock.is_held(status, NOON + timedelta(seconds=seconds_past_expiry)) is held


def test_of_fifty_takers_one_gets_a_free_lock_and_one_a_stale_one(pipeline) -> None:
    for now in (NOON, NOON + GRACE):
        with ThreadPoolExecutor(16) as pool:
            taken = list(
                pool.map(lambda n, now=now: lock_of(pipeline).acquire(f"r{n}", now), range(50))
            )
        assert Counter(lock is not None for lock in taken) == {True: 1, False: 49}


def test_a_lock_whose_lambda_died_before_starting_the_run_is_free_after_its_grace(
    pipeline,
) -> None:
    pipeline.upload_batch()
    assert lock_of(pipeline).acquire("never-started", pipeline.clock()) is not None
    pipeline.later = timedelta(seconds=60)
    assert isinstance(pipeline.trigger.tick(), Busy)
    pipeline.later = timedelta(seconds=121)
    assert isinstance(pipeline.trigger.tick(), Start)


def test_a_run_that_was_aborted_unheard_loses_its_lock_at_the_next_tick(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check()
    assert isinstance(pipeline.trigger.tick(), Busy)
    pipeline.die(first.run_id)
    second = pipeline.trigger.tick()
    assert isinstance(second, Start)
    assert second.run_id == f"{first.run_id}-2"
    assert pipeline.lock_owner() == second.run_id


def test_a_run_never_releases_a_lock_that_is_another_runs(pipeline) -> None:
    lock = lock_of(pipeline)
    assert lock.acquire("mine", NOON) is not None
    assert lock.release("other") is False
    assert pipeline.lock_owner() == "mine"
    assert lock.release("mine") is True
    assert pipeline.lock_owner() is None
    assert lock.release("mine") is False


def versions_of(pipeline, key: str) -> list[str]:
    """Return the versions and delete markers that a listing of the landing folder has of a key."""
    found = pipeline.s3.list_object_versions(Bucket=pipeline.settings.bucket, Prefix=key)
    return [
        item["VersionId"] for kind in ("Versions", "DeleteMarkers") for item in found.get(kind, [])
    ]


def test_twenty_runs_leave_no_old_version_of_the_lock(pipeline) -> None:
    for number in range(20):
        lock = lock_of(pipeline)
        taken = lock.acquire(f"batch-{number}", NOON)
        assert lock.renew(taken, f"run-{number}", NOON) is not None
        assert len(versions_of(pipeline, pipeline.settings.lock_key)) == 1
        assert lock.release(f"run-{number}")
    assert versions_of(pipeline, pipeline.settings.lock_key) == []


def test_a_lock_that_is_taken_over_or_freed_leaves_no_old_version(pipeline) -> None:
    lock = lock_of(pipeline)
    for number in range(20):
        assert lock.acquire(f"died-{number}", NOON + number * GRACE) is not None
    assert len(versions_of(pipeline, pipeline.settings.lock_key)) == 1
    assert lock.free_if_stale(NOON + 20 * GRACE)
    assert versions_of(pipeline, pipeline.settings.lock_key) == []


def test_what_a_dead_function_left_below_the_lock_does_not_stop_the_next_run(pipeline) -> None:
    """It died after the write that took the lock over, before it deleted the replaced version."""
    lock = lock_of(pipeline)
    first = lock.acquire("died", NOON)
    pipeline.s3.put_object(
        Bucket=pipeline.settings.bucket,
        Key=pipeline.settings.lock_key,
        Body=json.dumps(
            {
                "owner": pipeline.settings.execution_arn("runs"),
                "run_id": "runs",
                "acquired_at": NOON.isoformat(),
                "expires_at": (NOON + GRACE).isoformat(),
            }
        ).encode(),
        IfMatch=first.etag,
    )
    assert lock.release("runs")
    assert lock.acquire("next", NOON + GRACE) is not None
    assert len(versions_of(pipeline, pipeline.settings.lock_key)) == 1


def test_the_note_of_waiting_files_leaves_no_old_version(pipeline) -> None:
    for number in range(5):
        pipeline.upload(f"orders_{number}.csv")
        pipeline.trigger.check()
        assert len(versions_of(pipeline, pipeline.settings.waiting_key)) == 1
        pipeline.s3.delete_object(
            Bucket=pipeline.settings.bucket, Key=f"incoming/orders_{number}.csv"
        )
        pipeline.trigger.check()
        assert versions_of(pipeline, pipeline.settings.waiting_key) == []


def test_the_run_itself_gets_the_lock_that_its_trigger_took(pipeline) -> None:
    lock = lock_of(pipeline)
    lock.acquire("mine", NOON)
    assert lock.acquire("mine", NOON) is None
    assert lock.is_of("mine")
    assert not lock.is_of("other")


def test_a_lock_object_that_is_no_lock_is_taken_over(pipeline) -> None:
    pipeline.upload_batch()
    pipeline.upload("pipeline.lock", body=b"touched by hand")
    assert isinstance(pipeline.trigger.check(), Start)


def test_a_start_that_fails_gives_the_lock_back(pipeline_with) -> None:
    pipeline = pipeline_with()
    pipeline.upload_batch()
    pipeline.sfn.delete_state_machine(stateMachineArn=pipeline.settings.state_machine_arn)
    with pytest.raises(pipeline.sfn.exceptions.StateMachineDoesNotExist):
        pipeline.trigger.check()
    assert pipeline.lock_owner() is None


def test_a_starter_that_lost_its_lock_on_the_way_starts_nothing(pipeline, monkeypatch) -> None:
    """It is slower than its grace: another trigger takes over between its lock and its start."""
    pipeline.upload_batch()
    slow, freeze = pipeline.trigger, Trigger._freeze

    def freeze_slowly(self: Trigger, run_id: str, start: Start) -> object:
        monkeypatch.setattr(Trigger, "_freeze", freeze)
        pipeline.later = timedelta(seconds=121)
        started = pipeline.trigger.check()
        assert isinstance(started, Start)
        return freeze(self, run_id, start)

    monkeypatch.setattr(Trigger, "_freeze", freeze_slowly)
    assert isinstance(slow.check(), Busy)
    [run_id] = pipeline.executions("RUNNING")
    assert pipeline.lock_owner() == run_id
    # The manifest of the running run is the one that it was started with.
    versions = pipeline.s3.list_object_versions(
        Bucket=pipeline.settings.bucket, Prefix=f"runs/{run_id}/manifest.json"
    )["Versions"]
    assert len(versions) == 1
