"""The trigger on a real bucket: one run at a time, and every file in exactly one of them."""

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalice_app.chalicelib.trigger.finish_run import AllFilesRejected, VerdictError
from chalice_app.chalicelib.trigger.start_batch import Busy, Start, Wait
from contract.keys import MAX_NAME_BYTES, RunKeys


def test_eleven_files_become_one_run_with_a_manifest_and_the_lock(pipeline) -> None:
    names = pipeline.upload_batch()
    decision = pipeline.trigger.check()
    assert isinstance(decision, Start)
    assert pipeline.executions("RUNNING") == [decision.run_id]
    assert pipeline.lock_owner() == decision.run_id
    manifest = pipeline.manifest(decision.run_id)
    assert sorted(file.name for file in manifest.files) == sorted(names)
    heads = {
        file.key: pipeline.s3.head_object(Bucket=pipeline.settings.bucket, Key=file.key)
        for file in manifest.files
    }
    for file in manifest.files:
        assert file.version_id == heads[file.key]["VersionId"]
        assert f'"{file.etag}"' == heads[file.key]["ETag"]
        assert file.size == heads[file.key]["ContentLength"]
        assert file.landed_at == heads[file.key]["LastModified"]


def test_two_hundred_copies_of_an_event_start_one_execution(pipeline) -> None:
    pipeline.upload_batch()
    with ThreadPoolExecutor(32) as pool:
        decisions = list(pool.map(lambda _: pipeline.trigger.check(), range(200)))
    kinds = Counter(type(decision) for decision in decisions)
    assert kinds == {Start: 1, Busy: 199}
    assert len(pipeline.executions()) == 1
    assert len(pipeline.stored("runs/")) == 1


