"""The documents agree with the code."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS
from tests.conftest import HEADERS, ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
# Variables that a library or the platform reads.
FOREIGN = {
    "AWS_ENDPOINT_URL",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "CI",
    "HOME",
    "JAVA_HOME",
    "PATH",
    "PYSPARK_GATEWAY_PORT",
    "PYSPARK_GATEWAY_SECRET",
    "RUST_LOG",
    "SPARK_CONNECT_MODE_ENABLED",
    "GX_ANALYTICS_ENABLED",
}
READERS = {"get", "pop", "setdefault", "_required", "_variable"}


def documents() -> list[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in tracked.stdout.split()]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_has_a_target(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_command_of_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE))
    assert {a or b for a, b in named} <= targets
    assert {"demo", "test", "kpis", "validate", "localcloud"} <= targets


def settings_read_by(package: str) -> set[str]:
    """Return the names in capitals that a package's code reads from the environment."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            constants = []
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                constants = node.args if name in READERS else []
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) != "Literal":
                constants = [node.slice]
            found |= {
                c.value
                for c in constants
                if isinstance(c, ast.Constant)
                and isinstance(c.value, str)
                and re.fullmatch(r"[A-Z][A-Z0-9_]{3,}|CI", c.value)
            }
    return found - FOREIGN


@pytest.mark.parametrize("package", ["chalice_app", "expectations", "spark_jobs"])
def test_every_setting_that_code_reads_is_in_the_readme(package: str) -> None:
    settings = settings_read_by(package)
    assert settings, "the search above finds no settings"
    assert {name for name in settings if not re.search(rf"\b{name}\b", README)} == set()


def test_every_column_of_a_delivery_is_in_the_readme() -> None:
    names = {name for columns in HEADERS.values() for name in columns}
    assert {name for name in names if not re.search(rf"\b{name}\b", README)} == set()


def test_the_kpi_table_of_the_readme_has_the_columns_and_meanings_of_the_contract() -> None:
    meanings = {
        table.name: {column.name: column.meaning for column in table.attributes}
        for table in (CATEGORY_KPIS, ORDER_KPIS)
    }
    section = README.partition("| table | attribute | definition |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()[2:]]
    assert len(rows) >= 14
    tables: list[str] = []
    for heading, name, meaning in rows:
        if heading:
            found = heading.partition(",")[0]
            tables = list(meanings) if found == "both" else [found]
        assert [meanings[table].get(name) for table in tables] == [meaning] * len(tables), name


@pytest.mark.parametrize(
    "module",
    ["spark_jobs.transform", "expectations.validate", "samples.generate", "localcloud"],
)
def test_help_has_the_usage_and_the_exit_codes(module: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        check=True,
    )
    assert "usage:" in shown.stdout
    if module != "localcloud":
        assert "xit code" in shown.stdout
