"""A shop whose deliveries go through the validator and the transformer, on an embedded AWS."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import EndpointConnectionError

from contract.file_names import FileNames
from contract.keys import RunKeys
from contract.manifest import FileVersion, Manifest
from spark_jobs.publish.batch_get import deserialised
from spark_jobs.publish.tables import Tables

Transform = Callable[..., int]

_numbers = count(1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "AWS_REGION": "eu-north-1",
}


@contextlib.contextmanager
def aws() -> Iterator[str]:
    """Run an embedded AWS in another process and yield its address.

    In this process it would deadlock with delta-rs, which holds the interpreter's lock.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@dataclass(frozen=True, kw_only=True)
class Shop:
    """One bucket and three tables, named apart from those of other shops on the same AWS."""

    name: str
    endpoint: str
    s3: Any
    dynamodb: Any

    @classmethod
    def open(cls, endpoint: str) -> "Shop":
        session = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # the embedded AWS takes any
            region_name="eu-north-1",
        )
        shop = cls(
            name=_new_name(),
            endpoint=endpoint,
            s3=session.client("s3", endpoint_url=endpoint),
            dynamodb=session.client("dynamodb", endpoint_url=endpoint),
        )
        shop._create()
        return shop

    def _create(self) -> None:
        place = {"LocationConstraint": "eu-north-1"}
        for _ in range(100):
            try:
                self.s3.create_bucket(Bucket=self.name, CreateBucketConfiguration=place)
                break
            except EndpointConnectionError:
                time.sleep(0.1)
        self.s3.put_bucket_versioning(
            Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}
        )
        for table, keys in (
            (self.tables.category_kpis, ("category", "order_date")),
            (self.tables.order_kpis, ("order_date",)),
            (self.tables.runs, ("run_id",)),
        ):
            self.dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
                KeySchema=[
                    {"AttributeName": k, "KeyType": t}
                    for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
            )

    @property
    def tables(self) -> Tables:
        return Tables(
            category_kpis=f"{self.name}-CategoryKPIs",
            order_kpis=f"{self.name}-OrderKPIs",
            runs=f"{self.name}-PipelineRuns",
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.endpoint,
            "CATEGORY_KPIS_TABLE": self.tables.category_kpis,
            "ORDER_KPIS_TABLE": self.tables.order_kpis,
            "RUNS_TABLE": self.tables.runs,
            "S3_BUCKET": self.name,
            "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:Pipeline",
        }

    def through(self, endpoint: str) -> "Shop":
        """Return the same shop, reached by another address."""
        return replace(self, endpoint=endpoint)

    def land(
        self,
        folder: Path,
        run_id: str,
        *,
        hours: float = 0,
        name: str = "{}",
        mapping: str | None = None,
    ) -> str:
        """Upload a folder's files, claim them for a run, and return its manifest's address.

        ``mapping`` is the text of the mapping.toml that is set at that time.
        """
        files = []
        names = FileNames() if mapping is None else FileNames.of_mapping(mapping)
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            key = f"incoming/{name.format(path.name)}"
            put = self.s3.put_object(Bucket=self.name, Key=key, Body=content)
            files.append(
                FileVersion(
                    key=key,
                    name=key.removeprefix("incoming/"),
                    version_id=put["VersionId"],
                    etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
                    size=len(content),
                    landed_at=NOON + timedelta(hours=hours),
                    mapping=None if mapping is None else "m",
                    mapped_dataset=names.dataset_of(path.name),
                )
            )
        mappings = {} if mapping is None else {"m": mapping}
        return self.claim(run_id, files=tuple(files), mappings=mappings)

    def claim(self, run_id: str, *, files: Sequence[FileVersion] = (), **task: Any) -> str:
        manifest = Manifest(
            run_id=run_id,
            bucket=self.name,
            created_at=NOON,
            forced=False,
            files=tuple(files),
            **task,
        )
        self.s3.put_object(
            Bucket=self.name, Key=RunKeys(run_id).manifest, Body=manifest.to_json().encode()
        )
        return self.manifest(run_id)

    def manifest(self, run_id: str) -> str:
        return f"s3://{self.name}/{RunKeys(run_id).manifest}"

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def items(self, *, of_the_run: bool = False) -> dict[str, list[dict[str, Any]]]:
        """Return both tables' items, sorted; without what differs from run to run."""
        return {
            kind: sorted(
                (self._plain(item, of_the_run=of_the_run) for item in self._scan(table)),
                key=lambda item: (item["order_date"], item.get("category", "")),
            )
            for kind, table in (
                ("category", self.tables.category_kpis),
                ("daily", self.tables.order_kpis),
            )
        }

    def _scan(self, table: str) -> Iterator[Mapping[str, Any]]:
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=table):
            yield from map(deserialised, page["Items"])

    @staticmethod
    def _plain(item: Mapping[str, Any], *, of_the_run: bool) -> dict[str, Any]:
        left_out = set() if of_the_run else {"run_id", "ledger_version", "computed_at"}
        return {name: value for name, value in item.items() if name not in left_out}

    def published(self, run_id: str) -> dict[str, Any]:
        body = self.s3.get_object(Bucket=self.name, Key=RunKeys(run_id).published)["Body"].read()
        return json.loads(body)

    def copied(self) -> "Shop":
        """Return a new shop with the same files and items, but for what only people look at."""
        shop = replace(self, name=_new_name())
        shop._create()
        versions = {}
        for key in self.keys(""):
            if key.startswith(("data_docs/", "quality_history/")):
                continue
            body = self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
            versions[key] = shop.s3.put_object(Bucket=shop.name, Key=key, Body=body)["VersionId"]
        shop._pin(versions)
        for mine, theirs in zip(_names(self.tables), _names(shop.tables), strict=True):
            for page in self.dynamodb.get_paginator("scan").paginate(TableName=mine):
                for item in page["Items"]:
                    shop.dynamodb.put_item(TableName=theirs, Item=item)
        return shop

    def _pin(self, versions: Mapping[str, str]) -> None:
        """Let manifests name the versions that the copied files have here."""
        for key in self.keys("runs/"):
            if key.endswith("manifest.json"):
                manifest = manifest_of(self, key.split("/")[1])
                files = tuple(
                    replace(file, version_id=versions.get(file.key, file.version_id))
                    for file in manifest.files
                )
                body = replace(manifest, bucket=self.name, files=files).to_json().encode()
                self.s3.put_object(Bucket=self.name, Key=key, Body=body)


