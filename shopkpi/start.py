"""Start a run by hand (a replay, a recompute of some dates, a rebuild), and wait for its end."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from .errors import NotFoundError, RefusedError, UsageError
from .history import RunDetails, collect, find
from .screen import Screen
from .status import read_lock
from .times import duration

if TYPE_CHECKING:
    from .pipeline import Pipeline

# A state changes within seconds. Step Functions allows 5 requests a second.
_POLL_SECONDS: Final = 2.0
_LOCAL_POLL_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to start: ``run_id`` is the execution's name, ``input`` the state machine's input.

    ``description`` says what the run does; ``waits_for`` is the run that holds the lock.
    """

    run_id: str
    input: Mapping[str, Any]
    description: str
    waits_for: str | None


def replay(pipeline: "Pipeline", run_id: str) -> NewRun:
    """Raises NotFoundError when there is no such run, or it claimed no files."""
    from chalice_app.chalicelib.api.routes import replay_id

    manifest = pipeline.documents.manifest(run_id)
    if manifest is None:
        find(pipeline, run_id)
        raise NotFoundError(
            f"{run_id} has no manifest: it claimed no files, or its documents have expired; see "
            f"`shopkpi show {run_id}`"
        )
    what = {
        "process": f"processes the {len(manifest.files)} files of {run_id} again",
        "recompute": f"publishes {manifest.start} to {manifest.end} again, as {run_id} did",
        "rebuild": f"makes a new ledger from all processed files, as {run_id} did",
    }
    execution = pipeline.executions.find(run_id)
    if execution is not None and execution.status == "RUNNING":
        raise RefusedError(
            f"{run_id} is running: wait for its end (`shopkpi show {run_id}`), or stop it"
        )
    return _new_run(
        pipeline,
        # The same name as the API's: two requests within a minute start one run.
        replay_id(run_id, pipeline.now()),
        {"replay_of": run_id},
        description=what[manifest.task],
    )


def backfill(pipeline: "Pipeline", start: date, end: date) -> NewRun:
    """Raises UsageError for dates in the future."""
    if start > pipeline.now().date() + timedelta(days=1):
        raise UsageError(f"--from {start} is in the future: there are no orders of that date")
    days = (end - start).days + 1
    return _new_run(
        pipeline,
        _name(pipeline, "backfill"),
        {"recompute": {"from": start.isoformat(), "to": end.isoformat()}},
        description=f"publishes the KPIs of {days} {'date' if days == 1 else 'dates'} again, "
        f"{start} to {end}, from the ledger",
    )


def rebuild(pipeline: "Pipeline") -> NewRun:
    """Return the run that makes a new ledger."""
    return _new_run(
        pipeline,
        _name(pipeline, "rebuild"),
        {"rebuild": True},
        description="makes a new ledger from all processed files, and publishes all KPIs again",
    )


def _name(pipeline: "Pipeline", kind: str) -> str:
    """Return a run id that sorts by time, as the trigger's do."""
    return f"{pipeline.now():%Y%m%dT%H%M%SZ}-{kind}"


def _new_run(
    pipeline: "Pipeline", name: str, document: Mapping[str, Any], *, description: str
) -> NewRun:
    lock = read_lock(pipeline, pipeline.now())
    return NewRun(
        run_id=name,
        input=document,
        description=description,
        waits_for=lock.run_id if lock is not None and lock.verdict != "stale" else None,
    )


def start(pipeline: "Pipeline", run: NewRun) -> None:
    """Raises RefusedError when a run of this id exists, which was started within this minute."""
    if not pipeline.executions.start(run.run_id, dict(run.input)):
        raise RefusedError(
            f"{run.run_id} has just been started: see `shopkpi show {run.run_id}`, or try again "
            "in a minute"
        )


def wait(pipeline: "Pipeline", run_id: str, screen: Screen) -> RunDetails:
    """Return the run once it has ended; until then show its state on standard error."""
    pause = (
        _LOCAL_POLL_SECONDS
        if pipeline.target.environment.get("AWS_ENDPOINT_URL")
        else _POLL_SECONDS
    )
    console = screen.err()
    noted = ""
    with console.status(f"{run_id}: starting") as spinner:
        while True:
            execution = pipeline.executions.find(run_id)
            if execution is not None and execution.status != "RUNNING":
                return collect(pipeline, run_id)
            visit = pipeline.executions.history(run_id).last if execution else None
            state = visit.state if visit else ""
            since = execution.started_at if execution else pipeline.now()
            spinner.update(f"{run_id}: {state}, {duration(pipeline.now() - since)}")
            # A file or a pipe gets a line for each state instead of a spinner.
            if state and state != noted and not console.is_terminal:
                screen.note(f"{run_id}: {state}")
            noted = state
            time.sleep(pause)


def render(run: NewRun, *, dry_run: bool) -> list[Any]:
    verb = "would start" if dry_run else "started"
    parts = [f"{verb} {run.run_id}: {run.description}"]
    if run.waits_for:
        parts.append(f"it waits until run {run.waits_for} ends, which holds the lock")
    if dry_run:
        parts.append(f"with {json.dumps(run.input)}")
    else:
        parts.append(f"follow it: shopkpi show {run.run_id}")
    return parts
