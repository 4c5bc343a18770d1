"""Executors can read the staged copies, which are deleted afterwards."""

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from spark_jobs.engine import staging


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "orders.parquet", tmp_path / "lines.parquet"]
    for file in found:
        file.write_text(file.stem)
    return found


def test_one_machine_reads_the_files_where_they_are(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_STAGING", raising=False)
    with staging.in_reach(files) as addresses:
        assert addresses == [str(file) for file in files]
    assert all(file.is_file() for file in files)


def test_a_shared_folder_holds_copies_until_the_work_is_done_or_has_failed(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    monkeypatch.setenv("SPARK_STAGING", str(shared))

    def work() -> None:
        with staging.in_reach(files) as addresses:
            assert [Path(address).read_text() for address in addresses] == ["orders", "lines"]
            assert {Path(address).parents[1] for address in addresses} == {shared}
            raise InterruptedError

    with pytest.raises(InterruptedError):
        work()
    assert list(shared.iterdir()) == []


def test_two_runs_at_once_have_files_of_their_own_in_the_bucket(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SPARK_STAGING", "s3://shop/staging/")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="shop")
        with staging.in_reach(files) as one, staging.in_reach(files) as two:
            assert not set(one) & set(two)
            keys = [address.removeprefix("s3://shop/") for address in (*one, *two)]
            assert all(key.startswith("staging/") for key in keys)
            read = [s3.get_object(Bucket="shop", Key=key)["Body"].read() for key in keys]
            assert read == [b"orders", b"lines"] * 2
        assert "Contents" not in s3.list_objects_v2(Bucket="shop")
