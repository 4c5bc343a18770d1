"""The validator and the transform agree: no row that one accepts is dropped by the other."""

import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import duckdb

from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from expectations import validate
from samples import generate
from tests.conftest import ROOT

from .conftest import BUCKET, NOW

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def claim(s3: "S3Client", folder: Path, run_id: str) -> str:
    versions = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        put = s3.put_object(Bucket=BUCKET, Key=f"incoming/{path.name}", Body=content)
        versions.append(
            FileVersion(
                key=f"incoming/{path.name}",
                name=path.name,
                version_id=put["VersionId"],
                etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                size=len(content),
                landed_at=NOW,
            )
        )
    manifest = Manifest(
        run_id=run_id, bucket=BUCKET, created_at=NOW, forced=False, files=tuple(versions)
    )
    key = RunKeys(run_id).manifest
    s3.put_object(Bucket=BUCKET, Key=key, Body=manifest.to_json().encode())
    return f"s3://{BUCKET}/{key}"


def test_what_the_validator_accepts_of_a_dirty_delivery_counts_in_the_kpis(
    s3: "S3Client", tmp_path: Path
) -> None:
    assert generate.main(["--output", str(tmp_path), "--dirty"]) == 0
    manifest = claim(s3, tmp_path / "incoming", "r1")
    assert (
        validate.main(["--manifest", manifest, "--output", f"s3://{BUCKET}"], clock=lambda: NOW)
        == 0
    )
    dynamodb = boto3.resource("dynamodb")
    for name, keys in (
        ("CategoryKPIs", {"category": "HASH", "order_date": "RANGE"}),
        ("OrderKPIs", {"order_date": "HASH"}),
        ("PipelineRuns", {"run_id": "HASH"}),
    ):
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        )
    subprocess.run(
        [sys.executable, "-m", "spark_jobs.transform", "--manifest", manifest],
        cwd=ROOT,
        env={
            **os.environ,
            "ENGINE": "sail",
            "CATEGORY_KPIS_TABLE": "CategoryKPIs",
            "ORDER_KPIS_TABLE": "OrderKPIs",
            "RUNS_TABLE": "PipelineRuns",
        },
        check=True,
        capture_output=True,
        timeout=120,
    )
    days = dynamodb.Table("OrderKPIs").scan()["Items"]

    verdict = json.loads(s3.get_object(Bucket=BUCKET, Key="runs/r1/verdict.json")["Body"].read())
    for dataset, key in verdict["accepted"].items():
        body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        (tmp_path / f"{dataset}.parquet").write_bytes(body)
    # One line is in two files because the exports overlap, and counts once.
    overlaps = [
        (entry["file"], entry["line"])
        for line in (tmp_path / "ledger.jsonl").read_text().splitlines()
        if (entry := json.loads(line))["reasons"] == ["overlapping_export"]
    ]
    assert len(overlaps) == 1
    with duckdb.connect() as connection:
        [(orders, total)] = connection.execute(
            f"""
            SELECT count(*), sum(total_amount) FROM (
                FROM '{tmp_path}/orders.parquet'
                QUALIFY row_number() OVER (
                    PARTITION BY order_id ORDER BY _file_name DESC, _line DESC) = 1)
            """
        ).fetchall()
        [(sold,)] = connection.execute(
            f"SELECT sum(quantity) FROM '{tmp_path}/order_items.parquet'"
            " WHERE (_file_name, _line) <> (?, ?)",
            list(overlaps[0]),
        ).fetchall()
    assert sum(Decimal(str(day["total_orders"])) for day in days) == orders
    assert sum(Decimal(str(day["total_revenue"])) for day in days) == total
    assert sum(Decimal(str(day["total_items_sold"])) for day in days) == sold
