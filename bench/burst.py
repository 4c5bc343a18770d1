"""A burst of uploads: how many requests the checks of the landing folder make.

    .venv/bin/python -m bench.burst [--uploads 10000] [--window 2] [--every-event]

Uploads files into the embedded S3 on 16 threads, and calls for each what its event calls. Only the
requests of the checks are counted. No thresholds are met, so no batch starts. ``--every-event``
lets every event list the folder: the number of its requests grows with the square of the uploads.

The embedded S3 copies the whole folder for each page of a listing. With 10,000 files a check takes
longer than its window there, and checks that overlap take gigabytes: use ``--window 30``.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import boto3
from rich.console import Console
from rich.table import Table

from chalice_app.chalicelib.settings import Settings
from chalice_app.chalicelib.trigger.start_batch import Decision, Wait
from chalice_app.chalicelib.wiring import Parts
from localcloud.cloud import LocalCloud
from localcloud.provision import create_runs_table

BUCKET: Final = "bench"
UPLOADERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """``requests`` by operation; ``seen`` is the largest number of files that a check found."""

    uploads: int
    checks: int
    seen: int
    requests: Counter[str]
    seconds: float


def measure(session: boto3.Session, uploads: int, *, window: timedelta, every_event: bool) -> Burst:
    """Upload so many files into a new bucket, each with its event."""
    shop, s3 = session.client("s3"), session.client("s3")
    region: Any = {"LocationConstraint": session.region_name}
    shop.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=region)
    shop.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    dynamodb = session.client("dynamodb")
    create_runs_table(dynamodb, "PipelineRuns")
    settings = Settings(
        bucket=BUCKET,
        state_machine_arn=f"arn:aws:states:{session.region_name}:123456789012:stateMachine:Bench",
        check_window=window,
    )
    sfn, sns = session.client("stepfunctions"), session.client("sns")
    parts = Parts(
        s3=s3,
        sfn=sfn,
        dynamodb=dynamodb,
        sns=sns,
        settings=settings,
        clock=lambda: datetime.now(UTC),
    )
    on_upload: Callable[[], Decision | None] = (
        parts.trigger.check if every_event else parts.gatherer.uploaded
    )
    requests: Counter[str] = Counter()
    s3.meta.events.register("before-call.s3", lambda model, **_: requests.update([model.name]))

    def upload(number: int) -> Decision | None:
        shop.put_object(Bucket=BUCKET, Key=f"incoming/orders_{number}.csv", Body=b"x")
        return on_upload()

    began = time.monotonic()
    with ThreadPoolExecutor(UPLOADERS) as pool:
        decisions = list(pool.map(upload, range(uploads)))
    checks = [decision for decision in decisions if isinstance(decision, Wait)]
    return Burst(
        uploads=uploads,
        checks=len(checks),
        seen=max(check.counts.orders for check in checks),
        requests=requests,
        seconds=time.monotonic() - began,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.burst", description="Count the requests of a burst of uploads."
    )
    parser.add_argument("--uploads", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--window", type=float, default=2, help="CHECK_WINDOW_SECONDS, default: %(default)s"
    )
    parser.add_argument(
        "--every-event", action="store_true", help="every event lists the folder, for comparison"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, LocalCloud.start(Path(home)) as cloud:
        burst = measure(
            cloud.session(),
            options.uploads,
            window=timedelta(seconds=options.window),
            every_event=options.every_event,
        )
    table = Table("uploads", "checks", "files seen", *sorted(burst.requests), "all", "seconds")
    table.add_row(
        *map(str, (burst.uploads, burst.checks, burst.seen)),
        *(str(burst.requests[name]) for name in sorted(burst.requests)),
        str(burst.requests.total()),
        f"{burst.seconds:.0f}",
    )
    Console().print(table)
    return 0 if burst.seen == burst.uploads else 1


if __name__ == "__main__":
    raise SystemExit(main())
