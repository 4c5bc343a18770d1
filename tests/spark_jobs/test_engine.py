"""Which engine runs, and that Spark's start really uses what set-up made for it."""

import functools
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from spark_jobs.engine import jvm, sessions
from spark_jobs.errors import EngineError
from tests.conftest import IN_CI, ROOT


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.delenv("SPARK_REMOTE", raising=False)


@pytest.mark.usefixtures("no_java")
def test_without_java_auto_is_sail_with_a_note_and_spark_is_an_error() -> None:
    assert sessions.choose("auto") == sessions.Choice(
        "sail", "no Java 17 or newer found: running on sail instead"
    )
    with pytest.raises(EngineError, match=r"openjdk-17-jre-headless.*--engine sail"):
        sessions.choose("spark")


@pytest.mark.usefixtures("no_java")
def test_without_java_spark_runs_where_a_remote_server_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    assert sessions.choose("auto").engine == "spark"


def test_a_java_that_is_too_old_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("11.0.2", "21.0.2"):
        java = tmp_path / version / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-16' >&2\n")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "11.0.2"))
    assert jvm.find_java() is None
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "21.0.2"))
    assert jvm.find_java() == tmp_path / "21.0.2" / "bin" / "java"


def test_a_jvm_that_does_not_start_is_an_error_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 3\n")
    java.chmod(0o755)
    with pytest.raises(EngineError, match="exit code 3"):
        jvm.launch(java, small=True, memory="1g")


def test_spark_maps_its_classes_from_the_archive_that_set_up_made(tmp_path: Path) -> None:
    java = jvm.find_java()
    if java is None or not jvm.archive_path(java).is_file():
        assert not IN_CI, "CI must have Java 17 and the archive that make setup writes"
        pytest.skip("no class archive: make setup writes it where Java 17 is")
    classes = tmp_path / "classes.log"
    done = subprocess.run(
        [sys.executable, "-m", "spark_jobs.transform", "--engine", "spark",
         "--input", "samples/incoming", "--output", tmp_path],
        cwd=ROOT,
        env={**os.environ, "JDK_JAVA_OPTIONS": f"-Xlog:class+load:file={classes}"},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = classes.read_text().splitlines()
    mapped = sum("shared objects file" in line for line in loaded)
    # The archive is silently ignored when anything about it does not fit. Lambdas, proxies and
    # the classes of signed jars never come from it: a quarter of all.
    assert mapped > 0.7 * len(loaded), f"{mapped} of {len(loaded)} classes are from the archive"


SESSION = """
import os
from pathlib import Path
from spark_jobs.engine import sessions

def sockets():
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for process in (str(os.getpid()), *children):
        for link in Path("/proc", process, "fd").iterdir():
            if link.is_symlink() and (target := os.readlink(link)).startswith("socket:["):
                yield target[8:-1]

with sessions.session(os.environ["ENGINE_NAME"], input_bytes=1, run_id="run-7") as spark:
    if os.environ["ENGINE_NAME"] == "spark":
        log4j = spark._jvm.org.apache.logging.log4j
        log4j.LogManager.getLogger("shop").warn('a "quoted" warning')
    ours = set(sockets())
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in ours:  # 0A is LISTEN
                print("listens", fields[1])
print(*(f"leaves {name}" for name in os.environ if "SPARK_CONNECT" in name))
"""


@functools.cache
def session(engine: str) -> subprocess.CompletedProcess[str]:
    """Open a session of a run in another process, once."""
    if engine == "spark" and jvm.find_java() is None:
        assert not IN_CI, "CI must have Java 17"
        pytest.skip("no Java 17")
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=ROOT,
        env={**os.environ, "ENGINE_NAME": engine},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_jvm_of_a_run_warns_in_json_with_the_runs_id() -> None:
    [line] = [line for line in session("spark").stderr.splitlines() if "warning" in line]
    warning = json.loads(line)
    assert datetime.fromisoformat(warning.pop("time")).utcoffset() == timedelta(0)
    assert warning == {
        "level": "WARN",
        "logger": "shop",
        "message": 'a "quoted" warning',
        "run_id": "run-7",
    }


@pytest.mark.parametrize("engine", ["spark", "sail"])
def test_a_session_listens_on_the_loopback_alone(engine: str) -> None:
    done = session(engine)
    listening = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("listens")]
    # 127.0.0.1, the same as an IPv6 address, and ::1, in the kernel's byte order.
    loopback = ("0100007F:", "0000000000000000FFFF00000100007F:", f"{'0' * 24}01000000:")
    assert listening
    assert [address for address in listening if not address.startswith(loopback)] == []


@pytest.mark.parametrize("engine", ["spark", "sail"])
def test_a_session_does_not_switch_later_processes_to_spark_connect(engine: str) -> None:
    assert "leaves" not in session(engine).stdout
