"""Compare the transform with other ways to the same KPIs, on the same files.

    bench/.venv/bin/python -m bench.transform --size S|M|L

Every contestant is a whole process: its start, imports and reading of CSVs count. They run in
turn, and all write the same two files byte for byte, or the comparison stops. Exit codes:
0 done (targets reached or not), 1 a contestant failed or differs, 2 wrong usage.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import inputs, rounds
from bench.inputs import PIPELINE_PYTHON, PIPELINE_SCRIPTS
from bench.process import CommandError
from bench.rounds import Contestant, DifferenceError, Target

OUTPUTS: Final = ("category_kpis.csv", "order_kpis.csv")
NEED_JAVA: Final = frozenset({"spark", "spark-submit", "naive"})

TARGETS: Final = (
    Target(subject="sail", metric="wall", limit=1.5, against="duckdb", sizes=frozenset("ML")),
    Target(subject="sail", metric="peak_mb", limit=1.3, against="duckdb", sizes=frozenset("ML")),
    Target(
        subject="spark", metric="wall", limit=0.45, against="spark-submit", sizes=frozenset("S")
    ),
    Target(
        subject="spark", metric="wall", limit=0.75, against="spark-submit", sizes=frozenset("M")
    ),
    # That is: naive at least 2.5 times slower than spark.
    Target(subject="spark", metric="wall", limit=0.4, against="naive", sizes=frozenset("M")),
)


def contestants() -> list[Contestant]:
    """Return every way that can run here: without Java, those that need none."""
    environment = {
        **os.environ,
        # spark-submit starts its Python by name: it must be the pipeline's.
        "PATH": os.pathsep.join([str(PIPELINE_SCRIPTS), os.environ.get("PATH", "")]),
        "PYSPARK_PYTHON": PIPELINE_PYTHON,
        "PYSPARK_DRIVER_PYTHON": PIPELINE_PYTHON,
    }
    spark_submit = str(PIPELINE_SCRIPTS / "spark-submit")
    # A stray setting would turn spark into a client of some server.
    environment.pop("SPARK_REMOTE", None)

    def job(engine: str) -> Callable[[Path, Path], list[str]]:
        module = [PIPELINE_PYTHON, "-m", "spark_jobs.transform", "--engine", engine]
        return lambda folder, output: [*module, *_options(folder, output)]

    def submitted(folder: Path, output: Path) -> list[str]:
        script = [str(inputs.ROOT / "spark_jobs" / "transform.py"), "--engine", "spark"]
        return [spark_submit, *script, *_options(folder, output)]

    def peer(name: str, program: str) -> Callable[[Path, Path], list[str]]:
        script = str(Path(__file__).parent / "peers" / f"{name}.py")
        return lambda folder, output: [program, script, str(folder), str(output)]

    def contestant(
        name: str, what: str, command: Callable[[Path, Path], Sequence[str]]
    ) -> Contestant:
        return Contestant(name=name, what=what, command=command, environment=environment)

    ways = [
        contestant("sail", "this job, --engine sail", job("sail")),
        contestant("spark", "this job, --engine spark", job("spark")),
        contestant("spark-submit", "this job, plain spark-submit", submitted),
        contestant("naive", "PySpark as in tutorials", peer("naive_pyspark", spark_submit)),
        contestant("duckdb", "DuckDB SQL", peer("duckdb_sql", PIPELINE_PYTHON)),
        contestant("polars", "lazy Polars", peer("polars_lazy", sys.executable)),
        contestant("pandas", "pandas", peer("pandas_frames", sys.executable)),
    ]
    if not _has_java():
        ways = [way for way in ways if way.name not in NEED_JAVA]
    return ways


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    progress, screen = Console(stderr=True, highlight=False), rounds.console()
    ways = contestants()
    if missing := NEED_JAVA - {way.name for way in ways}:
        progress.print(f"no Java found: without {', '.join(sorted(missing))}")
    ways = rounds.chosen(ways, options.only, parser)

    folder = inputs.delivery(options.size)
    with tempfile.TemporaryDirectory(prefix="shop-kpis-bench-") as scratch:
        outputs = inputs.BUILD / f"outputs-{options.size}" if options.keep else Path(scratch)
        try:
            results = rounds.play(
                ways,
                folder,
                outputs,
                rounds=options.runs or rounds.SIZES[options.size],
                warm_up=options.size != "L",
                compare=rounds.compare_files(OUTPUTS),
                progress=progress,
            )
        except (CommandError, DifferenceError) as error:
            progress.print(f"error: {error}", style="red", markup=False)
            return 1
    title = f"Transform, size {options.size}: {inputs.describe(folder)}, {rounds.cores()} cores"
    rounds.show(screen, title, results, ratios_to=("duckdb", "naive"))
    screen.print(f"All {len(results)} wrote the same {' and '.join(OUTPUTS)}, byte for byte.")
    rounds.show_targets(screen, options.size, TARGETS, results)
    if options.keep:
        screen.print(f"Outputs in {outputs}")
    if options.json:
        rounds.save(options.json, options.size, TARGETS, results)
    return 0


def _has_java() -> bool:
    return "JAVA_HOME" in os.environ or shutil.which("java") is not None


def _options(folder: Path, output: Path) -> list[str]:
    return ["--input", str(folder), "--output", str(output)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.transform",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=rounds.SIZES, default="S")
    rounds.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
