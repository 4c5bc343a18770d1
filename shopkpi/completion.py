"""Shell completion of run ids and categories, of the stage that the command line names.

A completion that fails offers nothing: a message would appear in the command line.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from . import history, kpis
from .pipeline import Pipeline, Target

_OFFERED = 20


def run_ids(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer the latest runs, each with its state."""
    try:
        found: list[Any] = list(history.latest(_pipeline(context), _OFFERED, None))
    except Exception:
        return
    for run in found:
        if run["run_id"].startswith(incomplete):
            yield run["run_id"], f"{run['state']}, {run['started_at'][:16]}"


def categories(context: typer.Context, incomplete: str) -> Iterator[str]:
    """Offer the categories of the newest dates."""
    try:
        pipeline = _pipeline(context)
        found = kpis.categories(pipeline, *kpis.choose_dates(pipeline, None, None))
    except Exception:
        return
    yield from (name for name in found if name.startswith(incomplete))


def _pipeline(context: typer.Context) -> Pipeline:
    given = context.params
    return Pipeline(
        Target.of(
            stage=given.get("stage"),
            profile=given.get("profile"),
            region=given.get("region"),
            local=bool(given.get("local")),
            environment=os.environ,
            folder=Path.cwd(),
        )
    )
