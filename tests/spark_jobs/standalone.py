"""A Spark standalone cluster of one master and workers, as processes of this machine.

Started with java straight from pyspark's own jars: the scripts of a Spark distribution
(sbin/start-master.sh) are not part of pyspark. Everything listens on the loopback alone.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
# A cold JVM on a busy machine of two cores.
START_SECONDS = 60
T = TypeVar("T")

# Small jobs on a shared machine: the C1 compiler alone, and one core on each worker.
SMALL_JOB = {
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.cores.max": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.ui.showConsoleProgress": "false",
}


@dataclass
class Daemon:
    """A master, worker or server; its executors share its process group."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line of its log."""

        def look() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return re.search(pattern, self.log.read_text())

        return wait_for(look, START_SECONDS)

    def kill(self) -> None:
        """SIGKILL to it and all that it started, as when the machine loses its power."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    home: Path
    java: Path
    daemons: list[Daemon] = field(default_factory=list)
    jobs: list[subprocess.Popen[str]] = field(default_factory=list)
    master: str = ""

    def start(self, *, workers: int) -> None:
        master = self._daemon("org.apache.spark.deploy.master.Master")
        self.master = master.says(r"at (spark://127\.0\.0\.1:\d+)")[1]
        for worker in [self.start_worker() for _ in range(workers)]:
            worker.says("Successfully registered with master")

    def start_worker(self) -> Daemon:
        folder = self.home / f"worker-{len(self.daemons)}"
        return self._daemon(
            "org.apache.spark.deploy.worker.Worker",
            *("--cores", "2", "--memory", "1g", "--work-dir", str(folder), self.master),
        )

    def start_connect_server(self, **settings: str) -> tuple[Daemon, str]:
        """Start Spark Connect as a job of this cluster; return it and its address."""
        server = self._start(
            "connect",
            *self._submit_command(
                {
                    "spark.connect.grpc.binding.address": "127.0.0.1",
                    "spark.connect.grpc.binding.port": "0",
                    "spark.ui.enabled": "false",
                    **settings,
                }
            ),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            "spark-internal",
        )
        return server, f"sc://{server.says(r'server started at: (127[.0-9]+:[0-9]+)')[1]}"

    def submit(
        self,
        *arguments: str | Path,
        options: tuple[str | Path, ...] = (),
        settings: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        cwd: Path,
    ) -> subprocess.Popen[str]:
        """Start ``spark-submit ARGUMENTS`` against this cluster."""
        job = subprocess.Popen(
            [*self._submit_command(settings or {}), *options, *arguments],
            cwd=cwd,
            env=self._environment() | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.jobs.append(job)
        return job

    def stop(self) -> None:
        for job in self.jobs:
            if job.poll() is None:  # only where a test has failed
                os.killpg(job.pid, signal.SIGKILL)
                job.communicate()
        for daemon in reversed(self.daemons):
            daemon.kill()

    def _submit_command(self, settings: dict[str, str]) -> list[str]:
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", self.master]
        for name, value in (SMALL_JOB | settings).items():
            command += ["--conf", f"{name}={value}"]
        return command

    def _daemon(self, name: str, *arguments: str) -> Daemon:
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        # Port 6066 is for submitting over HTTP, which no test does.
        options += ["-Dspark.master.rest.enabled=false", "-cp", str(SPARK_HOME / "jars" / "*")]
        listening = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        kind = name.rpartition(".")[2].lower()
        return self._start(kind, str(self.java), *options, name, *listening, *arguments)

    def _start(self, kind: str, *command: str) -> Daemon:
        log = self.home / f"{kind}-{len(self.daemons)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons.append(Daemon(process, log))
        return self.daemons[-1]

    def _environment(self) -> dict[str, str]:
        scratch = self.home / "scratch"
        scratch.mkdir(exist_ok=True)
        return {
            # Without what PySpark sets in a process that has had a session.
            **{name: value for name, value in os.environ.items() if "SPARK" not in name},
            "JAVA_HOME": str(self.java.resolve().parents[1]),
            "SPARK_HOME": str(SPARK_HOME),
            # A worker looks for it in folders that only a source tree of Spark has.
            "SPARK_SCALA_VERSION": "2.13",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(scratch),
            "PYSPARK_PYTHON": sys.executable,
        }


def executors(ui_port: int) -> list[dict[str, Any]]:
    """What a running driver says of its executors; nothing while it is not up yet."""
    api = f"http://127.0.0.1:{ui_port}/api/v1/applications"
    try:
        for application in _json(api):
            found = _json(f"{api}/{application['id']}/executors")
            return [executor for executor in found if executor["id"] != "driver"]
    except (OSError, ValueError):  # not listening yet, or not ready to answer in JSON
        pass
    return []


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # the loopback's
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(look: Callable[[], T | None], seconds: float) -> T:
    """Look until there is something to see."""
    ends = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < ends, f"did not happen within {seconds} s"
        time.sleep(0.02)
    return seen
