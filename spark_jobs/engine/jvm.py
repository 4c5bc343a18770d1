"""Start Spark's JVM quickly: directly with java, and with a class archive if there is one.

``spark-submit`` starts a first JVM only to print the command line of the second. This module starts
the second at once, with the options that were measured to help (docs/decisions): a class-data
archive (AppCDS) and the serial collector always, the C1 compiler alone only for small inputs, where
optimised code takes longer to compile than it saves.
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

import pyspark

from ..errors import EngineError

JAVA_NEEDED: Final = 17
_SPARK_HOME: Final = Path(pyspark.__file__).parent
_START_SECONDS: Final = 60
# It takes 15 s to write an archive on two idle cores, and did not in 60 s on two busy ones.
_END_SECONDS: Final = 300
# Spark on Java 17 needs these packages opened; the list is from Spark's launcher
# (org.apache.spark.launcher.JavaModuleOptions).
_OPENED: Final = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)


def find_java() -> Path | None:
    """Return a Java of at least version 17, from JAVA_HOME or the PATH, or None."""
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else Path(shutil.which("java") or "java")
    version = _version(java)
    major = re.search(r'version "(\d+)', version)
    return java if major and int(major[1]) >= JAVA_NEEDED else None


def archive_path(java: Path) -> Path:
    """Return the path of the class archive for exactly this Java and this Spark.

    The JVM ignores an archive of another Java or other jars, but only after mapping and checking
    it at every start. So the name depends on both.
    """
    jars = sorted(f"{jar.name}:{jar.stat().st_size}" for jar in (_SPARK_HOME / "jars").iterdir())
    built_for = "\n".join([_version(java), pyspark.__version__, _class_path(), *jars])
    digest = hashlib.sha256(built_for.encode()).hexdigest()[:16]
    return Path(sys.prefix, "var", f"spark-{pyspark.__version__}-{digest}.jsa")


def launch(
    java: Path,
    *,
    small: bool,
    memory: str,
    archive: Path | None = None,
    run_id: str | None = None,
) -> None:
    """Start the JVM and put its address where pyspark looks for a running one.

    With ``archive`` the JVM writes there, when it ends, the classes that it has loaded. With
    ``run_id`` it logs JSON lines that have it.

    Raises:
        EngineError: the JVM ended, or did not write its address within 60 s.
    """
    with tempfile.TemporaryDirectory(prefix="spark-") as folder:
        address = Path(folder, "address")
        command = _command(java, small=small, memory=memory, archive=archive, run_id=run_id)
        process = subprocess.Popen(  # noqa: S603  # no part of it comes from a user
            command,
            # The gateway ends when this pipe breaks, so it never runs longer than the driver.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(address)},
        )
        deadline = time.monotonic() + _START_SECONDS
        while not address.is_file():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.communicate()
                raise EngineError(
                    f"{java}: Spark's JVM did not start (exit code {process.returncode}); "
                    "its message is above; --engine sail runs without Java"
                )
            time.sleep(0.01)
        with address.open("rb") as written:
            # As pyspark's launcher reads it: a port, the secret's length, the secret.
            port, length = struct.unpack("!ii", written.read(8))
            os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
            os.environ["PYSPARK_GATEWAY_SECRET"] = written.read(length).decode()
    _PROCESSES.append(process)


def end() -> None:
    """Close the JVM that :func:`launch` started, and wait for it (it may be writing an archive)."""
    while _PROCESSES:
        process = _PROCESSES.pop()
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=_END_SECONDS)
        os.environ.pop("PYSPARK_GATEWAY_PORT", None)
        os.environ.pop("PYSPARK_GATEWAY_SECRET", None)


_PROCESSES: list[subprocess.Popen[bytes]] = []


def _command(
    java: Path, *, small: bool, memory: str, archive: Path | None, run_id: str | None
) -> list[str]:
    # JSON adds nothing to the start: 5.0 s of CPU against 5.1, medians of five paired starts.
    log_lines = "log4j2.properties" if run_id is None else "log4j2-run.properties"
    options = [
        f"-Xmx{memory}",
        "-XX:+UseSerialGC",
        "-XX:+IgnoreUnrecognizedVMOptions",
        "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true",
        # Java reads no TMPDIR, and a container's /tmp can't be written.
        f"-Djava.io.tmpdir={tempfile.gettempdir()}",
        f"-Dlog4j2.configurationFile={Path(__file__).with_name(log_lines)}",
        f"-Drun_id={run_id}",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
    ]
    if small:
        options.append("-XX:TieredStopAtLevel=1")
    if archive is not None:
        options.append(f"-XX:ArchiveClassesAtExit={archive}")
    elif (made := archive_path(java)).is_file():
        options += [f"-XX:SharedArchiveFile={made}", "-Xshare:auto", "-Xlog:cds=off"]
    return [
        str(java),
        "-cp",
        _class_path(),
        *options,
        "org.apache.spark.deploy.SparkSubmit",
        "--conf",
        "spark.ui.enabled=false",
        "pyspark-shell",
    ]


def _class_path() -> str:
    # Sorted and without wildcard: the archive is used only with the identical class path.
    return os.pathsep.join(str(jar) for jar in sorted((_SPARK_HOME / "jars").glob("*.jar")))


@cache  # a start needs it three times, and each call starts a JVM
def _version(java: Path) -> str:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
    # Java also prints the options from the environment, which are not part of the version.
    return "\n".join(line for line in done.stderr.splitlines() if "Picked up" not in line)
