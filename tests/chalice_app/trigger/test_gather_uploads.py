"""A burst of uploads: few listings, and no upload without a check."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Final

from chalice_app.chalicelib.trigger.gather_uploads import UploadGatherer
from chalice_app.chalicelib.trigger.start_batch import Decision, Start, Wait
from tests.chalice_app.conftest import Pipeline

# ``python -m bench.burst`` has more of them.
UPLOADS: Final = 200
WINDOW: Final = timedelta(seconds=0.5)


def requests_counted(pipeline: Pipeline) -> Counter[str]:
    """Count the requests to S3 from here on, by operation."""
    found: Counter[str] = Counter()

    def count(model: object, **_: object) -> None:
        found[model.name] += 1

    pipeline.s3.meta.events.register("before-call.s3", count)
    return found


def burst(pipeline: Pipeline, on_upload: Callable[[], Decision | None]) -> list[Decision | None]:
    """Upload files, several at a time; each has its event at once. Return what the events did."""

    def upload(number: int) -> Decision | None:
        pipeline.upload(f"orders_{number}.csv")
        return on_upload()

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(upload, range(UPLOADS)))


def test_a_burst_is_listed_once_in_a_window_and_the_last_check_sees_all_of_it(
    pipeline_with: Callable[..., Pipeline],
) -> None:
    pipeline = pipeline_with(check_window=WINDOW)
    requests = requests_counted(pipeline)
    began = time.monotonic()
    decisions = burst(pipeline, pipeline.parts.gatherer.uploaded)
    windows = 1 + (time.monotonic() - began) / WINDOW.total_seconds()
    checks = [decision for decision in decisions if isinstance(decision, Wait)]
    print(f"{UPLOADS} uploads, {len(checks)} checks, {dict(requests)}")
    assert max(check.counts.orders for check in checks) == UPLOADS
    assert len(checks) <= windows
    assert requests["ListObjectVersions"] <= windows * (1 + UPLOADS // 1000)
    assert pipeline.stored("runs/") == []


def during_the_window(pipeline: Pipeline, happens: Callable[[], None]) -> UploadGatherer:
    """Return a gatherer whose window is as long as what happens in it."""
    return replace(pipeline.parts.gatherer, pause=lambda _: happens())


def test_an_event_during_the_window_is_left_to_the_check_and_one_after_it_is_not(
    pipeline: Pipeline,
) -> None:
    gatherer = pipeline.parts.gatherer

    def second_upload() -> None:
        pipeline.upload("orders_2.csv")
        assert gatherer.uploaded() is None

    pipeline.upload("orders_1.csv")
    assert during_the_window(pipeline, second_upload).uploaded().counts.orders == 2
    pipeline.upload("orders_3.csv")
    assert during_the_window(pipeline, lambda: None).uploaded().counts.orders == 3


def test_after_a_function_has_died_in_its_window_the_schedule_checks_and_deletes_the_mark(
    pipeline: Pipeline,
) -> None:
    gatherer = pipeline.parts.gatherer
    assert gatherer.mark.make() is not None
    pipeline.upload_batch()
    assert gatherer.uploaded() is None
    assert isinstance(gatherer.tick(), Start)
    assert gatherer.mark.read() is None


def test_a_schedule_in_the_middle_of_a_window_takes_no_upload_from_its_check(
    pipeline: Pipeline,
) -> None:
    gatherer, marks = pipeline.parts.gatherer, []

    def schedule_and_second_upload() -> None:
        gatherer.tick()
        pipeline.upload("orders_2.csv")
        marks.append(gatherer.mark.make())

    pipeline.upload("orders_1.csv")
    first = during_the_window(pipeline, schedule_and_second_upload).uploaded()
    assert first.counts.orders == 2
    # The first event has not deleted the mark of the second.
    assert marks == [gatherer.mark.read()] != [None]
