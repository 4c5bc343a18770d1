"""A file that makes every run with it crash is found, and stops no other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalice_app.chalicelib.trigger.crashed_files import CrashedFiles
from chalice_app.chalicelib.trigger.start_batch import Start, Wait
from contract.keys import CRASHED_FILES, RunKeys
from contract.manifest import FileVersion

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAUSE = timedelta(minutes=5)


def files(count: int) -> list[FileVersion]:
    return [
        FileVersion(
            key=f"incoming/orders_{n:03}.csv",
            name=f"orders_{n:03}.csv",
            version_id=f"v{n}",
            etag="e",
            size=1,
            landed_at=NOON + timedelta(seconds=n),
        )
        for n in range(count)
    ]


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_files_that_crash_are_found_if_any_other_run_succeeds(
    case: tuple[int, set[int]],
) -> None:
    count, bad = case
    waiting, state, now, runs = files(count), CrashedFiles(), NOON, 0
    culprits = {waiting[n].key for n in bad}
    found: set[str] = set()
    extra = files(1000)[999]
    while waiting:
        runs += 1
        assert runs < 40 * (len(bad) + 1)
        now += timedelta(days=1)
        batch = state.without_suspects(waiting) or state.suspects_batch(waiting, now, PAUSE)
        if culprits.isdisjoint(file.key for file in batch):
            state = state.after_success(batch)
            waiting = [file for file in waiting if file not in batch]
            continue
        state = state.after_crash(str(runs), batch, now)
        if culprit := state.culprit(batch):
            state = state.without(culprit)
            waiting.remove(culprit)
            found.add(culprit.key)
        # An innocent delivery in between.
        state = state.after_success([extra])
    assert found == culprits


def test_no_file_is_the_culprit_while_no_run_succeeds_and_pauses_double() -> None:
    waiting, state, now = files(2), CrashedFiles(), NOON
    tries = []
    for run in range(9):
        while not (
            batch := state.without_suspects(waiting) or state.suspects_batch(waiting, now, PAUSE)
        ):
            now += timedelta(minutes=1)
        tries.append(now)
        state = state.after_crash(str(run), batch, now)
        assert state.culprit(waiting) is None
    minutes = [(b - a) / timedelta(minutes=1) for a, b in pairwise(tries)]
    assert minutes == [0, 5, 10, 20, 40, 80, 160, 320]


def test_the_same_crash_counts_once() -> None:
    state = CrashedFiles().after_crash("r", files(3), NOON)
    assert state.after_crash("r", files(3), NOON) == state
    assert CrashedFiles.from_json(state.to_json()) == state


def crash(pipeline) -> str:
    """Let the batch that is due crash in its container, as the state machine reports it."""
    decision = pipeline.trigger.tick()
    assert isinstance(decision, Start)
    pipeline.parts.isolate_crash(decision.run_id, "States.TaskFailed: exit code 137")
    pipeline.release_lock(decision.run_id, "States.TaskFailed: exit code 137")
    pipeline.die(decision.run_id)
    pipeline.later += timedelta(hours=1)
    return decision.run_id


def test_the_delivery_after_two_crashes_is_processed_and_the_culprit_goes_to_quarantine(
    pipeline,
) -> None:
    pipeline.upload_batch("bad")
    crash(pipeline)
    crash(pipeline)
    innocent = pipeline.upload_batch("good")
    second_day = pipeline.trigger.check()
    assert sorted(file.name for file in second_day.files) == sorted(innocent)
    pipeline.finish(second_day.run_id)
    quarantined = []
    for _ in range(60):
        decision = pipeline.trigger.tick()
        if isinstance(decision, Wait):
            break
        run_id = decision.run_id
        if any(file.name == "orders_bad3.csv" for file in decision.files):
            pipeline.parts.isolate_crash(run_id, "States.TaskFailed: exit code 137")
            pipeline.release_lock(run_id, "States.TaskFailed: exit code 137")
            pipeline.die(run_id)
            quarantined = pipeline.stored("quarantine/")
        else:
            pipeline.finish(run_id)
        pipeline.later += timedelta(hours=1)
        if quarantined and not pipeline.landing.list().files:
            break
    [key] = quarantined
    culprit_run = key.split("/")[1]
    assert key == RunKeys(culprit_run).quarantined_file("orders_bad3.csv")
    verdict = pipeline.parts.documents.verdict(culprit_run)
    [rejected] = verdict.rejected
    assert (rejected.name, rejected.reason) == ("orders_bad3.csv", "crash")
    assert "exit code 137" in rejected.detail
    assert pipeline.landing.list().files == ()
    done = [key for key in pipeline.stored("processed/") if key.endswith(".csv")]
    assert len(done) == 21


def test_a_document_that_cannot_be_read_stops_no_batch(
    pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.s3.put_object(Bucket=pipeline.settings.bucket, Key=CRASHED_FILES, Body=b"{")
    pipeline.upload_batch()
    assert isinstance(pipeline.trigger.check(), Start)
    assert "unreadable" in caplog.text
