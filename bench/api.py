"""The REST API: how long 50 concurrent readers wait, and what a cold start imports.

    .venv/bin/python -m bench.api [--readers 50] [--seconds 15] [--json FILE]

Ninety days of KPIs of 7 categories lie in the embedded AWS; Chalice's local server answers on
127.0.0.1. Each reader keeps its connection and asks for something else each time.
"""

import argparse
import http.client
import importlib.util
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import boto3
from rich.console import Console
from rich.table import Table

from chalice_app.chalicelib.aws.kpi_tables import KpiQueries, Period
from chalice_app.chalicelib.aws.run_table import RunTable
from localcloud.api import LocalApi
from localcloud.cloud import LocalCloud
from localcloud.provision import create_kpi_tables, create_runs_table

from .inputs import ROOT

LAST: Final = date(2025, 12, 31)
# moto looks at every item of a table for each query: a larger one measures only that.
DAYS: Final = 90
CATEGORIES: Final = [f"Category {number} & more" for number in range(7)]
RUNS: Final = 60
SETTINGS: Final = {
    "S3_BUCKET": "bench",
    "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:Bench",
}
# What the pipeline's other parts bring and a cold start must not load.
HEAVY: Final = ("duckdb", "great_expectations", "jinja2", "numpy", "pandas", "pyarrow", "pyspark")
# Lambda has boto3; everything else is in the package, as source: Chalice ships no bytecode.
_IMPORT: Final = "import sys; sys.path.insert(0, sys.argv[1]); import app; print(*sys.modules)"


@dataclass(slots=True)
class Times:
    """Milliseconds of each request, by what was asked for."""

    by_route: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0
    seconds: float = 0.0

    @property
    def all(self) -> list[float]:
        return [one for times in self.by_route.values() for one in times]


def paths() -> list[tuple[str, str]]:
    """Return what a reader asks for, in turn: the name of the route and an address."""
    month = f"from={LAST - timedelta(days=30)}&to={LAST}"
    quarter = f"from={LAST - timedelta(days=DAYS - 1)}&to={LAST}"
    category = quote(CATEGORIES[3], safe="")
    return [
        ("31 days", f"/kpis/daily?{month}"),
        ("categories of 31 days", f"/kpis/categories?{month}"),
        ("31 days of a category", f"/kpis/categories/{category}?{month}"),
        ("90 days, as CSV", f"/kpis/daily?{quarter}"),
        ("20 runs", "/runs?limit=20"),
    ]


def fill(session: boto3.Session) -> None:
    dynamodb, resource = session.client("dynamodb"), session.resource("dynamodb")
    create_kpi_tables(dynamodb, category_kpis="CategoryKPIs", order_kpis="OrderKPIs")
    create_runs_table(dynamodb, "PipelineRuns")
    stamp = {"run_id": "run-1", "ledger_version": 9, "computed_at": "2026-01-01T06:00:00+00:00"}
    counts = {"order_count": 120, "returned_orders": 7, "net_revenue": Decimal("9876.5")}
    with (
        resource.Table("OrderKPIs").batch_writer() as orders,
        resource.Table("CategoryKPIs").batch_writer() as categories,
    ):
        for number in range(DAYS):
            day = {"order_date": str(LAST - timedelta(days=number)), **counts, **stamp}
            orders.put_item(
                {
                    **day,
                    "total_orders": 120,
                    "total_revenue": Decimal("12345.67"),
                    "total_items_sold": 345,
                    "return_rate": Decimal("5.83"),
                    "unique_customers": 99,
                    "categories": set(CATEGORIES),
                }
            )
            for name in CATEGORIES:
                categories.put_item(
                    {
                        **day,
                        "category": name,
                        "daily_revenue": Decimal("617.28"),
                        "avg_order_value": Decimal("51.44"),
                        "avg_return_rate": Decimal("5.83"),
                    }
                )
    with resource.Table("PipelineRuns").batch_writer() as runs:
        for number in range(RUNS):
            started = datetime.now(UTC) - timedelta(hours=6 * number)
            runs.put_item(
                {
                    "run_id": f"run-{number}",
                    "month": f"{started:%Y-%m}",
                    "state": "SUCCEEDED",
                    "started_at": started.isoformat(timespec="milliseconds"),
                    "files": 11,
                    "rows": {"accepted": 1000, "quarantined": 3, "held": 1},
                    "estimated_cost": Decimal("0.0123"),
                }
            )


def straight(session: boto3.Session, seconds: float) -> Times:
    """Read the same without the API: what of one reader's time is the embedded DynamoDB's."""
    dynamodb = session.client("dynamodb")
    kpis = KpiQueries(dynamodb, category_kpis="CategoryKPIs", order_kpis="OrderKPIs")
    runs = RunTable(dynamodb, "PipelineRuns")
    month = Period(start=LAST - timedelta(days=30), end=LAST)
    quarter = Period(start=LAST - timedelta(days=DAYS - 1), end=LAST)
    reads: list[Callable[[], object]] = [
        lambda: kpis.daily(month, 100),
        lambda: kpis.categories(month),
        lambda: kpis.category(CATEGORIES[3], month, 100),
        lambda: kpis.daily(quarter, 100),
        lambda: runs.latest(21, now=datetime.now(UTC)),
    ]
    times, began = Times(), time.monotonic()
    while time.monotonic() < began + seconds:
        for (name, _), query in zip(paths(), reads, strict=True):
            asked = time.monotonic()
            query()
            times.by_route[name].append(1000 * (time.monotonic() - asked))
    times.seconds = time.monotonic() - began
    return times


