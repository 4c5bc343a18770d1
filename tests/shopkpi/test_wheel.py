"""The wheel, installed into a bare environment outside the checkout, as pipx would install it."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.shopkpi.conftest import Shop, Type

BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = f"shop_kpi_pipeline-{PROJECT['version']}.dist-info"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command without the checkout on its path, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder),
        cwd=ROOT,
    )
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the locked versions of its dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder, cwd=folder)
    locked = ("--require-hashes", ROOT / "requirements" / "operator.txt")
    uv(folder, "sync", "--quiet", *locked)
    uv(folder, "install", "--quiet", "--offline", "--no-deps", wheel)
    return folder


def uv(environment: Path, *arguments: str | Path) -> str:
    return run(BIN / "uv", "pip", *arguments, cwd=environment, VIRTUAL_ENV=str(environment))


def shopkpi(environment: Path, *arguments: str, cwd: Path) -> str:
    return run(environment / "bin" / "shopkpi", *arguments, cwd=cwd)


def top_level(names: Sequence[str]) -> set[str]:
    return {name.partition("/")[0] for name in names}


def test_the_wheel_adds_the_command_and_the_packages_that_it_imports(
    wheel: Path, environment: Path
) -> None:
    ours = {"chalice_app", "contract", "shopkpi", DISTRIBUTION}
    names = zipfile.ZipFile(wheel).namelist()
    assert top_level(names) == ours
    assert {name for name in names if not name.endswith(".py")} == {
        f"{DISTRIBUTION}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    [installed] = (environment / "lib").glob("python*/site-packages")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages >= {"contract", "dashboard", "samples", "shopkpi", "tests"}
    assert {path.name for path in installed.iterdir()} & packages == {"contract", "shopkpi"}


def packages_imported_by(source: bytes) -> set[str]:
    """Return the top-level packages of all absolute imports, those inside functions included."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_every_package_that_the_wheel_imports_is_in_it_or_declared(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        sources = [content.read(name) for name in content.namelist() if name.endswith(".py")]
    imported = set().union(*map(packages_imported_by, sources)) - sys.stdlib_module_names
    # Stubs are imported for type checking alone.
    assert {name for name in imported if not name.startswith("mypy_boto3_")} == {
        *("chalice_app", "contract"),
        *("boto3", "botocore", "rich", "typer"),  # botocore is boto3's other half
    }


def test_the_wheels_dependencies_are_all_that_is_installed_with_it(environment: Path) -> None:
    """A package that the wheel forgets to declare would be the root of a second tree."""
    roots = [
        line for line in uv(environment, "tree", "--offline").splitlines() if line[:1].isalnum()
    ]
    assert roots == [f"{PROJECT['name']} v{PROJECT['version']}"]
    uv(environment, "check")


def test_it_says_its_version_and_its_commands(environment: Path, tmp_path: Path) -> None:
    assert shopkpi(environment, "--version", cwd=tmp_path) == f"shopkpi {PROJECT['version']}\n"
    shown = shopkpi(environment, "--help", cwd=tmp_path)
    assert "Show waiting files, the lock, and runs in progress." in shown


def test_it_shows_what_waits_in_the_embedded_aws(environment: Path, shop: Shop) -> None:
    shown = shopkpi(environment, "status", "--local", cwd=shop.folder)
    assert f"{shop.stack.bucket}: files waiting" in shown
    assert "lock: " in shown


# What an ended run has left stays the same when other tests start runs.
@pytest.mark.parametrize("line", ["show {run}", "quarantine {run}"])
def test_it_answers_as_in_the_checkout(
    environment: Path, shop: Shop, local: Type, line: str
) -> None:
    typed = line.format(run=shop.run)
    assert shopkpi(environment, *typed.split(), "--local", cwd=shop.folder) == local(typed).out
