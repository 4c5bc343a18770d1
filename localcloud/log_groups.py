"""CloudWatch Logs: lines of functions and containers, in the same groups and streams as in AWS.

Lines in the embedded metric format become metrics, as in AWS and not in moto.
"""

import functools
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import boto3
from moto.logs.models import logs_backends

from .iam_requests import ACCOUNT

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

# A line and when it was written, in milliseconds of the epoch.
Written = tuple[int, str]


def install() -> None:
    """Keep the lines that functions write to standard error, and still write them there."""
    sys.stderr = _StandardError(sys.stderr)


def now() -> int:
    return time.time_ns() // 1_000_000


def keep(group: str, stream: str, lines: Iterable[Written]) -> None:
    """Put lines into a stream, oldest first, and their metrics into CloudWatch.

    Without the group they are dropped: writers have no permission to create it.
    """
    backend = logs_backends[ACCOUNT][os.environ["AWS_REGION"]]
    events = [{"timestamp": at, "message": text} for at, text in lines if text]
    if not events or group not in backend.groups:
        return
    backend.ensure_log_stream(group, stream)
    backend.put_log_events(group, stream, events)
    for event in events:
        for namespace, metrics in embedded_metrics(str(event["message"])):
            _cloudwatch().put_metric_data(Namespace=namespace, MetricData=metrics)


def embedded_metrics(line: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each namespace of a line in the embedded metric format, with its metrics."""
    try:
        root = json.loads(line)
        metadata = root["_aws"]
    except (KeyError, TypeError, ValueError):
        return  # most lines have no metrics
    for directive in metadata["CloudWatchMetrics"]:
        yield (
            directive["Namespace"],
            [
                {
                    "MetricName": metric["Name"],
                    "Unit": metric.get("Unit", "None"),
                    "Value": root[metric["Name"]],
                    "Timestamp": datetime.fromtimestamp(metadata["Timestamp"] / 1000, UTC),
                    "Dimensions": [{"Name": name, "Value": root[name]} for name in dimensions],
                }
                for dimensions in directive["Dimensions"]
                for metric in directive["Metrics"]
            ],
        )


@contextmanager
def of_function(name: str, request_id: str) -> Iterator[None]:
    """Keep the lines that a function writes during the context, and its error, in its group."""
    written: list[Written] = []
    token = _written.set(written)
    try:
        yield
    except Exception as error:
        written.append((now(), f"[ERROR] {type(error).__name__}: {error}"))
        raise
    finally:
        _written.reset(token)
        stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{request_id.replace('-', '')}"
        keep(f"/aws/lambda/{name}", stream, written)


_written: ContextVar[list[Written] | None] = ContextVar("written", default=None)


class _StandardError(io.TextIOBase):
    def __init__(self, real: TextIO) -> None:
        self._real = real

    def write(self, text: str) -> int:
        written = _written.get()
        if written is not None:
            at = now()
            written.extend((at, line) for line in text.splitlines())
        return self._real.write(text)

    def flush(self) -> None:
        self._real.flush()


@functools.cache
def _cloudwatch() -> "CloudWatchClient":
    # Not the default session, which has the role of the function that is running.
    return boto3.Session().client("cloudwatch")
