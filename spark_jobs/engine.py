"""The engine is a setting: Spark (local, remote or submitted) or Sail, with the same DataFrames.

``spark``
    the session of a running ``spark-submit``, the Spark Connect server of SPARK_REMOTE, or
    else a local Spark tuned for start-up (:mod:`spark_jobs.jvm`);
``sail``
    pysail's server inside this process: the same DataFrame code without a JVM;
``auto``
    ``spark`` where it can start, ``sail`` where Java 17 is missing.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pyspark import SparkContext
from pyspark.sql import SparkSession

from . import jvm
from .errors import EngineError

EngineName = Literal["auto", "spark", "sail"]
ENGINES: Final[tuple[EngineName, ...]] = ("auto", "spark", "sail")

# Up to here the C1 compiler alone is quicker (0.43 x the wall time of 5,000 orders); at a
# million orders it costs 1.34 x.
SMALL_INPUT_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that will run, and the line that says why if it is not the one asked for."""

    engine: Literal["spark", "sail"]
    note: str | None = None


def choose(asked: EngineName) -> Choice:
    """Settle ``auto``.

    Raises:
        EngineError: ``spark`` was asked for and can't start.
    """
    if asked == "sail":
        return Choice("sail")
    if _is_submitted() or os.environ.get("SPARK_REMOTE") or jvm.find_java() is not None:
        return Choice("spark")
    if asked == "auto":
        return Choice("sail", f"no Java {jvm.JAVA_NEEDED} or newer found: running on sail instead")
    raise EngineError(
        f"engine spark: no Java {jvm.JAVA_NEEDED} or newer in JAVA_HOME or on the PATH; "
        "install one (Debian: openjdk-17-jre-headless) or use --engine sail"
    )


@contextmanager
def starting(
    engine: Literal["spark", "sail"], *, input_bytes: int
) -> Iterator[Callable[[], SparkSession]]:
    """Open a session in the background; the call that is yielded waits for it.

    Importing pyspark and starting its engine take longer than reading a small delivery, and
    both leave a core idle.

    Raises:
        EngineError: by the call, when the engine did not start.
    """
    with ExitStack() as stack, ThreadPoolExecutor(1, "engine") as thread:
        opening = thread.submit(
            lambda: stack.enter_context(session(engine, input_bytes=input_bytes))
        )
        try:
            yield opening.result
        finally:
            wait([opening])


@contextmanager
def session(engine: Literal["spark", "sail"], *, input_bytes: int) -> Iterator[SparkSession]:
    """Open a session suited to this many bytes of CSV, and close it after.

    Raises:
        EngineError: the engine did not start.
    """
    if engine == "sail":
        with _sail() as spark:
            yield spark
    elif remote := os.environ.get("SPARK_REMOTE"):
        with _connected(remote) as spark:
            yield spark
    else:
        with jvm_session(small=input_bytes <= SMALL_INPUT_BYTES) as spark:
            yield spark


def _is_submitted() -> bool:
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def jvm_session(*, small: bool, archive: Path | None = None) -> Iterator[SparkSession]:
    """Open a session of spark-submit's JVM or, without one, of a JVM started here.

    Raises:
        EngineError: the JVM did not start.
    """
    builder = SparkSession.builder.appName("shop-kpis")
    java = None if _is_submitted() else jvm.find_java()
    settings = _EVERYWHERE
    if java is not None:
        jvm.launch(java, small=small, memory="1g" if small else "2g", archive=archive)
        settings = {**_EVERYWHERE, **_local_settings(small=small)}
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()
        if java is not None:
            _forget_gateway()
            jvm.end()


_EVERYWHERE: Final = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}


def _local_settings(*, small: bool) -> dict[str, str]:
    """Return what suits one machine; a cluster's own settings come with spark-submit."""
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Adaptive execution plans each stage anew: 0.94 x the time without it here.
        "spark.sql.adaptive.enabled": "false",
        # One partition a core, and joins by hash: 0.75 x the time of twice as many that sort.
        "spark.sql.shuffle.partitions": "1" if small else str(os.cpu_count() or 1),
        "spark.sql.join.preferSortMergeJoin": "false",
    }
    if small:
        # One partition and no generated code only pay together, and only at this size.
        settings |= {
            "spark.default.parallelism": "1",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }
    return settings


def _forget_gateway() -> None:
    """Let a later session of this process start a JVM of its own."""
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None


@contextmanager
def _sail() -> Iterator[SparkSession]:
    # Sail's own start-up lines would stand between the tables; RUST_LOG still overrules this.
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    _, port = server.listening_address
    try:
        with _connected(f"sc://127.0.0.1:{port}") as spark:
            yield spark
    finally:
        server.stop()


@contextmanager
def _connected(remote: str) -> Iterator[SparkSession]:
    spark = SparkSession.builder.remote(remote).create()
    try:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        yield spark
    finally:
        spark.stop()
