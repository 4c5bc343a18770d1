"""A run that fails says why, in one line, and leaves no verdict."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from expectations import validate
from tests.conftest import ROOT, write_delivery

from .conftest import NOW, clean_files


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    return write_delivery(tmp_path / "incoming", clean_files())


def run(*arguments: object) -> int:
    return validate.main([str(argument) for argument in arguments], clock=lambda: NOW)


def test_an_output_that_cannot_be_written_is_a_failure(
    incoming: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run("--input", incoming, "--output", tmp_path / "file/below") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("validate: NotADirectoryError: ")
    assert "file/below" in last
    assert last.endswith("; no verdict was written")


def test_a_full_disk_is_a_failure_without_half_a_verdict(incoming: Path, tmp_path: Path) -> None:
    def no_file_over_10_kib() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 * 1024, 10 * 1024))

    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-m", "expectations.validate", "--input", incoming, "--output", out],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=no_file_over_10_kib,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("validate: ")
    assert not list(out.rglob("verdict.json"))


def test_a_verdict_is_there_whole_or_not_at_all(
    incoming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while the verdict, the last of all files, is copied."""
    out = tmp_path / "out"
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "verdict.json":
            os.truncate(target, 10)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    assert run("--input", incoming, "--output", out, "--run-id", "r") == 1
    assert sorted(path.name for path in (out / "runs/r").iterdir()) == ["accepted"]


@pytest.mark.parametrize("suite", ["nothing", '{"name": "orders", "expectations": []}'])
def test_rules_that_cannot_be_used_are_a_failure(
    suite: str,
    incoming: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "products.json").write_text(suite)
    monkeypatch.setattr(validate, "SUITES", tmp_path)
    assert run("--input", incoming, "--output", tmp_path / "out") == 1
    assert "products.json: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_delivery_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--input", tmp_path / "nowhere", "--output", tmp_path) == 2
    assert "no such folder; --input takes a folder of CSV files" in capsys.readouterr().err


@pytest.mark.parametrize("percent", ["ten", "-1", "101", ""])
def test_a_setting_that_is_no_percentage_is_wrong_usage(
    percent: str,
    incoming: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAX_BAD_ROW_PERCENT", percent)
    assert run("--input", incoming, "--output", tmp_path / "out") == 2
    assert f"MAX_BAD_ROW_PERCENT is '{percent}': set a number" in capsys.readouterr().err


@pytest.mark.parametrize("rows", ["0", "-1", "1.5", "many", ""])
def test_a_setting_that_is_no_number_of_rows_is_wrong_usage(
    rows: str,
    incoming: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MIN_BAD_ROWS", rows)
    assert run("--input", incoming, "--output", tmp_path / "out") == 2
    assert f"MIN_BAD_ROWS is '{rows}': set a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--output", "x"], ["--input", "a", "--manifest", "b", "--output", "x"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        validate.main(arguments)
    assert ended.value.code == 2


def test_a_memory_limit_that_is_none_is_said_so(
    incoming: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--input", incoming, "--output", tmp_path, "--memory-limit", "much") == 2
    assert "memory limit is 'much': set --memory-limit" in capsys.readouterr().err


def test_a_run_that_needs_more_memory_is_tried_again_with_twice_as_much(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[str] = []

    def attempt(settings: validate.Settings, number: int) -> dict[str, object]:
        tried.append(settings.memory_limit)
        if number < 2:
            raise duckdb.OutOfMemoryException("could not allocate")
        return {"outcome": "accepted"}

    settings = validate.Settings(memory_limit="100MB")
    assert validate._with_enough_memory(attempt, settings) == {"outcome": "accepted"}
    assert tried == ["100MB", "200MB", "400MB"]
    assert caplog.messages[0] == "DuckDB needs more than 100MB: trying again with 200MB"


def test_a_run_that_never_has_enough_memory_fails_in_the_end() -> None:
    def attempt(settings: validate.Settings, number: int) -> dict[str, object]:
        raise duckdb.OutOfMemoryException(settings.memory_limit)

    with pytest.raises(duckdb.OutOfMemoryException, match="4GB"):
        validate._with_enough_memory(attempt, validate.Settings(memory_limit="0.5GB"))
