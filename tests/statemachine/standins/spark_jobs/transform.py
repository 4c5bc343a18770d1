"""A stand-in for the transformer: the order ids of each order date of the accepted orders files.

It moves half of the inputs that have landed to processed/ and leaves the other half to the state
machine. ``control/transformer`` is obeyed as the validator's stand-in obeys its own; ``unread``
leaves everything to the state machine and reports nothing.
"""

import argparse
import csv
import io
import os
import sys
import time
from collections import defaultdict
from datetime import date

import boto3

from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from contract.published import PublishedReport
from contract.verdict import Verdict

# A stand-in asks for more than the roles allow: its orders, for one.
PERSON = boto3.Session(
    aws_access_key_id="local",
    aws_secret_access_key="local",  # noqa: S106 - the embedded AWS takes any
)


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
    s3 = PERSON.client("s3")
    order = obey(s3, bucket, "transformer")
    manifest = Manifest.from_json(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    run_id, task = manifest.run_id, manifest.task
    if order == "unread":
        return
    table = PERSON.resource("dynamodb").Table(os.environ["ORDER_KPIS_TABLE"])
    if task == "rebuild":
        for item in table.scan()["Items"]:
            table.delete_item(Key={"order_date": item["order_date"]})
    orders: defaultdict[str, set[str]] = defaultdict(set)
    for number, file in enumerate(accepted(s3, bucket, manifest)):
        version = {"VersionId": file.version_id} if file.version_id else {}
        body = s3.get_object(Bucket=bucket, Key=file.key, **version)["Body"].read()
        if file.dataset == "orders":
            for row in csv.DictReader(io.StringIO(body.decode())):
                orders[row["order_date"][:10]].add(row["order_id"])
        if number % 2 == 0 and file.key.startswith("incoming/"):
            s3.put_object(Bucket=bucket, Key=RunKeys(run_id).processed(file.name), Body=body)
            s3.delete_object(Bucket=bucket, Key=file.key, **version)
    for day, ids in orders.items():
        item = table.update_item(
            Key={"order_date": day},
            UpdateExpression="ADD order_ids :ids SET run_id = :r",
            ExpressionAttributeValues={":ids": ids, ":r": run_id},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        count = len(item["order_ids"])
        figures = {"total_orders": count, "total_revenue": 10 * count, "return_rate": 0}
        table.put_item(Item={**item, **figures})
    dates = sorted(map(date.fromisoformat, orders))
    report = PublishedReport(
        run_id=run_id,
        task=task,
        engine="stand-in",
        ledger="ledger/main",
        ledger_version=1,
        previous_version=0,
        dates=tuple(dates) if manifest.start is None else (manifest.start,),
        items=len(orders),
        deleted=0,
        superseded=(),
        new_files=len(manifest.files),
        duplicate_files=(),
        known_from=(),
        new_rows={},
        readmitted_lines=0,
        held_lines=0,
        bytes=sum(file.size for file in manifest.files),
        seconds={"read": 0.5},
    )
    s3.put_object(Bucket=bucket, Key=RunKeys(run_id).published, Body=report.to_json().encode())


def accepted(s3, bucket: str, manifest: Manifest) -> list[FileVersion]:
    if manifest.task == "recompute":
        return []
    body = s3.get_object(Bucket=bucket, Key=RunKeys(manifest.run_id).verdict)["Body"].read()
    keys = {file.key for file in Verdict.from_json(body).files if file.status == "accepted"}
    return [file for file in manifest.files if file.key in keys]


if __name__ == "__main__":
    main()
