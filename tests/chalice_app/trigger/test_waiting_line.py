"""Runs started by hand wait in line, and get the lock before the next batch does."""

from datetime import timedelta

import pytest

from chalice_app.chalicelib.aws import waiting_runs
from chalice_app.chalicelib.aws.waiting_runs import WaitingRun, WaitingRuns
from chalice_app.chalicelib.trigger.run_request import ClaimError
from chalice_app.chalicelib.trigger.start_batch import Busy, Start

MARCH = {"recompute": {"from": "2025-03-01", "to": "2025-03-31"}}


def line(pipeline) -> list[str]:
    return [
        run.run_id for run in WaitingRuns(pipeline.dynamodb, pipeline.settings.runs_table).list()
    ]


def finish(pipeline, run_id: str) -> None:
    """Do what the last states of a run do; its execution is still running."""
    pipeline.write_verdict(run_id)
    pipeline.finish_run(run_id)


def end(pipeline, run_id: str) -> object:
    """End a run that has the lock, as its last states and the rule on its end do."""
    finish(pipeline, run_id)
    pipeline.die(run_id)
    return pipeline.trigger.execution_ended(run_id, "SUCCEEDED")


def test_each_of_many_runs_gets_its_turn_in_order_while_batches_land_all_the_time(pipeline) -> None:
    by_hand = [f"by-hand-{n:02}" for n in range(12)]
    pipeline.upload_batch()
    running = pipeline.trigger.check().run_id
    for run_id in by_hand:
        assert not pipeline.begin(run_id, **MARCH)["met"]
    turns = []
    for n in range(12):
        # A batch is ready at the end of each run, and a run that waits looks only after that.
        pipeline.upload_batch(f"next{n}")
        end(pipeline, running)
        running = pipeline.lock_owner()
        turns += [run_id for run_id in by_hand if run_id not in turns and looks(pipeline, run_id)]
    assert turns == by_hand
    assert line(pipeline) == []
    end(pipeline, running)
    assert pipeline.lock_owner() not in by_hand, "then the batch starts"


def looks(pipeline, run_id: str) -> bool:
    return pipeline.begin(run_id, **MARCH)["met"]


def test_an_upload_between_a_runs_release_and_its_end_does_not_pass_the_line(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    pipeline.begin("by-hand", **MARCH)
    finish(pipeline, first)
    pipeline.upload_batch("next")
    assert pipeline.trigger.check() == Busy(run_id="by-hand")
    assert pipeline.lock_owner() == "by-hand"


def test_a_run_that_dies_while_it_waits_is_passed_over(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    for run_id in ("dies", "lives"):
        pipeline.begin(run_id, **MARCH)
    pipeline.die("dies")
    end(pipeline, first)
    assert pipeline.lock_owner() == "lives"
    assert line(pipeline) == ["lives"]


def test_a_run_that_dies_before_it_sees_its_turn_blocks_nobody(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    pipeline.begin("by-hand", **MARCH)
    end(pipeline, first)
    assert pipeline.lock_owner() == "by-hand"
    pipeline.die("by-hand")
    pipeline.upload_batch("next")
    assert isinstance(pipeline.trigger.tick(), Start)
    assert line(pipeline) == []


def test_a_turn_whose_grant_was_lost_is_granted_by_the_schedule_or_the_next_look(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    for run_id in ("one", "two"):
        pipeline.begin(run_id, **MARCH)
    finish(pipeline, first)
    pipeline.die(first)
    # Nobody has called execution_ended. The second in line looks first: the first gets the lock.
    assert not looks(pipeline, "two")
    assert pipeline.lock_owner() == "one"
    pipeline.die("one")
    pipeline.trigger.tick()
    assert pipeline.lock_owner() == "two"


def test_looking_again_keeps_a_runs_place(pipeline) -> None:
    pipeline.upload_batch()
    pipeline.trigger.check()
    for run_id in ("one", "two", "one", "one"):
        pipeline.begin(run_id, **MARCH)
    assert line(pipeline) == ["one", "two"]


def test_the_line_is_bounded_and_a_run_beyond_it_ends_at_once(pipeline, monkeypatch) -> None:
    monkeypatch.setattr(waiting_runs, "MAX_WAITING", 2)
    pipeline.upload_batch()
    pipeline.trigger.check()
    for run_id in ("one", "two"):
        pipeline.begin(run_id, **MARCH)
    with pytest.raises(ClaimError, match="runs are waiting for the lock already; start again when"):
        pipeline.begin("three", **MARCH)
    assert not pipeline.begin("two", **MARCH)["met"]


def test_a_run_waits_longer_than_half_an_hour_while_the_line_moves(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    for run_id in ("one", "two"):
        pipeline.begin(run_id, **MARCH)
    pipeline.later = timedelta(minutes=29)
    end(pipeline, first)
    assert looks(pipeline, "one")
    pipeline.later = timedelta(minutes=50)
    assert not looks(pipeline, "two")
    pipeline.later = timedelta(minutes=60)
    with pytest.raises(ClaimError, match="two: another run has held the lock since"):
        looks(pipeline, "two")
    assert line(pipeline) == []


def test_a_waiting_run_is_the_same_text_each_time() -> None:
    text = "2026-03-01T12:00:00.000+00:00 by-hand"
    assert str(WaitingRun.parse(text)) == text
