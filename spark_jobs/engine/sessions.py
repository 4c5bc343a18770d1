"""The engine is a setting: Spark (local, remote or submitted) or Sail, with the same DataFrames.

``spark``
    the session of a running ``spark-submit``, the Spark Connect server of SPARK_REMOTE, or
    else a local Spark tuned for start-up (:mod:`spark_jobs.engine.jvm`);
``sail``
    pysail's server inside this process: the same DataFrame code without a JVM;
``auto``
    ``spark`` where it can start, ``sail`` where Java 17 is missing.
"""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # it ships no types
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ..errors import EngineError
from . import jvm

EngineName = Literal["auto", "spark", "sail"]
ENGINES: Final[tuple[EngineName, ...]] = ("auto", "spark", "sail")

# Up to this size the C1 compiler alone is faster (0.43 x the wall time of 5,000 orders); at a
# million orders it takes 1.34 x the time.
SMALL_INPUT_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that will run; ``note`` says why if it is not the requested one."""

    engine: Literal["spark", "sail"]
    note: str | None = None


def choose(requested: EngineName) -> Choice:
    """Decide which engine ``auto`` is.

    Raises:
        EngineError: ``spark`` was requested and can't start.
    """
    if requested == "sail":
        return Choice("sail")
    if _is_submitted() or os.environ.get("SPARK_REMOTE") or jvm.find_java() is not None:
        return Choice("spark")
    if requested == "auto":
        return Choice("sail", f"no Java {jvm.JAVA_NEEDED} or newer found: running on sail instead")
    raise EngineError(
        f"engine spark: no Java {jvm.JAVA_NEEDED} or newer in JAVA_HOME or on the PATH; "
        "install one (Debian: openjdk-17-jre-headless) or use --engine sail"
    )


@contextmanager
def starting(
    engine: Literal["spark", "sail"], *, input_bytes: int, run_id: str | None = None
) -> Iterator[Callable[[], SparkSession]]:
    """Open a session in the background; yield a function that waits for it and returns it.

    With ``run_id`` the JVM logs JSON lines that have it, as the rest of the container does.

    Starting an engine takes longer than reading a small delivery, and leaves a core idle.

    Raises:
        EngineError: from the function, when the engine did not start.
    """
    with ExitStack() as stack, ThreadPoolExecutor(1, "engine") as thread:
        opening = thread.submit(
            lambda: stack.enter_context(session(engine, input_bytes=input_bytes, run_id=run_id))
        )
        try:
            yield opening.result
        finally:
            wait([opening])


@contextmanager
def session(
    engine: Literal["spark", "sail"], *, input_bytes: int, run_id: str | None = None
) -> Iterator[SparkSession]:
    """Open a session with settings for this many bytes of CSV, and close it afterwards.

    Raises:
        EngineError: the engine did not start, or failed during the work.
    """
    if engine == "sail":
        with _sail() as spark:
            yield spark
    elif remote := os.environ.get("SPARK_REMOTE"):
        _require_listener(remote)
        with _connected(remote) as spark:
            yield spark
    else:
        with jvm_session(small=input_bytes <= SMALL_INPUT_BYTES, run_id=run_id) as spark:
            yield spark


def _is_submitted() -> bool:
    return "PYSPARK_GATEWAY_PORT" in os.environ


@contextmanager
def jvm_session(
    *, small: bool, archive: Path | None = None, run_id: str | None = None
) -> Iterator[SparkSession]:
    """Open a session of spark-submit's JVM or, without one, of a JVM started here.

    Raises:
        EngineError: the JVM did not start.
    """
    builder = SparkSession.builder.appName("shop-kpis")
    java = None if _is_submitted() else jvm.find_java()
    settings = _EVERYWHERE
    if java is not None:
        memory = "1g" if small else "2g"
        jvm.launch(java, small=small, memory=memory, archive=archive, run_id=run_id)
        settings = {**_EVERYWHERE, **_local_settings(small=small)}
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        with _spark_errors("Spark"):
            spark = builder.getOrCreate()
            try:
                yield spark
            finally:
                spark.stop()
    finally:
        if java is not None:
            _forget_gateway()
            jvm.end()


_EVERYWHERE: Final = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}


def _local_settings(*, small: bool) -> dict[str, str]:
    """Return settings for one machine; those of a cluster come with spark-submit."""
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Adaptive execution plans each stage again: without it, 0.94 x the time.
        "spark.sql.adaptive.enabled": "false",
        # One partition a core with hash joins: 0.75 x the time of two a core with sort joins.
        "spark.sql.shuffle.partitions": "1" if small else str(os.cpu_count() or 1),
        "spark.sql.join.preferSortMergeJoin": "false",
    }
    if small:
        # One partition and no generated code are faster only together, and only at this size.
        settings |= {
            "spark.default.parallelism": "1",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }
    return settings


def _forget_gateway() -> None:
    """Make a later session of this process start a new JVM."""
    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        SparkContext._gateway = None
        SparkContext._jvm = None


@contextmanager
def _sail() -> Iterator[SparkSession]:
    # Sail's start-up lines would be printed between the tables. A RUST_LOG that is set is kept.
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
    with _spark_errors("Spark Connect"):
        spark = SparkSession.builder.remote(remote).create()
        try:
            for name, value in _EVERYWHERE.items():
                spark.conf.set(name, value)
            yield spark
        finally:
            spark.stop()
            # pyspark's switch to Spark Connect outlives the session, and child processes inherit
            # it: a JVM session of theirs would fail with CONNECT_URL_NOT_SET.
            os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)


def _require_listener(remote: str) -> None:
    """Raise EngineError at once: pyspark's client tries an address without a server for 10 min."""
    address = urlsplit(remote)
    # What follows the port may hold a token, so the message has only host and port.
    host, port = address.hostname or "", address.port or _CONNECT_PORT
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"SPARK_REMOTE {host}:{port}: {error}; start the Spark Connect server there, "
            "or unset SPARK_REMOTE for a Spark on this machine"
        ) from error


_CONNECT_PORT: Final = 15002
_CONNECT_SECONDS: Final = 10


@contextmanager
def _spark_errors(engine: str) -> Iterator[None]:
    """Turn an exception of Spark into an EngineError of one line that names the engine."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        lines = [line.strip(" :") for line in str(error).splitlines() if line.strip()]
        # py4j's first line only names its own proxy object.
        cause = lines[1] if isinstance(error, Py4JError) and len(lines) > 1 else lines[0]
        raise EngineError(f"{engine} failed: {cause}; read the driver's log") from error