def read(address: str, readers: int, seconds: float, pause: float) -> Times:
    """Let so many readers ask for so long, each with a pause after each answer."""
    times, lock = Times(), threading.Lock()
    began = time.monotonic()
    ends = began + seconds

    def reader(number: int) -> None:
        connection = http.client.HTTPConnection(address)
        turns = itertools.islice(itertools.cycle(paths()), number, None)
        # So that readers with a pause do not come all at once.
        time.sleep(pause * number / readers)
        while time.monotonic() < ends:
            name, path = next(turns)
            asked = time.monotonic()
            headers = {"Accept": "text/csv" if name.endswith("CSV") else "application/json"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            took = 1000 * (time.monotonic() - asked)
            with lock:
                times.by_route[name].append(took)
                times.failed += answer.status != http.client.OK
            time.sleep(pause)
        connection.close()

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.seconds = time.monotonic() - began
    return times


def cold_imports(rounds: int) -> tuple[list[float], list[tuple[str, float]], list[str]]:
    """Import the deployed package in fresh processes.

    Returns the milliseconds of each, the costliest parts of the last, and what of HEAVY it loads.
    """
    milliseconds, parts, loaded = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch)
        bare = shutil.ignore_patterns("__pycache__")
        shutil.copy(ROOT / "chalice_app" / "app.py", package)
        shutil.copytree(ROOT / "chalice_app/chalicelib", package / "chalicelib", ignore=bare)
        shutil.copytree(ROOT / "contract", package / "contract", ignore=bare)
        found = importlib.util.find_spec("chalice")
        if found is None or found.origin is None:
            raise SystemExit("error: chalice is not installed: run make setup")
        (package / "chalice").mkdir()
        for name in ("__init__.py", "app.py"):
            shutil.copy(Path(found.origin).with_name(name), package / "chalice")
        for _ in range(rounds):
            result = subprocess.run(
                [sys.executable, "-X", "importtime", "-c", _IMPORT, str(package)],
                env={
                    **os.environ,
                    **SETTINGS,
                    "AWS_DEFAULT_REGION": "eu-north-1",
                    # As in Lambda, whose file system cannot be written.
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                capture_output=True,
                text=True,
                check=True,
            )
            lines = [line.split("|") for line in result.stderr.splitlines() if "|" in line]
            named = [
                (name.strip(), int(cumulative) / 1000)
                for _, cumulative, name in lines
                if cumulative.strip().isdigit()
            ]
            milliseconds.append(dict(named)["app"])
            parts = sorted(named, key=lambda pair: -pair[1])
            loaded = sorted(set(HEAVY) & set(result.stdout.split()))
    return milliseconds, parts, loaded


def percentile(times: Sequence[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--imports", type=int, default=11, help="fresh processes that import")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    screen = Console(width=110)
    report: dict[str, Any] = {"load": os.getloadavg()}

    milliseconds, parts, loaded = cold_imports(options.imports)
    report["import_ms"] = milliseconds
    screen.print(
        f"cold import of the package, {options.imports} processes: median "
        f"{statistics.median(milliseconds):.0f} ms, fastest {min(milliseconds):.0f}, "
        f"slowest {max(milliseconds):.0f}; heavy modules: {', '.join(loaded) or 'none'}"
    )
    for name, cost in parts[1:9]:
        screen.print(f"  {cost:6.0f} ms  {name}")

    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        with LocalCloud.start(home) as cloud:
            fill(cloud.session())
            with LocalApi.start(
                ROOT / "chalice_app",
                environment={**cloud.environment, **SETTINGS},
                log_file=home / "api.log",
            ) as api:
                title = "one reader, straight from DynamoDB"
                times = straight(cloud.session(), options.seconds)
                report[title] = dict(times.by_route)
                _show(screen, title, times)
                address = api.url.removeprefix("http://")
                read(address, 1, 2, 0)
                for title, readers, pause in (
                    ("one reader", 1, 0.0),
                    (f"{options.readers} readers, each with a pause of 2 s", options.readers, 2.0),
                    (f"{options.readers} readers without a pause", options.readers, 0.0),
                ):
                    times = read(address, readers, options.seconds, pause)
                    report[title] = dict(times.by_route)
                    _show(screen, title, times)
    screen.print(f"load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    if options.json:
        options.json.write_text(json.dumps(report), encoding="utf-8")


def _show(screen: Console, title: str, times: Times) -> None:
    rate = len(times.all) / times.seconds
    table = Table(
        title=f"{title}: {len(times.all)} answers, {rate:.0f} a second, {times.failed} failed",
        title_justify="left",
    )
    table.add_column("asked for")
    for name in ("answers", "p50 ms", "p95 ms", "slowest ms"):
        table.add_column(name, justify="right")
    for name, some in [*times.by_route.items(), ("all", times.all)]:
        if len(some) > 1:
            figures = (percentile(some, 50), percentile(some, 95), max(some))
            table.add_row(name, str(len(some)), *(f"{figure:.0f}" for figure in figures))
    screen.print(table)


if __name__ == "__main__":
    main()
