"""Objects and conditional writes of one bucket."""

import pytest
from botocore.exceptions import ClientError

from chalice_app.chalicelib.aws.bucket import Bucket
from tests.chalice_app.conftest import Pipeline

KEY = "runs/r/notice.json"


@pytest.fixture
def bucket(pipeline: Pipeline) -> Bucket:
    return Bucket(pipeline.s3, pipeline.settings.bucket)


def test_an_object_that_is_not_there_is_none_and_a_bucket_that_is_not_there_is_an_error(
    pipeline: Pipeline, bucket: Bucket
) -> None:
    assert bucket.get(KEY) is None
    assert not bucket.exists(KEY)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        Bucket(pipeline.s3, "no-such-bucket").get(KEY)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        Bucket(pipeline.s3, "no-such-bucket").put_json(KEY, "{}", only_new=True)


def test_of_two_writes_of_a_new_object_the_first_one_stays(bucket: Bucket) -> None:
    written = bucket.put_json(KEY, "1", only_new=True)
    assert bucket.put_json(KEY, "2", only_new=True) is None
    assert written is not None
    assert written.version_id is not None
    assert bucket.get(KEY) == written


def test_a_write_or_delete_for_an_etag_that_is_not_current_changes_nothing(bucket: Bucket) -> None:
    first = bucket.put_json(KEY, "1")
    assert first is not None
    second = bucket.put_json(KEY, "2", if_match=first.etag)
    assert second is not None
    assert bucket.put_json(KEY, "3", if_match=first.etag) is None
    assert not bucket.delete(KEY, if_match=first.etag)
    assert bucket.get(KEY) is not None
    assert bucket.delete(KEY, if_match=second.etag)
    assert bucket.put_json(KEY, "4", if_match=second.etag) is None


def test_exactly_the_claimed_version_is_copied(pipeline: Pipeline, bucket: Bucket) -> None:
    pipeline.upload("orders_1.csv", body=b"claimed")
    [claimed] = pipeline.landing.list().files
    pipeline.upload("orders_1.csv", body=b"newer")
    assert bucket.copy(claimed, "processed/r/orders_1.csv")
    copied = bucket.get("processed/r/orders_1.csv")
    assert copied is not None
    assert copied.body == b"claimed"
    bucket.delete(claimed.key, version_id=claimed.version_id)
    assert not bucket.copy(claimed, "processed/r/orders_1.csv")
