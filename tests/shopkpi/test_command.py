"""The command itself: its help, its documentation, its start, what the shell completes."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chalice_app.chalicelib.aws.causes import readable
from shopkpi import doctor, history, reference
from shopkpi.errors import EXIT_CODES
from shopkpi.times import duration
from tests.conftest import ROOT
from tests.shopkpi.conftest import Shop, Type

DOCUMENT = (ROOT / "docs/shopkpi.md").read_text(encoding="utf-8")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def test_the_documentation_is_the_help_of_every_command() -> None:
    assert DOCUMENT.endswith(reference.render()), "generate it again: python -m shopkpi.reference"


def test_every_command_of_the_documentation_has_every_option_that_it_names(type_: Type) -> None:
    examples = re.findall(r"`shopkpi ([a-z]+)([^`|\\]*)", DOCUMENT.partition(reference.MARK)[0])
    assert len(examples) >= 13
    for name, rest in examples:
        shown = type_(f"{name} --help")
        assert shown.code == 0, name
        assert [o for o in re.findall(r"--[a-z-]+", rest) if o not in shown.out] == [], name


def test_without_arguments_it_shows_its_commands_and_exit_codes(type_: Type) -> None:
    answer = type_("")
    assert answer.code == 0
    assert "Show waiting files, the lock, and runs in progress." in answer.out
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{int(code)} {re.escape(meaning)}$", answer.out, re.MULTILINE)


def test_every_command_has_json_and_every_command_that_writes_a_dry_run(type_: Type) -> None:
    commands = re.findall(r"^### ([a-z]+)$", DOCUMENT, re.MULTILINE)
    helps = {name: type_(f"{name} --help").out for name in commands}
    assert all("--json" in text for text in helps.values())
    assert {name for name, text in helps.items() if "--dry-run" in text} == {
        *("quarantine", "replay", "backfill", "rebuild", "unlock", "redrive"),
    }


def test_it_starts_without_the_heavy_libraries() -> None:
    """boto3 takes as long as all the rest; nothing here needs Spark, DuckDB or pandas at all."""
    code = (
        "import sys; from shopkpi.app import main; main(['status', '--help']);"
        " print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"boto3", "botocore", "pyspark", "duckdb", "pandas", "pyarrow", "numpy", "chalice"}
    assert [name for name in heavy if f"'{name}'" in result.stderr] == []


@pytest.mark.parametrize("line", [["shopkpi"], [sys.executable, "-m", "shopkpi"]])
def test_the_console_script_ends_with_the_commands_exit_code(line: list[str], tmp_path) -> None:
    script = os.path.join(os.path.dirname(sys.executable), "shopkpi")  # noqa: PTH118, PTH120
    command = [script] if line == ["shopkpi"] else line
    result = subprocess.run(
        [*command, "runs", "--state", "DONE"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: --state DONE: there are RUNNING")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("shopkpi re", ["redrive", "rebuild", "replay"]),
        ("shopkpi show --local ", ["RUN"]),
        ("shopkpi kpis --local --category B", ["Books"]),
        # Where nothing is deployed nothing is offered, and no message gets into the line.
        ("shopkpi show --local --stage prod ", []),
    ],
)
def test_the_shell_completes_commands_runs_and_categories(
    shop: Shop, local: Type, words: str, expected: list[str]
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import sys; from shopkpi.app import main; sys.exit(main())"],
        cwd=shop.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_SHOPKPI_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    offered = set(result.stdout.split())
    assert {word.replace("RUN", shop.run) for word in expected} <= offered
    assert bool(offered) == bool(expected)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7200, "2 h")],
)
def test_durations_have_one_or_two_units(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            'ClaimError: {"errorType":"ClaimError","errorMessage":"run \\"x\\": no files","stackTr',
            'ClaimError: run "x": no files',
        ),
        (
            'States.TaskFailed: {"Containers":[{"ExitCode":137,"Name":"validator"}],'
            '"StoppedReason":"Essential container in task exited"}',
            "States.TaskFailed: Essential container in task exited, exit code 137",
        ),
        ("AllFilesRejected: No row was accepted", "AllFilesRejected: No row was accepted"),
    ],
)
def test_a_cause_is_shown_without_the_json_around_it(cause: str, text: str) -> None:
    assert readable(cause) == text


@pytest.mark.parametrize(
    ("skew", "fact", "ok"),
    [
        (0, "equal to AWS", True),
        (60, "60 s ahead of AWS", True),
        (-61, "61 s behind AWS, which refuses requests that are 5 minutes off", False),
    ],
)
def test_a_clock_that_is_a_minute_off_is_a_problem(skew: int, fact: str, ok: bool) -> None:  # noqa: FBT001
    finding = doctor.clock(NOON + timedelta(seconds=skew), NOON)
    assert (finding.fact, finding.ok) == (fact, ok)


@pytest.mark.parametrize(
    ("says", "fact", "ok"),
    [
        ('openjdk version "17.0.9" 2023-10-17', "17, for the engine spark", True),
        ('openjdk version "21"', "21, for the engine spark", True),
        ('java version "1.8.0_392"', "1 is too old", False),
        ("", "not found", False),
    ],
)
def test_java_is_needed_from_17_on_and_only_by_one_engine(says: str, fact: str, ok: bool) -> None:  # noqa: FBT001
    finding = doctor.java(says)
    assert (finding.fact, finding.ok) == (fact, ok)
    assert ok or "ENGINE=sail, which computes the same" in str(finding.fix)


def test_a_cost_with_an_unknown_part_is_shown_as_its_parts_and_never_as_a_sum() -> None:
    shown = history.RunDetails(
        run_id="r",
        state="SUCCEEDED",
        started_at=None,
        ended_at=None,
        cause=None,
        record={"cost_by_service": {"fargate": Decimal("0.0012"), "emr_serverless": None}},
        steps=(),
        verdict=None,
        notice=None,
    )
    assert (
        "cost       emr_serverless unknown, the rest in USD: fargate 0.0012, estimated"
        in history.render(shown)
    )
