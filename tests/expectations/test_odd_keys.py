"""Keys that S3 allows and a disk does not: what they hold is validated like anything else."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.keys import MAX_NAME_BYTES, RunKeys
from contract.manifest import FileVersion, Manifest
from expectations import validate
from tests.conftest import HEADERS

from .conftest import NOW

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GOOD = f"{','.join(HEADERS['orders'])}\nO1,U1,2026-02-01,10.00,delivered\n".encode()
BAD = b"no,header\n1,2\n"

ODD_NAMES = (
    "a/../../x/orders.csv",
    "../../../../../../tmp/orders_out.csv",
    "/orders_absolute.csv",
    f"orders_{'x' * 244}.csv",
    f"{'deep/' * ((MAX_NAME_BYTES - 10) // 5)}orders.csv",
    "orders_9.csv",
    "orders_9.csv/orders_10.csv",
    "orders_9.csv/",
    "orders_'quote\"[1]*?{a}.csv",
    "orders_\r\t\x7f\x01.csv",
    "orders_ü\u202e\U0001f4a9.csv",
    "orders.reason.json/orders.csv",
    "./orders_1.csv",
    "orders_1.csv",
)


BUCKET = "odd-keys"


@pytest.fixture
def s3(s3: "S3Client") -> Iterator["S3Client"]:
    """A bucket without versions: moto cannot list versions of keys with control characters."""
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-north-1"})
    yield s3
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page["Contents"]:
            s3.delete_object(Bucket=BUCKET, Key=found["Key"])
    s3.delete_bucket(Bucket=BUCKET)


def deliver(s3: "S3Client", run_id: str, contents: dict[str, bytes]) -> str:
    """Land files of these names, freeze their manifest, and return the manifest's address."""
    files = []
    for name, content in contents.items():
        s3.put_object(Bucket=BUCKET, Key=f"incoming/{name}", Body=content)
        files.append(
            FileVersion(
                key=f"incoming/{name}",
                name=name,
                version_id=None,
                etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                size=len(content),
                landed_at=NOW,
            )
        )
    manifest = Manifest(
        run_id=run_id, bucket=BUCKET, created_at=NOW, forced=False, files=tuple(files)
    )
    key = RunKeys(run_id).manifest
    s3.put_object(Bucket=BUCKET, Key=key, Body=manifest.to_json().encode())
    return f"s3://{BUCKET}/{key}"


def run(manifest: str, output: str = f"s3://{BUCKET}") -> int:
    return validate.main(["--manifest", manifest, "--output", output], clock=lambda: NOW)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files: deep enough that ``../`` stays in the test's own folder."""
    folder = tmp_path.joinpath(*"abcdefghij", "tmp")
    folder.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("rejected", [False, True], ids=["accepted", "rejected"])
def test_every_name_gets_its_verdict_and_no_file_is_left_on_the_disk(
    s3: "S3Client", scratch: Path, tmp_path: Path, *, rejected: bool
) -> None:
    names = [name for name in ODD_NAMES if name.endswith(".csv")]
    contents = {
        name: BAD + f"{n},3\n".encode() if rejected else GOOD.replace(b"O1", f"O{n}".encode())
        for n, name in enumerate(names)
    }
    assert run(deliver(s3, "r", contents)) == 0
    stored = json.loads(s3.get_object(Bucket=BUCKET, Key="runs/r/verdict.json")["Body"].read())
    status = "rejected" if rejected else "accepted"
    assert {file["name"]: file["status"] for file in stored["files"]} == dict.fromkeys(
        names, status
    )
    if rejected:
        for name, content in contents.items():
            key = RunKeys("r").quarantined_file(name)
            assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content
            reason = s3.get_object(Bucket=BUCKET, Key=f"{key}.reason.json")["Body"].read()
            assert json.loads(reason)["name"] == name
    assert files_below(tmp_path) == []


def test_a_folder_as_the_output_has_rejected_files_under_numbers(
    s3: "S3Client", scratch: Path, tmp_path: Path
) -> None:
    names = [name for name in ODD_NAMES if name.endswith(".csv")]
    manifest = deliver(s3, "r", {name: BAD + f"{n},3\n".encode() for n, name in enumerate(names)})
    output = tmp_path / "output"
    assert run(manifest, str(output)) == 0
    copies = output / "quarantine/r/files"
    numbers = range(1, len(names) + 1)
    assert {path.name for path in copies.iterdir()} == {
        f"{number}.csv{suffix}" for number in numbers for suffix in ("", ".reason.json")
    }
    found = {
        json.loads((copies / f"{number}.csv.reason.json").read_text())["name"] for number in numbers
    }
    assert found == set(names)
    assert all(path.is_relative_to(output) for path in files_below(tmp_path))