def test_a_file_that_lands_during_a_run_is_claimed_by_the_next(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check()
    pipeline.upload_batch("late")
    assert isinstance(pipeline.trigger.check(), Busy)
    pipeline.finish(first.run_id)
    second = pipeline.trigger.execution_ended(first.run_id, "SUCCEEDED")
    assert isinstance(second, Start)
    assert {file.name for file in second.files} == {
        key.rsplit("/", 1)[-1] for key in pipeline.stored("incoming/") if key.endswith(".csv")
    }


def test_a_file_overwritten_during_its_run_stays_and_is_claimed_again(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check()
    pipeline.upload("orders_0.csv", body=b"corrected")
    pipeline.finish(first.run_id)
    assert pipeline.stored("incoming/") == ["incoming/orders_0.csv"]
    processed = pipeline.s3.get_object(
        Bucket=pipeline.settings.bucket, Key=f"processed/{first.run_id}/orders_0.csv"
    )
    assert processed["Body"].read() == b"x"
    pipeline.later = timedelta(minutes=31)
    second = pipeline.trigger.tick()
    assert isinstance(second, Start)
    assert [(file.name, file.size) for file in second.files] == [("orders_0.csv", 9)]


def test_an_overwritten_version_that_no_run_had_claimed_comes_back_when_its_successor_leaves(
    pipeline,
) -> None:
    pipeline.upload("orders_0.csv", body=b"first")
    pipeline.upload_batch()
    run = pipeline.trigger.check()
    pipeline.finish(run.run_id)
    listing = pipeline.landing.list()
    assert [(file.name, file.size) for file in listing.files] == [("orders_0.csv", 5)]


def test_rejected_files_end_in_quarantine_and_the_others_in_processed(pipeline) -> None:
    names = pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    pipeline.write_verdict(run_id, orders_3="rejected", orders_4="duplicate")
    assert pipeline.quarantine_rejected(run_id) == {"outcome": "partly_accepted", "files_moved": 1}
    assert pipeline.stored("quarantine/") == [f"quarantine/{run_id}/files/orders_3.csv"]
    assert len(pipeline.stored("incoming/orders")) == 4
    pipeline.finish_run(run_id)
    assert pipeline.stored("incoming/") == []
    assert pipeline.stored("processed/") == sorted(
        [RunKeys(run_id).kept_manifest]
        + [RunKeys(run_id).processed(name) for name in names if name != "orders_3.csv"]
    )


def test_finishing_a_run_twice_changes_nothing(pipeline) -> None:
    pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    pipeline.write_verdict(run_id, orders_3="rejected")
    for _ in range(2):
        pipeline.quarantine_rejected(run_id)
    pipeline.finish_run(run_id)
    before = pipeline.stored()
    assert pipeline.finish_run(run_id) == {"files_moved": 0, "released": False}
    assert pipeline.stored() == before


def test_a_batch_of_only_bad_files_leaves_the_landing_folder_empty(pipeline) -> None:
    names = pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    pipeline.write_verdict(run_id, **{name.removesuffix(".csv"): "rejected" for name in names})
    with pytest.raises(AllFilesRejected, match="No row was accepted; 11 files were rejected"):
        pipeline.quarantine_rejected(run_id)
    assert [key for key in pipeline.stored("incoming/") if key.endswith(".csv")] == []
    assert len(pipeline.stored(f"quarantine/{run_id}/files/")) == 11


def test_a_verdict_of_another_release_moves_nothing_and_says_what_to_deploy(pipeline) -> None:
    pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    pipeline.write_verdict(run_id, orders_3="rejected")
    where = {"Bucket": pipeline.settings.bucket, "Key": RunKeys(run_id).verdict}
    text = pipeline.s3.get_object(**where)["Body"].read().decode()
    body = text.replace('"partly_accepted"', '"mostly_accepted"').encode()
    pipeline.s3.put_object(**where, Body=body)
    with pytest.raises(VerdictError, match=r"outcome.*of one release"):
        pipeline.quarantine_rejected(run_id)
    assert pipeline.stored("quarantine/") == []


def test_too_few_files_are_noted_with_their_time_and_forced_by_the_schedule(pipeline) -> None:
    pipeline.upload("orders_1.csv", "orders_2.csv")
    assert isinstance(pipeline.trigger.check(), Wait)
    body = pipeline.s3.get_object(
        Bucket=pipeline.settings.bucket, Key=pipeline.settings.waiting_key
    )["Body"].read()
    landed = min(file.landed_at for file in pipeline.landing.list().files)
    assert json.loads(body) == {"since": landed.isoformat(), "rest_of": None}
    pipeline.later = timedelta(minutes=31)
    decision = pipeline.trigger.tick()
    assert isinstance(decision, Start)
    assert decision.forced
    assert pipeline.settings.waiting_key not in pipeline.stored()


def test_neither_the_lock_nor_the_timestamp_counts_as_a_file(pipeline) -> None:
    pipeline.upload("orders_1.csv")
    pipeline.trigger.check()
    pipeline.upload("pipeline.lock", "readme.txt")
    listing = pipeline.landing.list()
    assert [file.name for file in listing.files] == ["orders_1.csv"]
    assert [file.key for file in listing.not_recognised] == ["incoming/readme.txt"]
    assert (listing.has_lock, listing.has_waiting) == (True, True)


def test_a_file_that_is_not_recognised_is_in_the_manifest_and_in_the_age_of_the_oldest_file(
    pipeline, caplog
) -> None:
    pipeline.upload("sales_2025.csv")
    pipeline.later = timedelta(minutes=200)
    with caplog.at_level("INFO"):
        assert pipeline.trigger.tick().reason == "nothing has landed"
    [line] = [record for record in caplog.records if record.message == "files waiting"]
    assert (line.FilesWaiting, line.FilesNotRecognised) == (0, 1)
    assert line.OldestFileSeconds >= 200 * 60
    pipeline.upload_batch()
    run_id = pipeline.trigger.check().run_id
    manifest = pipeline.manifest(run_id)
    assert [file.name for file in manifest.not_recognised] == ["sales_2025.csv"]
    assert "sales_2025.csv" not in {file.name for file in manifest.files}


def test_products_that_an_earlier_run_accepted_are_not_needed_again(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check()
    pipeline.finish(first.run_id)
    pipeline.upload(*[f"orders_b{n}.csv" for n in range(5)])
    pipeline.upload(*[f"order_items_b{n}.csv" for n in range(5)])
    decision = pipeline.trigger.check()
    assert isinstance(decision, Start)
    assert not decision.forced


def test_the_rest_of_a_capped_batch_follows_at_once(pipeline_with: Callable) -> None:
    pipeline = pipeline_with(max_batch_files=8)
    names = pipeline.upload_batch()
    first = pipeline.trigger.check()
    assert (len(first.files), first.left) == (8, 3)
    pipeline.finish(first.run_id)
    second = pipeline.trigger.execution_ended(first.run_id, "SUCCEEDED")
    assert (len(second.files), second.left) == (3, 0)
    claimed = [file.name for run in (first, second) for file in run.files]
    assert sorted(claimed) == sorted(names)


# Files of the landing folder that more than one page of the listing is needed for.
def test_every_page_of_the_listing_is_read(pipeline) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: pipeline.upload(f"orders_{n:04}.csv"), range(1100)))
    assert len(pipeline.landing.list().files) == 1100


def test_a_failed_batch_is_tried_three_times_by_the_schedule_and_then_given_up(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check()
    names = [first.run_id]
    for _ in range(2):
        pipeline.die(names[-1])
        assert pipeline.trigger.execution_ended(names[-1], "FAILED") is None
        assert pipeline.lock_owner() is None
        again = pipeline.trigger.tick()
        assert isinstance(again, Start)
        names.append(again.run_id)
    assert names == [first.run_id, f"{first.run_id}-2", f"{first.run_id}-3"]
    pipeline.die(names[-1])
    given_up = pipeline.trigger.tick()
    assert isinstance(given_up, Wait)
    assert given_up.reason == "this batch has failed too often"
    assert pipeline.lock_owner() is None
    pipeline.upload("orders_new.csv")
    assert isinstance(pipeline.trigger.check(), Start)


@pytest.mark.parametrize("seed", range(4))
def test_lost_repeated_and_reordered_events_leave_every_file_in_exactly_one_run(
    pipeline, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a seed makes the sequence repeatable
    uploads = [f"{kind}_{n}.csv" for kind in ("orders", "order_items") for n in range(12)]
    uploads += ["products_a.csv", "products_b.csv"]
    dice.shuffle(uploads)
    done: list[str] = []
    while uploads or pipeline.executions("RUNNING"):
        for name in uploads[:3]:
            pipeline.upload(name)
        uploads = uploads[3:]
        for _ in range(dice.choice([0, 0, 1, 3])):
            pipeline.trigger.check()
        running = pipeline.executions("RUNNING")
        assert len(running) <= 1
        if running and dice.random() < 0.5:
            pipeline.finish(running[0])
            done.append(running[0])
            if dice.random() < 0.5:
                pipeline.trigger.execution_ended(running[0], "SUCCEEDED")
    pipeline.later = timedelta(minutes=31)
    last = pipeline.trigger.tick()
    if isinstance(last, Start):
        pipeline.finish(last.run_id)
        done.append(last.run_id)
    claimed = Counter(file.name for run in done for file in pipeline.manifest(run).files)
    assert len(claimed) == 26
    assert set(claimed.values()) == {1}
    assert pipeline.stored("incoming/") == []


def test_a_name_whose_key_in_quarantine_would_be_too_long_is_not_claimed(pipeline_with) -> None:
    pipeline = pipeline_with(min_order_files=0, min_item_files=0, min_product_files=0)
    longest = f"orders_{'x' * (MAX_NAME_BYTES - 11)}.csv"
    too_long = f"orders_{'ü' * (MAX_NAME_BYTES // 2)}.csv"
    pipeline.upload(longest, too_long)
    listing = pipeline.landing.list()
    assert [file.name for file in listing.files] == [longest]
    assert [file.key for file in listing.not_recognised] == [f"incoming/{too_long}"]
    run_id = pipeline.trigger.check().run_id
    pipeline.begin(run_id)
    pipeline.write_verdict(run_id, **{longest.removesuffix(".csv"): "rejected"})
    with pytest.raises(AllFilesRejected):
        pipeline.quarantine_rejected(run_id)
    keys = RunKeys(run_id)
    assert pipeline.stored("quarantine/") == [keys.quarantined_file(longest)]


def test_the_longest_key_of_a_name_fits_into_s3() -> None:
    run_id = "r" * 80
    read_again = RunKeys(run_id).processed("n" * MAX_NAME_BYTES)
    assert len(f"{RunKeys(run_id).quarantined_file(read_again)}.reason.json") <= 1024