def _new_name() -> str:
    return f"shop-{next(_numbers)}"


def _names(tables: Tables) -> tuple[str, str, str]:
    return tables.category_kpis, tables.order_kpis, tables.runs


def validated(uri: str, environment: Mapping[str, str]) -> None:
    """Run the validator on a manifest in this process."""
    from expectations import validate

    before = dict(os.environ)
    os.environ.update(environment)
    try:
        bucket = uri.removeprefix("s3://").split("/")[0]
        assert validate.main(["--manifest", uri, "--output", f"s3://{bucket}"]) == 0
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_batch(shop: Shop, transform: Transform, folder: Path, run_id: str, **kwargs: Any) -> None:
    uri = shop.land(folder, run_id, **kwargs)
    validated(uri, shop.environment)
    assert transform(shop, "--manifest", uri) == 0


def transform(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the transformer's command line; for a process that ends with it."""
    from spark_jobs.transform import main

    os.environ.update(environment)
    return main(arguments)


def finish(run_id: str, environment: Mapping[str, str]) -> None:
    """Run the state machine's finishing step: inputs to processed/."""
    os.environ.update(environment)
    from chalice_app.chalicelib import wiring

    wiring.finish_run({"execution": run_id, "failed": False})


def transform_and_finish(uri: str, environment: Mapping[str, str]) -> None:
    code = transform(["--manifest", uri, "--engine", "sail"], environment)
    if code == 0:
        finish(uri.split("/")[-2], environment)
    os._exit(code)


# Imports take longer than a run: children are forked from a process that has done them.
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(
    [
        "tests.spark_jobs.shop",
        "spark_jobs.pipeline_run",
        "spark_jobs.transform",
        "pyspark.sql.connect.session",
        "tests.spark_jobs.warm",
    ]
)


def start(uri: str, environment: Mapping[str, str]) -> Any:
    """Start a transformer with its finishing step, in a process that can be killed."""
    process = _WARM.Process(target=transform_and_finish, args=(uri, dict(environment)))
    process.start()
    return process


def finish_in(shop: Shop, run_id: str) -> None:
    process = _WARM.Process(target=finish, args=(run_id, shop.environment))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def manifest_of(shop: Shop, run_id: str) -> Manifest:
    found = shop.s3.get_object(Bucket=shop.name, Key=RunKeys(run_id).manifest)
    return Manifest.from_json(found["Body"].read())


_READS = (".GetItem", ".BatchGetItem", ".DescribeExecution", ".GetExecutionHistory")


class CuttingProxy:
    """A proxy of the AWS that kills the sender of a write, or holds the write back.

    A write that is cut off never arrives: the moment between two writes that arrive. ``kill_at`` is
    the number of a write or what its name contains; the first that contains ``hold_at`` is held
    back until ``release`` is set; ``held`` is set when it has arrived.
    """

    def __init__(
        self, endpoint: str, *, kill_at: int | str | None = None, hold_at: str | None = None
    ) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self.writes: list[str] = []
        self.victim: Any = None
        self.held, self.release = threading.Event(), threading.Event()
        self._kill_at, self._hold_at = kill_at, hold_at
        self._killed = False
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.cuts(self):
                    self.close_connection = True
                    return
                upstream = HTTPConnection(host, int(port), timeout=60)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                upstream.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cuts(self, request: BaseHTTPRequestHandler) -> bool:
        target = request.headers.get("X-Amz-Target", "")
        if request.command in {"GET", "HEAD"} or target.endswith(_READS):
            return False
        with self._lock:
            write = target or f"{request.command} {request.path}"
            self.writes.append(write)
            number = len(self.writes)
        if self._hold_at and self._hold_at in write and not self.held.is_set():
            self.held.set()
            self.release.wait(60)
        if number == self._kill_at or (isinstance(self._kill_at, str) and self._kill_at in write):
            self.victim.kill()
            self._killed = True
        # What a killed process still has on its way is lost, too.
        return self._killed

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
