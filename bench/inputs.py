"""The deliveries that are measured: made once by the project's generator, then used again."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build" / "bench"
# The pipeline's own environment, which `make setup` makes: the pipeline is measured with the
# versions that ship, not with those of its peers.
PIPELINE_SCRIPTS: Final = ROOT / ".venv" / "bin"
PIPELINE_PYTHON: Final = str(PIPELINE_SCRIPTS / "python")


def delivery(size: str) -> Path:
    """Return a folder with the clean delivery of a size; it is made if it is not there.

    The folder gets its name last: a delivery that was only half made is never measured.
    """
    made = BUILD / f"delivery-{size}"
    newest_source = max(path.stat().st_mtime for path in (ROOT / "samples").glob("*.py"))
    if made.is_dir() and made.stat().st_mtime < newest_source:
        shutil.rmtree(made)
    if not made.is_dir():
        unfinished = made.with_name(f"{made.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        generate(unfinished, "--size", size)
        unfinished.rename(made)
        made.touch()
    return made / "incoming"


def generate(output: Path, *options: str) -> None:
    """Write a delivery to ``output``/incoming, with options of samples.generate."""
    command = [PIPELINE_PYTHON, "-m", "samples.generate", "--output", str(output), *options]
    subprocess.run(command, cwd=ROOT, check=True)


def describe(folder: Path) -> str:
    """Return how many files, rows and MB a delivery has."""
    files = list(folder.glob("*.csv"))
    rows = sum(path.read_bytes().count(b"\n") - 1 for path in files)
    size = sum(path.stat().st_size for path in files)
    return f"{len(files)} files, {rows:,} rows, {size / 1e6:,.1f} MB of CSV"
