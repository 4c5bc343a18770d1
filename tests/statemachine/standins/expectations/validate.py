"""A stand-in for the validator: it reads the claimed files from S3 and writes a verdict.

A file is rejected when its first line lacks the dataset's id column. What the object
``control/validator`` says is done first: ``crash`` exits with 1, ``sleep N`` waits; with
``unread`` every file is taken for one good row.
"""

import argparse
import json
import sys
import time

import boto3

ID_COLUMN = {"orders": b"order_id", "order_items": b"order_id", "products": b"product_id"}

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


def dataset_of(name: str) -> str:
    if name.startswith("order_items"):
        return "order_items"
    return "orders" if name.startswith("orders") else "products"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    bucket, _, key = arguments.manifest.removeprefix("s3://").partition("/")
    s3 = PERSON.client("s3")
    order = obey(s3, bucket, "validator")
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    files = []
    for file in manifest["files"]:
        name = file["name"]
        dataset = dataset_of(name)
        version = {"VersionId": file["version_id"]} if file["version_id"] else {}
        if order == "unread":
            body = ID_COLUMN[dataset] + b"\n1\n"
        else:
            body = s3.get_object(Bucket=bucket, Key=file["key"], **version)["Body"].read()
        lines = body.splitlines()
        good = bool(lines) and ID_COLUMN[dataset] in lines[0]
        rows = max(len(lines) - 1, 0) if good else 0
        if not good:
            to = f"quarantine/{manifest['run_id']}/files/{name}"
            s3.put_object(Bucket=bucket, Key=to, Body=body)
        files.append(
            {
                "key": file["key"],
                "name": name,
                "dataset": dataset,
                "status": "accepted" if good else "rejected",
                "reason": None if good else "missing_column",
                "detail": None if good else f"{ID_COLUMN[dataset].decode()} is missing",
                "rows": rows,
                "accepted_rows": rows,
                "quarantined_rows": 0,
                "held_rows": 0,
                "reasons": {},
            }
        )
    rejected = [file for file in files if file["status"] == "rejected"]
    rows = sum(file["rows"] for file in files)
    outcome = "partly_accepted" if rejected else "accepted"
    verdict = {
        "run_id": manifest["run_id"],
        "outcome": outcome if rows else "all_rejected",
        "created_at": manifest["created_at"],
        "totals": {
            "files": len(files),
            "rejected_files": len(rejected),
            "rows": rows,
            "accepted_rows": rows,
            "quarantined_rows": 0,
            "held_rows": 0,
        },
        "files": files,
        "warnings": [],
        "accepted": {},
        "quarantined_rows": None,
        "data_docs": None,
    }
    s3.put_object(
        Bucket=bucket,
        Key=f"runs/{manifest['run_id']}/verdict.json",
        Body=json.dumps(verdict).encode(),
    )


if __name__ == "__main__":
    main()
