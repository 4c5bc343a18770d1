"""A stand-in for the validator: it reads the claimed files from S3 and writes a verdict.

A file is rejected when its first line lacks the dataset's id column. What the object
``control/validator`` says is done first: ``crash`` exits with 1, ``sleep N`` waits; with
``unread`` every file is taken for one good row.
"""

import argparse
import sys
import time

import boto3

from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from contract.verdict import FileVerdict, Totals, Verdict

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    bucket, _, key = arguments.manifest.removeprefix("s3://").partition("/")
    s3 = PERSON.client("s3")
    order = obey(s3, bucket, "validator")
    manifest = Manifest.from_json(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    files = tuple(judge(s3, manifest, file, order) for file in manifest.files)
    rejected = [file for file in files if file.status == "rejected"]
    rows = sum(file.rows for file in files)
    outcome = "partly_accepted" if rejected else "accepted"
    verdict = Verdict(
        run_id=manifest.run_id,
        outcome=outcome if rows else "all_rejected",
        created_at=manifest.created_at,
        totals=Totals(
            files=len(files),
            rejected_files=len(rejected),
            rows=rows,
            accepted_rows=rows,
            quarantined_rows=0,
            held_rows=0,
        ),
        files=files,
        warnings=(),
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )
    s3.put_object(
        Bucket=bucket, Key=RunKeys(manifest.run_id).verdict, Body=verdict.to_json().encode()
    )


def judge(s3, manifest: Manifest, file: FileVersion, order: str) -> FileVerdict:
    version = {"VersionId": file.version_id} if file.version_id else {}
    id_column = ID_COLUMN[file.dataset]
    if order == "unread":
        body = id_column + b"\n1\n"
    else:
        body = s3.get_object(Bucket=manifest.bucket, Key=file.key, **version)["Body"].read()
    lines = body.splitlines()
    good = bool(lines) and id_column in lines[0]
    rows = max(len(lines) - 1, 0) if good else 0
    if not good:
        to = RunKeys(manifest.run_id).quarantined_file(file.name)
        s3.put_object(Bucket=manifest.bucket, Key=to, Body=body)
    return FileVerdict(
        key=file.key,
        name=file.name,
        sha256=None,
        dataset=file.dataset,
        status="accepted" if good else "rejected",
        reason=None if good else "missing_column",
        detail=None if good else f"{id_column.decode()} is missing",
        rows=rows,
        accepted_rows=rows,
        quarantined_rows=0,
        held_rows=0,
        reasons={},
    )


if __name__ == "__main__":
    main()
