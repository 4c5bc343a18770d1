"""Contestants run in turn (A B C, A B C, …), their medians, and targets as ratios of them."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from .process import Run, run

Metric = Literal["wall", "peak_mb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A way to do the job: a command that reads one folder and writes into another."""

    name: str
    what: str
    command: Callable[[Path, Path], Sequence[str]]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """All counted runs of one contestant."""

    name: str
    what: str
    runs: tuple[Run, ...]

    def median(self, metric: Metric) -> float:
        return median(run.wall if metric == "wall" else run.peak_mb for run in self.runs)

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``subject`` needs at most ``limit`` times what ``against`` needs, at these sizes."""

    subject: str
    metric: Metric
    limit: float
    against: str
    sizes: frozenset[str]

    def __str__(self) -> str:
        unit = "" if self.metric == "wall" else " peak memory"
        return f"{self.subject}{unit} ≤ {self.limit:g} of {self.against}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """``subject`` needs at most ``limit`` (seconds or MB), at these sizes."""

    subject: str
    metric: Metric
    limit: float
    sizes: frozenset[str]

    def __str__(self) -> str:
        unit = " s" if self.metric == "wall" else " MB peak memory"
        return f"{self.subject} ≤ {self.limit:g}{unit}"


class DifferenceError(RuntimeError):
    """Two contestants do not agree; the message says where."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every comparison has."""
    parser.add_argument(
        "--runs", type=_positive, metavar="N", help="rounds that count (default S 5, M 3, L 2)"
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        metavar="NAME,…",
        help="run these contestants alone",
    )
    parser.add_argument("--keep", action="store_true", help="keep what each contestant wrote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")


def chosen(
    contestants: Sequence[Contestant], only: Sequence[str] | None, parser: argparse.ArgumentParser
) -> list[Contestant]:
    """Return those that were asked for, all without ``only``; an unknown name ends the program."""
    known = [contestant.name for contestant in contestants]
    if unknown := set(only or ()) - set(known):
        names = ", ".join(sorted(unknown))
        parser.error(f"--only: no {names} here; there are {', '.join(known)}")
    return [contestant for contestant in contestants if not only or contestant.name in only]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def play(
    contestants: Sequence[Contestant],
    folder: Path,
    outputs: Path,
    *,
    rounds: int,
    warm_up: bool,
    compare: Callable[[Path, Path], None],
    progress: Console,
) -> list[Result]:
    """Run every contestant once a round, compare each output with the first contestant's.

    The rounds are interleaved so that a machine that slows down does so for all of them.

    Raises:
        CommandError: a contestant failed.
        DifferenceError: an output differs.
    """
    taken: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for number in range(0 if warm_up else 1, rounds + 1):
        for contestant in contestants:
            output = outputs / contestant.name
            command = contestant.command(folder, output)
            done = run(command, contestant.environment)
            compare(outputs / contestants[0].name, output)
            label = f"round {number}/{rounds}" if number else "warm-up"
            progress.print(
                f"{label}  {contestant.name:<14} {done.wall:7.2f} s  {done.peak_mb:6.0f} MB"
            )
            if number:
                taken[contestant.name].append(done)
    return [Result(c.name, c.what, tuple(taken[c.name])) for c in contestants]


def compare_files(names: Sequence[str]) -> Callable[[Path, Path], None]:
    """Return a comparison of these files in two folders, byte for byte."""

    def compare(reference: Path, output: Path) -> None:
        for name in names:
            expected, actual = (reference / name).read_bytes(), (output / name).read_bytes()
            if expected != actual:
                raise DifferenceError(_first_difference(reference / name, output / name))

    return compare


def _first_difference(expected: Path, actual: Path) -> str:
    lines = expected.read_text().split("\n"), actual.read_text().split("\n")
    number = next(
        (at for at, (a, b) in enumerate(zip(*lines, strict=False), start=1) if a != b),
        min(map(len, lines)),
    )
    shown = [texts[number - 1] if number <= len(texts) else "(no such line)" for texts in lines]
    return (
        f"{actual.name} differs from line {number} on\n"
        f"  {expected.parent.name}: {shown[0]}\n  {actual.parent.name}: {shown[1]}"
    )


def console() -> Console:
    """Return a console on stdout that is wide enough for the table, wherever it goes."""
    return Console(highlight=False, width=max(Console().width, 120))


def show(screen: Console, title: str, results: Sequence[Result], ratios_to: Sequence[str]) -> None:
    """Print medians, spread, and each contestant's ratio to some of the others."""
    by_name = {result.name: result for result in results}
    bases = [name for name in ratios_to if name in by_name]
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    for column in ("wall s", "from", "to", "CPU s", "peak MB", *(f"÷ {name}" for name in bases)):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for result in results:
        walls = [run.wall for run in result.runs]
        table.add_row(
            result.name,
            f"{median(walls):.2f}",
            f"{min(walls):.2f}",
            f"{max(walls):.2f}",
            f"{result.cpu:.2f}",
            f"{result.median('peak_mb'):.0f}",
            *(f"{median(walls) / by_name[base].median('wall'):.2f}" for base in bases),
            result.what,
        )
    screen.print(table)


def show_targets(
    screen: Console, size: str, targets: Sequence[Target | Cap], results: Sequence[Result]
) -> None:
    """Print which of this size's targets were reached, and how far each figure is from its limit.

    A target whose contestants did not all run is left out.
    """
    for target, figure in judged(size, targets, results):
        reached = figure <= target.limit
        distance = abs(figure / target.limit - 1)
        verdict = "reached" if reached else "MISSED"
        side = "below" if reached else "above"
        screen.print(
            f"{verdict:<8} {target!s:<42} {figure:8.2f}  ({distance:.0%} {side} the limit)",
            style=None if reached else "red",
            soft_wrap=True,
        )


def judged(
    size: str, targets: Sequence[Target | Cap], results: Sequence[Result]
) -> list[tuple[Target | Cap, float]]:
    """Return each target of this size with its figure: a ratio of medians, or a median."""
    by_name = {result.name: result for result in results}
    figures = []
    for target in targets:
        names = {target.subject, *([target.against] if isinstance(target, Target) else [])}
        if size in target.sizes and names <= by_name.keys():
            figure = by_name[target.subject].median(target.metric)
            if isinstance(target, Target):
                figure /= by_name[target.against].median(target.metric)
            figures.append((target, figure))
    return figures


def save(path: Path, size: str, targets: Sequence[Target | Cap], results: Sequence[Result]) -> None:
    """Write every run and every target as JSON."""
    path.write_text(
        json.dumps(
            {
                "size": size,
                "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                "python": platform.python_version(),
                "results": [asdict(result) for result in results],
                "targets": [
                    {"target": str(target), "figure": figure, "reached": figure <= target.limit}
                    for target, figure in judged(size, targets, results)
                ],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


def machine() -> dict[str, object]:
    """Return what figures depend on, and nothing that names the machine."""
    return {"cores": cores(), "system": sys.platform}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


SIZES: Final = {"S": 5, "M": 3, "L": 2}
"""Sizes of samples.generate, and how many rounds are taken of each by default."""
