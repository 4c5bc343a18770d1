"""A run from a manifest in S3, whose files may change after they were claimed."""

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from contract.keys import DATA_DOCS_RUNS, RunKeys
from contract.manifest import FileVersion, Manifest
from delivery.storage import open_storage
from expectations import data_docs, validate
from tests.conftest import HEADERS

from .conftest import BUCKET, NOW, clean_files

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LANDED = datetime(2026, 2, 28, 7, 0, tzinfo=UTC)


def csv_text(name: str, rows: list[dict[str, str]]) -> bytes:
    dataset = next(d for d in ("order_items", "orders", "products") if name.startswith(d))
    lines = [",".join(row[column] for column in HEADERS[dataset]) for row in rows]
    return "\n".join([",".join(HEADERS[dataset]), *lines, ""]).encode()


def claim(s3: "S3Client", run_id: str, **changes: Any) -> str:
    """Land the clean delivery, freeze its manifest, and return the manifest's address."""
    files = []
    for name, rows in sorted(clean_files().items()):
        content = csv_text(name, rows)
        put = s3.put_object(Bucket=BUCKET, Key=f"incoming/{name}", Body=content)
        version = {
            "key": f"incoming/{name}",
            "name": name,
            "version_id": put["VersionId"],
            "etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "size": len(content),
            "landed_at": LANDED,
        }
        files.append(FileVersion(**(version | changes if name == "orders_1.csv" else version)))
    manifest = Manifest(
        run_id=run_id, bucket=BUCKET, created_at=NOW, forced=False, files=tuple(files)
    )
    key = RunKeys(run_id).manifest
    s3.put_object(Bucket=BUCKET, Key=key, Body=manifest.to_json().encode())
    return f"s3://{BUCKET}/{key}"


def run(manifest: str) -> int:
    return validate.main(["--manifest", manifest, "--output", f"s3://{BUCKET}"], clock=lambda: NOW)


def keys(s3: "S3Client", prefix: str) -> set[str]:
    return {
        found["Key"]
        for found in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    }


def read(s3: "S3Client", key: str) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines that a run has logged: all are JSON, on standard error."""
    printed = capsys.readouterr()
    assert printed.out == ""
    return [json.loads(line) for line in printed.err.splitlines()]


def test_the_versions_that_were_claimed_are_read_when_others_land_afterwards(
    s3: "S3Client", tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = claim(s3, "r1")
    s3.put_object(Bucket=BUCKET, Key="incoming/orders_1.csv", Body=b"PK\x03\x04 overwritten")
    s3.delete_object(Bucket=BUCKET, Key="incoming/products.csv")

    assert run(manifest) == 0
    lines = logged(capsys)
    assert {line["run_id"] for line in lines} == {"r1"}
    assert {line["logger"].partition(".")[0] for line in lines} == {"delivery", "expectations"}
    assert [line["phase"] for line in lines if "phase" in line] == [
        *("read", "check products", "check orders", "check order_items", "check relations"),
        "write",
    ]
    assert (lines[-1]["message"], lines[-1]["accepted_rows"]) == ("verdict: accepted", 220)
    verdict = json.loads(read(s3, "runs/r1/verdict.json"))
    assert verdict["outcome"] == "accepted"
    assert verdict["totals"]["accepted_rows"] == 220
    assert verdict["files"][0]["key"] == "incoming/order_items_0.csv"

    (tmp_path / "orders.parquet").write_bytes(read(s3, verdict["accepted"]["orders"]))
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT _file_name, _landed_at, min(_line), max(_line), sum(total_amount)"
            f" FROM '{tmp_path}/orders.parquet' GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert rows == [(f"orders_{n}.csv", LANDED.replace(tzinfo=None), 2, 21, 200) for n in range(5)]
    assert keys(s3, "data_docs/runs/") == {"data_docs/runs/r1.html"}
    index = s3.get_object(Bucket=BUCKET, Key="data_docs/index.html")
    assert index["ContentType"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"etag": "0" * 32}, "but the manifest claims"),
        ({"size": 7}, "but the manifest claims 7 bytes"),
        ({"version_id": "gone"}, "incoming/orders_1.csv (version gone): the manifest claims it"),
    ],
)
def test_bytes_that_are_not_the_claimed_ones_are_a_failure_of_the_run(
    change: dict[str, Any],
    message: str,
    s3: "S3Client",
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(claim(s3, "r2", **change)) == 1
    assert message in capsys.readouterr().err
    assert keys(s3, "runs/r2/") == {"runs/r2/manifest.json"}


def test_a_retried_run_leaves_the_same_as_one_that_worked_at_once(s3: "S3Client") -> None:
    manifest = claim(s3, "r3")
    assert run(manifest) == 0
    first = {key: read(s3, key) for key in keys(s3, "") if key.endswith((".json", ".parquet"))}
    assert run(manifest) == 0
    again = {key: read(s3, key) for key in keys(s3, "") if key.endswith((".json", ".parquet"))}
    assert first.keys() == again.keys()
    assert first["runs/r3/verdict.json"] == again["runs/r3/verdict.json"]
    history = data_docs.History.from_json(again[DATA_DOCS_RUNS])
    assert [entry.run_id for entry in history.runs] == ["r3"]


def test_a_missing_manifest_is_said_so(s3: "S3Client", capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"s3://{BUCKET}/runs/nope/manifest.json") == 1
    [line] = logged(capsys)
    assert (line["level"], line["run_id"]) == ("ERROR", "nope")
    assert line["message"].endswith(
        "there is no such manifest; check --manifest; no verdict was written"
    )
    assert "error" not in line


def test_a_crash_is_one_line_with_its_traceback_as_a_field(
    s3: "S3Client", capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = claim(s3, "r4")
    assert validate.main(["--manifest", manifest, "--output", "s3://no-such-bucket"]) == 1
    line = logged(capsys)[-1]
    assert (line["level"], line["run_id"]) == ("ERROR", "r4")
    assert line["message"].startswith("NoSuchBucket: ")
    assert line["message"].endswith("; no verdict was written")
    assert line["error"].startswith("Traceback (most recent call last):")


def test_a_bucket_with_a_prefix_keeps_everything_below_it(s3: "S3Client", tmp_path: Any) -> None:
    (tmp_path / "x.json").write_text("{}")
    below = open_storage(f"s3://{BUCKET}/some/where", tmp_path / "fetched")
    below.put(tmp_path / "x.json", "runs/r/verdict.json")
    assert below.get("runs/r/verdict.json") == b"{}"
    assert below.get("runs/r/other.json") is None
    [fetched] = below.fetch(["runs/r/verdict.json"])
    assert fetched.read_text() == "{}"
    with pytest.raises(FileNotFoundError, match=f"s3://{BUCKET}/some/where/runs/r/other.json"):
        below.fetch(["runs/r/other.json"])
    assert keys(s3, "") == {"some/where/runs/r/verdict.json"}
