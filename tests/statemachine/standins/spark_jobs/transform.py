"""A stand-in for the transformer: one KPI item per order date of the accepted orders files.

It moves half of its inputs to processed/ and leaves the other half to the state machine.
``control/transformer`` is obeyed as the validator's stand-in obeys its own;
``unread`` leaves everything to the state machine.
"""

import argparse
import csv
import io
import json
import os
import sys
import time
from collections import Counter

import boto3


def obey(s3, bucket: str, task: str) -> str:
    try:
        order = s3.get_object(Bucket=bucket, Key=f"control/{task}")["Body"].read().decode()
    except s3.exceptions.NoSuchKey:
        return "on"
    if order == "crash":
        sys.exit(f"{task}: told to crash")
    if order.startswith("sleep "):
        time.sleep(float(order.split()[1]))
    return order


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", required=True)
    arguments = parser.parse_args()
    bucket, _, key = arguments.manifest.removeprefix("s3://").partition("/")
    s3 = boto3.client("s3")
    order = obey(s3, bucket, "transformer")
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    run_id = manifest["run_id"]
    body = s3.get_object(Bucket=bucket, Key=f"runs/{run_id}/verdict.json")["Body"].read()
    accepted = {file["key"] for file in json.loads(body)["files"] if file["status"] == "accepted"}
    orders: Counter[str] = Counter()
    table = boto3.resource("dynamodb").Table(os.environ["ORDER_KPIS_TABLE"])
    if order == "unread":
        return
    inputs = [file for file in manifest["files"] if file["key"] in accepted]
    for number, file in enumerate(inputs):
        version = {"VersionId": file["version_id"]} if file["version_id"] else {}
        body = s3.get_object(Bucket=bucket, Key=file["key"], **version)["Body"].read()
        name = file["key"].rsplit("/", 1)[-1]
        if name.startswith("orders"):
            rows = csv.DictReader(io.StringIO(body.decode()))
            orders.update(row["order_date"][:10] for row in rows)
        if number % 2 == 0:
            s3.put_object(Bucket=bucket, Key=f"processed/{run_id}/{name}", Body=body)
            s3.delete_object(Bucket=bucket, Key=file["key"], **version)
    for date, count in orders.items():
        table.update_item(
            Key={"order_date": date},
            UpdateExpression="ADD total_orders :n SET run_id = :r",
            ExpressionAttributeValues={":n": count, ":r": run_id},
        )


if __name__ == "__main__":
    main()
