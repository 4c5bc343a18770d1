"""Starting a run by hand: a replay, a recompute of some dates, a rebuild; and waiting for it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from .errors import NotFoundError, RefusedError, UsageError
from .history import Shown, find, show
from .screen import Screen
from .status import look_at_lock
from .times import duration

if TYPE_CHECKING:
    from .pipeline import Pipeline

# An execution's state changes within seconds, and Step Functions answers 5 such questions a second.
_LOOK_SECONDS: Final = 2.0
_LOCAL_LOOK_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run to start: ``run_id`` is its execution's name, ``input`` what the machine gets.

    ``about`` says in words what the run does, ``waits_for`` names the run that has the lock.
    """

    run_id: str
    input: Mapping[str, Any]
    about: str
    waits_for: str | None


def replay(pipeline: "Pipeline", run_id: str) -> Order:
    """Raises NotFoundError for a run that is not there, or has not claimed anything."""
    from chalice_app.chalicelib.api.routes import replay_id

    manifest = pipeline.documents.manifest(run_id)
    if manifest is None:
        find(pipeline, run_id)
        raise NotFoundError(
            f"{run_id} has no manifest: it has claimed nothing, or is older than what is kept of "
            f"runs; see `shopkpi show {run_id}`"
        )
    what = {
        "process": f"takes the {len(manifest.files)} files of {run_id} once more",
        "recompute": f"publishes {manifest.start} to {manifest.end} again, as {run_id} did",
        "rebuild": f"makes a fresh ledger of everything in processed/, as {run_id} did",
    }
    execution = pipeline.executions.find(run_id)
    if execution is not None and execution.status == "RUNNING":
        raise RefusedError(
            f"{run_id} goes on: wait for its end (`shopkpi show {run_id}`), or stop its execution"
        )
    return _order(
        pipeline,
        # The API's name: asked for here and there within a minute, it is one run.
        replay_id(run_id, pipeline.now()),
        {"replay_of": run_id},
        about=what[manifest.task],
    )


def backfill(pipeline: "Pipeline", start: date, end: date) -> Order:
    """Raises UsageError for dates that are still to come."""
    if start > pipeline.now().date() + timedelta(days=1):
        raise UsageError(f"--from {start} is in the future: no order is of that date yet")
    days = (end - start).days + 1
    return _order(
        pipeline,
        f"{_moment(pipeline)}-backfill",
        {"recompute": {"from": start.isoformat(), "to": end.isoformat()}},
        about=f"publishes the KPIs of {days} {'date' if days == 1 else 'dates'} again, {start} to "
        f"{end}, from what the ledger holds",
    )


def rebuild(pipeline: "Pipeline") -> Order:
    """Return the order to make a fresh ledger."""
    return _order(
        pipeline,
        f"{_moment(pipeline)}-rebuild",
        {"rebuild": True},
        about="makes a fresh ledger of everything in processed/ and publishes all KPIs anew",
    )


def _moment(pipeline: "Pipeline") -> str:
    """Return what names begin with, so that they sort by time as the trigger's do."""
    return f"{pipeline.now():%Y%m%dT%H%M%SZ}"


def _order(pipeline: "Pipeline", name: str, document: Mapping[str, Any], *, about: str) -> Order:
    lock = look_at_lock(pipeline, pipeline.now())
    return Order(
        run_id=name,
        input=document,
        about=about,
        waits_for=lock.run_id if lock is not None and lock.verdict != "dead" else None,
    )


def start(pipeline: "Pipeline", order: Order) -> None:
    """Raises RefusedError when the same was started a moment ago and has ended already."""
    if not pipeline.executions.start(order.run_id, dict(order.input)):
        raise RefusedError(
            f"{order.run_id} was started a moment ago: see `shopkpi show {order.run_id}`, or try "
            "again in a minute"
        )


def wait(pipeline: "Pipeline", run_id: str, screen: Screen) -> Shown:
    """Return the run once it has ended; meanwhile say on standard error where it is."""
    pause = (
        _LOCAL_LOOK_SECONDS if pipeline.place.environment.get("AWS_ENDPOINT_URL") else _LOOK_SECONDS
    )
    console = screen.err()
    said = ""
    with console.status(f"{run_id}: starting") as spinner:
        while True:
            execution = pipeline.executions.find(run_id)
            if execution is not None and execution.status != "RUNNING":
                return show(pipeline, run_id)
            visit = pipeline.executions.history(run_id).last if execution else None
            state = visit.state if visit else ""
            since = execution.started_at if execution else pipeline.now()
            spinner.update(f"{run_id}: {state}, {duration(pipeline.now() - since)}")
            # A log, or a pipe, gets a line for each state instead of a spinner.
            if state and state != said and not console.is_terminal:
                screen.note(f"{run_id}: {state}")
            said = state
            time.sleep(pause)


def draw(order: Order, *, dry_run: bool) -> list[Any]:
    verb = "would start" if dry_run else "started"
    parts = [f"{verb} {order.run_id}: {order.about}"]
    if order.waits_for:
        parts.append(f"it waits for the end of run {order.waits_for}, which has the lock")
    if dry_run:
        parts.append(f"with {json.dumps(order.input)}")
    else:
        parts.append(f"follow it: shopkpi show {order.run_id}")
    return parts
