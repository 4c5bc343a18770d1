"""Compare the validator with other ways to the same counts of failing rows.

    bench/.venv/bin/python -m bench.validate --size S|M

Every contestant is a whole process on the same delivery, which has a fault in every 40th row.
They run in turn; the comparison stops when any two count differently. Exit codes: 0 done
(targets reached or not), 1 a contestant failed or differs, 2 wrong usage.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import inputs, rounds
from bench.faults import faulty_delivery
from bench.inputs import PIPELINE_PYTHON
from bench.process import CommandError, run
from bench.rounds import Cap, Contestant, DifferenceError, Target

_M: Final = frozenset("M")
TARGETS: Final = (
    Target(subject="validator", metric="wall", limit=0.6, against="gx-pandas", sizes=_M),
    Cap(subject="validator", metric="peak_mb", limit=450, sizes=_M),
)
# What is imported before the first row is read; pandas alone is a part of it.
IMPORTS: Final = ("great_expectations", "pandas", "duckdb")


def contestants() -> list[Contestant]:
    def peer(name: str, python: str) -> Callable[[Path, Path], list[str]]:
        script = str(Path(__file__).parent / "validators" / f"{name}.py")
        return lambda folder, output: [python, script, str(folder), str(output)]

    def validator(folder: Path, output: Path) -> list[str]:
        # A history of runs would grow from round to round.
        shutil.rmtree(output, ignore_errors=True)
        job = [PIPELINE_PYTHON, "-m", "expectations.validate"]
        return [*job, "--input", str(folder), "--output", str(output), "--run-id", "bench"]

    ways = {
        "validator": ("this job: GX on DuckDB, quarantine, Data Docs", validator),
        "gx-pandas": ("Great Expectations on pandas", peer("gx_pandas", PIPELINE_PYTHON)),
        "pandera": ("pandera on pandas", peer("pandera_frames", sys.executable)),
        "pointblank": ("pointblank on Polars", peer("pointblank_polars", sys.executable)),
        "duckdb": ("DuckDB SQL", peer("duckdb_sql", PIPELINE_PYTHON)),
    }
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false"}
    return [
        Contestant(name=name, what=what, command=command, environment=environment)
        for name, (what, command) in ways.items()
    ]


def counts(output: Path) -> dict[str, int]:
    """Return failing rows per dataset and reason, from a peer's counts or from a verdict."""
    if (output / "counts.json").is_file():
        found: dict[str, int] = json.loads((output / "counts.json").read_text())
        return found
    verdict = json.loads((output / "runs" / "bench" / "verdict.json").read_text())
    total: Counter[str] = Counter()
    for file in verdict["files"]:
        total.update({f"{file['dataset']}.{name}": n for name, n in file["reasons"].items()})
    for warning in verdict["warnings"]:
        total[f"{warning['dataset']}.{warning['reason']}"] += warning["count"]
    return dict(total)


def compare(reference: Path, output: Path) -> None:
    """Raise DifferenceError where two contestants count differently."""
    expected, actual = counts(reference), counts(output)
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name, 0) != actual.get(name, 0):
            raise DifferenceError(
                f"{name}: {reference.name} counts {expected.get(name, 0)} rows,"
                f" {output.name} {actual.get(name, 0)}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.validate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=("S", "M"), default="S")
    rounds.add_options(parser)
    options = parser.parse_args(arguments)
    progress, screen = Console(stderr=True, highlight=False), rounds.console()
    ways = rounds.chosen(contestants(), options.only, parser)
    folder = faulty_delivery(options.size)
    with tempfile.TemporaryDirectory(prefix="shop-kpis-bench-") as scratch:
        outputs = inputs.BUILD / f"validated-{options.size}" if options.keep else Path(scratch)
        try:
            results = rounds.play(
                ways,
                folder,
                outputs,
                rounds=options.runs or rounds.SIZES[options.size],
                warm_up=True,
                compare=compare,
                progress=progress,
            )
        except (CommandError, DifferenceError) as error:
            progress.print(f"error: {error}", style="red", markup=False)
            return 1
        checked = counts(outputs / ways[0].name)
    title = f"Validate, size {options.size}: {inputs.describe(folder)}, {rounds.cores()} cores"
    rounds.show(screen, title, results, ratios_to=("duckdb", "gx-pandas"))
    screen.print(
        f"All {len(results)} found the same {sum(checked.values()):,} faults of"
        f" {len(checked)} kinds."
    )
    for module in IMPORTS:
        command = [PIPELINE_PYTHON, "-c", f"import {module}"]
        taken = min(run(command, ways[0].environment).wall for _ in range(3))
        screen.print(f"Of a run, 'import {module}': {taken:.2f} s (best of 3)")
    rounds.show_targets(screen, options.size, TARGETS, results)
    if options.json:
        rounds.save(options.json, options.size, TARGETS, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
