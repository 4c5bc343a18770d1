"""The same transform on more than one machine: a standalone cluster, and Spark Connect."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from spark_jobs.kpis import CATEGORY_KPIS, ORDER_KPIS
from tests import oracle
from tests.conftest import ROOT
from tests.spark_jobs.standalone import Cluster, executors, free_port, wait_for

TRANSFORM = "spark_jobs/transform.py"
SAMPLE = ROOT / "samples" / "incoming"
# Many small tasks, so that a job has a middle: some seconds of it.
MANY_TASKS = {"spark.sql.shuffle.partitions": "50"}
_READ = {"string": str, "date": date.fromisoformat, "bigint": int}


@pytest.fixture(scope="session")
def delivery() -> Path:
    """The real files where they are, else the committed sample."""
    real = ROOT.parent / "shared" / "data" / "lab6" / "incoming"
    return real if real.is_dir() else SAMPLE


def written(folder: Path) -> oracle.Tables:
    return oracle.Tables(
        _table(folder / "category_kpis.csv", CATEGORY_KPIS),
        _table(folder / "order_kpis.csv", ORDER_KPIS),
    )


def _table(path: Path, schema) -> list[dict[str, object]]:
    kinds = {field.name: field.dataType.simpleString() for field in schema.fields}
    with path.open(newline="") as file:
        return [
            {name: _READ.get(kinds[name], Decimal)(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def arguments(delivery: Path, output: Path) -> tuple[str | Path, ...]:
    return ("--input", delivery, "--output", output, "--engine", "spark")


def tasks_run(cluster: Cluster) -> int:
    """How many tasks the executors of all workers have ended."""
    logs = cluster.home.glob("worker-*/app-*/*/stderr")
    return sum(log.read_text().count("Finished task") for log in logs)


def read_by_executors(cluster: Cluster) -> set[Path]:
    """Every file that an executor of any job has read."""
    logs = cluster.home.glob("worker-*/app-*/*/stderr")
    texts = (log.read_text() for log in logs)
    return {
        Path(path)
        for text in texts
        for path in re.findall(r"Reading File path: file://([^,]+),", text)
    }


def test_a_job_submitted_to_the_cluster_equals_the_oracle(
    cluster: Cluster, delivery: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    job = cluster.submit(
        TRANSFORM,
        *arguments(delivery, tmp_path),
        environment={"SPARK_STAGING": str(shared)},
        cwd=ROOT,
    )
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors[-3000:]
    assert written(tmp_path) == oracle.from_csv(delivery)
    assert {place.name for place in read_by_executors(cluster) if shared in place.parents} == {
        "orders.parquet", "lines.parquet", "products.parquet"
    }, "the executors have not read what was staged for them"  # fmt: skip
    assert list(shared.iterdir()) == []


def test_a_worker_killed_in_the_middle_changes_no_result(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    job = cluster.submit(
        TRANSFORM,
        *arguments(SAMPLE, tmp_path),
        settings={**MANY_TASKS, "spark.ui.port": str(port)},
        cwd=ROOT,
    )

    def both_hold_what_the_job_still_needs() -> bool:
        assert job.poll() is None, "the job ended before it had a middle"
        writing = [e for e in executors(port) if e["totalShuffleWrite"] and e["completedTasks"]]
        return len(writing) == 2

    wait_for(both_hold_what_the_job_still_needs, 90)
    _, victim, *_ = cluster.daemons
    victim.kill()
    _, errors = job.communicate(timeout=120)
    cluster.start_worker().says("Successfully registered with master")

    assert job.returncode == 0, errors[-3000:]
    assert "Lost executor" in errors
    assert "Shuffle files lost for" in errors, "nothing had to be computed again"
    assert written(tmp_path) == oracle.from_csv(SAMPLE)


@pytest.fixture(scope="module")
def connect(cluster: Cluster) -> Iterator[str]:
    """A Spark Connect server on the cluster, with settings that are not ours."""
    server, address = cluster.start_connect_server(
        **{"spark.sql.session.timeZone": "Asia/Tokyo", "spark.sql.ansi.enabled": "false"}
    )
    yield address
    server.kill()


def run(remote: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TRANSFORM, *arguments],
        cwd=ROOT,
        env={**os.environ, "SPARK_REMOTE": remote},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_remote_job_through_spark_connect_equals_the_oracle(
    cluster: Cluster, connect: str, delivery: Path, tmp_path: Path
) -> None:
    before = tasks_run(cluster)
    done = run(connect, *arguments(delivery, tmp_path))
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == oracle.from_csv(delivery)
    assert tasks_run(cluster) > before


def test_a_server_that_is_not_there_is_told_in_a_line_without_its_token(tmp_path: Path) -> None:
    remote = f"sc://127.0.0.1:{free_port()}/;token=secret"
    done = run(remote, *arguments(SAMPLE, tmp_path))
    assert done.returncode == 1
    assert "Connection refused; start the Spark Connect server there" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
