"""The deliveries that are measured: made once by the project's generator, then used again."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build" / "bench"


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
        subprocess.run(
            [sys.executable, "-m", "samples.generate", "--size", size, "--output", unfinished],
            cwd=ROOT,
            check=True,
        )
        unfinished.rename(made)
        made.touch()
    return made / "incoming"


def describe(folder: Path) -> str:
    """Return how many files, rows and MB a delivery has."""
    files = list(folder.glob("*.csv"))
    rows = sum(path.read_bytes().count(b"\n") - 1 for path in files)
    size = sum(path.stat().st_size for path in files)
    return f"{len(files)} files, {rows:,} rows, {size / 1e6:,.1f} MB of CSV"
