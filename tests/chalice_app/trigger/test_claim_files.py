"""Runs started by hand: what each kind claims, and where its files are when it has ended."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from chalice_app.chalicelib.trigger.finish_run import AllFilesRejected
from chalice_app.chalicelib.trigger.run_request import ClaimError
from chalice_app.chalicelib.trigger.start_batch import Start
from contract.keys import RunKeys


def processed_run(pipeline, tag: str = "") -> str:
    """Take a batch through to processed/; return its run."""
    pipeline.upload_batch(tag)
    run_id = pipeline.trigger.check().run_id
    pipeline.finish(run_id)
    return run_id


def delete_all_versions(pipeline, prefix: str) -> None:
    found = pipeline.s3.list_object_versions(Bucket=pipeline.settings.bucket, Prefix=prefix)
    for version in found["Versions"]:
        pipeline.s3.delete_object(
            Bucket=pipeline.settings.bucket, Key=version["Key"], VersionId=version["VersionId"]
        )


def test_a_finished_run_is_replayed_from_processed_with_names_and_landing_times(pipeline) -> None:
    first = processed_run(pipeline)
    given = pipeline.begin("again", replay_of=first)
    assert (given["met"], given["task"], given["orders_count"]) == (True, "process", 5)
    before, after = pipeline.manifest(first).files, pipeline.manifest("again").files
    assert [(f.name, f.landed_at, f.size) for f in after] == [
        (f.name, f.landed_at, f.size) for f in before
    ]
    for file in after:
        assert file.key == RunKeys(first).processed(file.name)
        head = pipeline.s3.head_object(Bucket=pipeline.settings.bucket, Key=file.key)
        assert (file.version_id, f'"{file.etag}"') == (head["VersionId"], head["ETag"])


def test_a_replay_leaves_processed_as_it_is_and_reports_what_is_rejected_now(pipeline) -> None:
    first = processed_run(pipeline)
    before = pipeline.stored("processed/")
    pipeline.begin("again", replay_of=first)
    pipeline.write_verdict("again", orders_3="rejected")
    assert pipeline.quarantine_rejected("again") == {"outcome": "partly_accepted", "files_moved": 0}
    assert pipeline.finish_run("again") == {"files_moved": 0, "released": True}
    assert pipeline.stored("processed/") == before
    assert pipeline.stored("quarantine/") == []


def test_a_replay_that_rejects_everything_moves_nothing_either(pipeline) -> None:
    first = processed_run(pipeline)
    before = pipeline.stored("processed/")
    pipeline.begin("again", replay_of=first)
    names = [file.name.removesuffix(".csv") for file in pipeline.manifest("again").files]
    pipeline.write_verdict("again", **dict.fromkeys(names, "rejected"))
    with pytest.raises(AllFilesRejected):
        pipeline.quarantine_rejected("again")
    assert pipeline.stored("processed/") == before


def test_a_file_of_the_same_name_that_has_landed_since_is_no_part_of_a_replay(pipeline) -> None:
    first = processed_run(pipeline)
    pipeline.upload("orders_0.csv", body=b"of the next day")
    pipeline.begin("again", replay_of=first)
    assert {file.key.split("/")[0] for file in pipeline.manifest("again").files} == {"processed"}
    pipeline.write_verdict("again")
    pipeline.finish_run("again")
    assert "incoming/orders_0.csv" in pipeline.stored("incoming/")


def test_a_replay_of_a_replay_reads_the_same_files(pipeline) -> None:
    first = processed_run(pipeline)
    pipeline.begin("again", replay_of=first)
    pipeline.finish("again")
    pipeline.begin("once-more", replay_of="again")
    assert pipeline.manifest("once-more").files == pipeline.manifest("again").files


def test_a_failed_run_is_replayed_from_what_it_left_without_waiting_for_more(pipeline) -> None:
    pipeline.upload("orders_1.csv", "orders_2.csv")
    pipeline.later = timedelta(minutes=31)
    first = pipeline.trigger.tick().run_id
    pipeline.write_verdict(first, orders_2="rejected")
    pipeline.quarantine_rejected(first)
    pipeline.release_lock(first, "TransformFiles: out of memory")
    pipeline.die(first)
    pipeline.upload("orders_other.csv")
    pipeline.later = timedelta()
    assert pipeline.begin("again", replay_of=first)["met"]
    assert [file.key for file in pipeline.manifest("again").files] == ["incoming/orders_1.csv"]


def test_a_run_that_died_while_its_files_were_moved_is_replayed_whole(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    files = pipeline.manifest(first).files
    pipeline.landing.move(
        first, ((file, RunKeys(first).processed(file.name)) for file in files[:3])
    )
    # A file is copied, then deleted: this one was to be deleted next.
    pipeline.s3.copy_object(
        Bucket=pipeline.settings.bucket,
        Key=RunKeys(first).processed(files[3].name),
        CopySource={"Bucket": pipeline.settings.bucket, "Key": files[3].key},
    )
    pipeline.die(first)
    pipeline.upload("orders_0.csv", body=b"newer than the run")
    pipeline.begin("again", replay_of=first)
    again = pipeline.manifest("again").files
    assert sorted(file.name for file in again) == sorted(file.name for file in files)
    assert sum(file.key.startswith("processed/") for file in again) == 4
    assert {file.size for file in again} == {1}


def test_a_rebuild_claims_everything_that_was_ever_processed_in_all_pages(pipeline) -> None:
    runs = [processed_run(pipeline, tag) for tag in ("a", "b")]
    expected = {
        (f"processed/{run}/{file.name}", file.name, file.landed_at)
        for run in runs
        for file in pipeline.manifest(run).files
    }
    bucket = pipeline.settings.bucket

    def put(n: int) -> None:
        pipeline.s3.put_object(Bucket=bucket, Key=f"processed/old/orders_{n:04}.csv", Body=b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1000)))
    given = pipeline.begin("rebuild", rebuild=True)
    manifest = pipeline.manifest("rebuild")
    assert (manifest.task, len(manifest.files)) == ("rebuild", 1022)
    claimed = {(file.key, file.name, file.landed_at) for file in manifest.files}
    assert expected <= claimed
    assert (given["task"], given["orders_count"], given["files"]) == ("rebuild", 1010, [])
    assert len(json.dumps(given)) < 1000


def test_the_processed_folder_alone_has_the_landing_time_of_a_file(pipeline) -> None:
    run = processed_run(pipeline)
    landed = {file.name: file.landed_at for file in pipeline.manifest(run).files}
    delete_all_versions(pipeline, f"runs/{run}/")
    pipeline.begin("rebuild", rebuild=True)
    assert {f.name: f.landed_at for f in pipeline.manifest("rebuild").files} == landed


def test_a_run_that_kept_no_manifest_with_its_files_is_understood_from_its_own(pipeline) -> None:
    run = processed_run(pipeline)
    landed = {file.name: file.landed_at for file in pipeline.manifest(run).files}
    delete_all_versions(pipeline, RunKeys(run).kept_manifest)
    pipeline.begin("rebuild", rebuild=True)
    assert {f.name: f.landed_at for f in pipeline.manifest("rebuild").files} == landed


@pytest.mark.parametrize("manifest", [None, b'{"files": []}'])
def test_a_file_that_no_manifest_knows_has_landed_when_it_was_put_into_processed(
    pipeline, manifest: bytes | None
) -> None:
    bucket, key = pipeline.settings.bucket, "processed/by-hand/a/orders_1.csv"
    pipeline.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    if manifest is not None:
        pipeline.s3.put_object(Bucket=bucket, Key=RunKeys("by-hand").manifest, Body=manifest)
    pipeline.begin("rebuild", rebuild=True)
    [file] = pipeline.manifest("rebuild").files
    assert file.name == "a/orders_1.csv"
    assert file.landed_at == pipeline.s3.head_object(Bucket=bucket, Key=key)["LastModified"]


def test_a_recompute_claims_dates_and_no_files_and_ends_without_a_verdict(pipeline) -> None:
    pipeline.upload_batch()
    given = pipeline.begin("recompute", recompute={"from": "2025-03-01", "to": "2025-03-31"})
    assert (given["met"], given["task"], given["files"]) == (True, "recompute", [])
    manifest = pipeline.manifest("recompute")
    assert (manifest.files, manifest.start, manifest.end) == (
        (),
        date(2025, 3, 1),
        date(2025, 3, 31),
    )
    assert pipeline.finish_run("recompute") == {"files_moved": 0, "released": True}
    assert len(pipeline.landing.list().files) == 11


@pytest.mark.parametrize(
    ("first", "task"),
    [
        ({"recompute": {"from": "2025-03-01", "to": "2025-03-01"}}, "recompute"),
        ({"rebuild": True}, "rebuild"),
    ],
)
def test_a_replay_of_a_recompute_or_a_rebuild_does_the_same_again(
    pipeline, first: dict, task: str
) -> None:
    processed_run(pipeline)
    pipeline.begin("first", **first)
    pipeline.release_lock("first")
    pipeline.die("first")
    pipeline.begin("again", replay_of="first")
    one, other = pipeline.manifest("first"), pipeline.manifest("again")
    assert other.task == task
    assert (one.start, one.end, one.files) == (other.start, other.end, other.files)


@pytest.mark.parametrize(
    "given", [{"rebuild": True}, {"recompute": {"from": "2025-03-01", "to": "2025-03-02"}}]
)
def test_a_run_started_by_hand_waits_for_the_lock_and_gives_up_in_the_end(
    pipeline, given: dict
) -> None:
    pipeline.upload_batch()
    running = pipeline.trigger.check()
    assert isinstance(running, Start)
    waiting = pipeline.begin("by-hand", **given)
    assert (waiting["met"], waiting["task"]) == (False, "process")
    pipeline.later = timedelta(minutes=31)
    with pytest.raises(ClaimError, match="by-hand: another run has held the lock since"):
        pipeline.begin("by-hand", **given)
    assert pipeline.lock_owner() == running.run_id


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"recompute": {"from": "2025-03-31", "to": "2025-03-01"}},
            r'recompute is from 2025-03-31 to 2025-03-01: .* give {"from": "2025-03-01", "to"',
        ),
        ({"recompute": {"from": "March"}}, "recompute is .*: give dates"),
        ({"recompute": "2025-03-01"}, "recompute is '2025-03-01': give dates"),
        ({"replay_of": "no-such-run"}, "run no-such-run has no manifest"),
        ({"replay_of": 7}, "replay_of is 7: start the machine with"),
        ({"rebuild": "yes"}, "rebuild is 'yes': start the machine with"),
        ({"rebuild": True}, "processed/ is empty"),
        ({"files": "incoming/orders_1.csv"}, "files is .*: start the machine with"),
        ({"rebuild": True, "replay_of": "x"}, "the input has replay_of and rebuild"),
    ],
)
def test_an_input_that_cannot_be_met_is_answered_with_what_to_give(
    pipeline, given: dict, message: str
) -> None:
    with pytest.raises(ClaimError, match=message) as failure:
        pipeline.begin("by-hand", **given)
    assert "\n" not in str(failure.value)


def test_a_run_whose_files_are_all_in_quarantine_leaves_nothing_to_replay(pipeline) -> None:
    names = pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    pipeline.write_verdict(first, **{name.removesuffix(".csv"): "rejected" for name in names})
    with pytest.raises(AllFilesRejected):
        pipeline.quarantine_rejected(first)
    pipeline.release_lock(first)
    pipeline.die(first)
    with pytest.raises(ClaimError, match="deliver them again"):
        pipeline.begin("again", replay_of=first)


def processed_batch(pipeline) -> tuple[str, list[str]]:
    """Process eleven files; return the run and their keys."""
    keys = [f"incoming/{name}" for name in pipeline.upload_batch()]
    run_id = pipeline.trigger.check().run_id
    pipeline.begin(run_id)
    pipeline.finish(run_id)
    return run_id, keys


def test_a_run_whose_files_an_earlier_run_has_just_processed_ends_well_at_once_and_says_so(
    pipeline,
) -> None:
    first, keys = processed_batch(pipeline)
    answer = pipeline.begin("by-hand", files=keys)
    assert (answer["decision"], answer["processed_by"]) == ("already_processed", first)
    assert answer["reason"] == (
        f"incoming/order_items_0.csv and 10 more are in run {first}, processed: to process its "
        f'files again, start with {{"replay_of": "{first}"}} or shopkpi replay {first} --wait'
    )
    assert pipeline.lock_owner() is None
    assert pipeline.finish_run("by-hand") == {"files_moved": 0, "released": False}
    assert pipeline.records.get("by-hand")["state"] == "SUCCEEDED"
    assert len(pipeline.stored(f"processed/{first}/")) >= 11


def test_processed_files_end_a_run_at_once_even_while_another_run_has_the_lock(pipeline) -> None:
    first, _ = processed_batch(pipeline)
    pipeline.upload_batch("next")
    assert isinstance(pipeline.trigger.check(), Start)
    answer = pipeline.begin("by-hand", files=["incoming/orders_0.csv"])
    assert answer["reason"].startswith(f"incoming/orders_0.csv is in run {first}, processed")


def test_a_processed_file_that_is_delivered_again_is_processed_again(pipeline) -> None:
    processed_batch(pipeline)
    pipeline.upload_batch("again")
    pipeline.upload("orders_0.csv")
    answer = pipeline.begin("by-hand", files=["incoming/orders_0.csv"], forced=True)
    assert (answer["met"], answer["files"]) == (True, ["incoming/orders_0.csv"])


@pytest.mark.parametrize("other", ["orders_new.csv", "orders_typo.csv"])
def test_a_processed_file_beside_one_that_is_not_fails_the_run_by_its_name(
    pipeline, other: str
) -> None:
    first, _ = processed_batch(pipeline)
    pipeline.upload("orders_new.csv")
    files = ["incoming/orders_0.csv", f"incoming/{other}"]
    with pytest.raises(ClaimError, match=rf"orders_0.csv is in run {first}, processed"):
        pipeline.begin("by-hand", files=files)


def test_a_file_that_a_run_has_rejected_is_refused_at_once_with_what_to_do(pipeline) -> None:
    pipeline.upload_batch()
    first = pipeline.trigger.check().run_id
    pipeline.begin(first)
    pipeline.write_verdict(first, orders_3="rejected")
    pipeline.quarantine_rejected(first)
    pipeline.finish_run(first)
    pipeline.die(first)
    for files in (["orders_3.csv"], ["orders_2.csv", "orders_3.csv"]):
        with pytest.raises(ClaimError, match=rf"orders_3.csv is in run {first}, rejected: correct"):
            pipeline.begin("by-hand", files=[f"incoming/{name}" for name in files])


@pytest.mark.parametrize("given", [{"forced": True}, {}])
def test_a_named_file_that_is_not_there_is_named_and_the_others_are_not_processed_without_it(
    pipeline, given: dict
) -> None:
    keys = [f"incoming/{name}" for name in pipeline.upload_batch()]
    with pytest.raises(ClaimError, match=r"incoming/orders_typo\.csv is not in incoming/: upload"):
        pipeline.begin("by-hand", files=[*keys, "incoming/orders_typo.csv"], **given)
    assert len(pipeline.landing.list().files) == 11


def test_a_run_started_by_hand_knows_the_files_that_are_not_recognised(pipeline) -> None:
    pipeline.upload_batch()
    pipeline.upload("sales_2025.csv")
    assert pipeline.begin("by-hand")["met"] is True
    [other] = pipeline.manifest("by-hand").not_recognised
    assert other.key == "incoming/sales_2025.csv"


CREATED = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"object": {"key": "incoming/orders_0.csv"}},
}


def test_a_run_that_an_upload_has_started_counts_the_folder_and_claims_it(pipeline) -> None:
    pipeline.upload("orders_0.csv")
    assert pipeline.begin("by-event", **CREATED)["met"] is False
    pipeline.upload_batch()
    given = pipeline.begin("by-event", **CREATED)
    assert (given["met"], given["orders_count"], len(given["files"])) == (True, 5, 11)


def test_of_eleven_runs_that_eleven_uploads_start_one_has_the_files_and_ten_are_ignored(
    pipeline,
) -> None:
    pipeline.upload_batch()
    answers = [pipeline.begin(f"by-event-{n}", **CREATED) for n in range(11)]
    assert [answer.get("met", "ignored") for answer in answers] == [True, *["ignored"] * 10]
    assert {answer["reason"] for answer in answers[1:]} == {
        "another run has the lock; its end starts a new check"
    }
    pipeline.finish("by-event-0")
    late = pipeline.begin("late", **CREATED)
    assert pipeline.lock_owner() == "late"
    assert pipeline.finish_run("late") == {"files_moved": 0, "released": True}
    assert late == {
        "run_id": "late",
        "decision": "ignored",
        "reason": "no file waits: an earlier run has taken them all",
    }
