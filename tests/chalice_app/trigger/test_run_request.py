"""What a run may be started with, and what an input that cannot be used is answered."""

import pytest

from chalice_app.chalicelib.trigger.run_request import (
    Batch,
    ClaimError,
    Landed,
    Request,
)
from chalice_app.chalicelib.trigger.start_batch import execution_input
from chalice_app.chalicelib.trigger.upload_events import Ignored
from contract.manifest import Manifest

CREATED = {
    "version": "0",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {
        "bucket": {"name": "lab6-ecommerce-shop"},
        "object": {"key": "incoming/orders_1.csv"},
    },
}


def parse(given: object) -> Request:
    return Request.parse(
        {
            "execution": "arn:aws:states:eu-north-1:123456789012:execution:Machine:run-1",
            "started_at": "2026-03-01T12:00:00.000Z",
            "input": given,
        }
    )


@pytest.mark.parametrize(
    "given", [{}, None, {"files": []}, {"Comment": "Insert your JSON here"}, {"forced": False}]
)
def test_an_input_without_an_order_is_for_what_has_landed(given: object) -> None:
    assert parse(given).order == Batch()


def test_counts_may_be_given_and_are_counted_again_by_the_run() -> None:
    given = {"orders_count": 5, "items_count": 5, "products_count": 1, "files": ["incoming/a.csv"]}
    assert parse(given).order == Batch(keys=("incoming/a.csv",))


def test_what_the_trigger_starts_a_run_with_has_no_unknown_field(pipeline) -> None:
    pipeline.upload_batch()
    manifest: Manifest = pipeline.manifest(pipeline.trigger.check().run_id)
    assert len(parse(execution_input(manifest)).order.keys) == 11


@pytest.mark.parametrize("unknown", ["file", "Files", "replayOf", "bucket", "recompute_from"])
def test_an_unknown_field_is_refused_with_the_fields_that_there_are(unknown: str) -> None:
    with pytest.raises(ClaimError) as failure:
        parse({unknown: ["incoming/orders_1.csv"], "forced": True})
    message = str(failure.value)
    assert message.startswith(f"the input has {unknown}: the fields are ")
    for field in ("files", "forced", "replay_of", "recompute", "rebuild", "orders_count"):
        assert field in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forced": "yes"}, "forced is 'yes': give true or false"),
        ({"replay_of": {}}, "replay_of is {}: start the machine with"),
        ({"recompute": ""}, "recompute is '': give dates"),
        ("incoming/orders_1.csv", "input is 'incoming/orders_1.csv': start the machine with"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(given: object, message: str) -> None:
    with pytest.raises(ClaimError) as failure:
        parse(given)
    assert str(failure.value).startswith(message)


@pytest.mark.parametrize(
    "given",
    [
        CREATED,
        {"Records": [{"s3": {"object": {"key": "incoming/orders_1.csv"}}}]},
    ],
)
def test_an_event_of_a_created_file_is_for_what_has_landed(given: object) -> None:
    assert parse(given).order == Landed()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "a test event of S3"),
        ({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}, "wrapped by SQS"),
        # What an EventBridge pipe makes of a queue.
        ([{"messageId": "1", "body": "{}"}], "wrapped by SQS"),
        ({**CREATED, "detail-type": "Object Deleted"}, "Object Deleted, not Object Created"),
        # Without this, each run would start the next one by writing its lock.
        (
            {**CREATED, "detail": {"object": {"key": "incoming/pipeline.lock"}}},
            "incoming/pipeline.lock is no file of a delivery",
        ),
    ],
)
def test_an_event_that_starts_nothing_is_ignored_and_says_why(given: object, reason: str) -> None:
    order = parse(given).order
    assert isinstance(order, Ignored)
    assert reason in order.reason
