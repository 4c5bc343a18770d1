"""What the pipeline is doing now: files waiting, the lock, the runs in progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from contract.keys import name_wanted

from .screen import table
from .times import ago, duration

if TYPE_CHECKING:
    from chalice_app.chalicelib.settings import Settings
    from chalice_app.chalicelib.trigger.start_batch import Counts

    from .pipeline import Pipeline


_ENDED: Final = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "timed out",
    "ABORTED": "was stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFiles:
    """How many files of a dataset are in the landing folder, and how many a batch needs."""

    dataset: str
    waiting: int
    needed: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LockState:
    """``verdict`` is running, starting (within the grace period) or stale.

    ``execution`` is the status of the owner; None when it was never started.
    """

    run_id: str
    owner: str
    acquired_at: datetime
    expires_at: datetime
    execution: str | None
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningExecution:
    """A run in progress, and the state that it is in."""

    run_id: str
    started_at: datetime
    state: str
    seconds_in_state: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    at: datetime
    stage: str
    bucket: str
    files: tuple[DatasetFiles, ...]
    not_recognised: tuple[str, ...]
    oldest_at: datetime | None
    starts: str
    lock: LockState | None
    running: tuple[RunningExecution, ...]


def collect(pipeline: "Pipeline") -> Status:
    """Read the landing folder, the lock and the state machine; change nothing."""
    from chalice_app.chalicelib.trigger.start_batch import Counts, products_accepted

    settings, now = pipeline.trigger_settings, pipeline.now()
    listing = pipeline.listing()
    counts = Counts.of(listing.files)
    known = products_accepted(pipeline.documents)
    oldest = min((file.landed_at for file in listing.files), default=None)
    lock = read_lock(pipeline, now) if listing.has_lock else None
    return Status(
        at=now,
        stage=pipeline.stage,
        bucket=settings.bucket,
        files=_missing(counts, settings, products_known=known),
        not_recognised=tuple(file.key for file in listing.not_recognised),
        oldest_at=oldest,
        starts=_starts(counts, settings, lock, oldest, now, products_known=known),
        lock=lock,
        running=running(pipeline, now),
    )


def read_lock(pipeline: "Pipeline", now: datetime) -> LockState | None:
    lock = pipeline.lock.read()
    if lock is None:
        return None
    execution = pipeline.executions.status(lock.owner)
    held = lock.is_held(execution, now)
    return LockState(
        run_id=lock.run_id,
        owner=lock.owner,
        acquired_at=lock.acquired_at,
        expires_at=lock.expires_at,
        execution=execution,
        verdict=("running" if execution else "starting") if held else "stale",
    )


def running(pipeline: "Pipeline", now: datetime) -> tuple[RunningExecution, ...]:
    """Return the executions in progress, oldest first."""
    pages = (
        pipeline.client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(stateMachineArn=pipeline.settings.state_machine_arn, statusFilter="RUNNING")
    )
    found = [execution for page in pages for execution in page["executions"]]
    return tuple(
        _running_execution(pipeline, execution, now)
        for execution in sorted(found, key=lambda execution: execution["startDate"])
    )


def _running_execution(pipeline: "Pipeline", execution: Any, now: datetime) -> RunningExecution:
    run_id, started_at = execution["name"], execution["startDate"]
    visit = pipeline.executions.history(run_id).last
    entered = visit.entered_at if visit else started_at
    return RunningExecution(
        run_id=run_id,
        started_at=started_at,
        state=visit.state if visit else "",
        seconds_in_state=round(max(0.0, (now - entered).total_seconds()), 1),
    )


def _missing(
    counts: "Counts", settings: "Settings", *, products_known: bool
) -> tuple[DatasetFiles, ...]:
    needed = {
        "orders": (counts.orders, settings.min_order_files),
        "order_items": (counts.items, settings.min_item_files),
        # A products file that an earlier run accepted counts for every later batch.
        "products": (counts.products, 0 if products_known else settings.min_product_files),
    }
    return tuple(
        DatasetFiles(dataset=name, waiting=there, needed=least, missing=max(0, least - there))
        for name, (there, least) in needed.items()
    )


def _starts(
    counts: "Counts",
    settings: "Settings",
    lock: LockState | None,
    oldest: datetime | None,
    now: datetime,
    *,
    products_known: bool,
) -> str:
    """Say when the waiting files are processed."""
    if oldest is None:
        return "no files wait"
    if lock is not None and lock.verdict != "stale":
        return f"they belong to run {lock.run_id}, or wait until it ends"
    if counts.meet(settings, products_known=products_known):
        return "enough for a batch: the next upload or check (every 5 minutes) starts it"
    due = oldest + settings.force_after
    if due <= now:
        return "overdue: the next check (every 5 minutes) starts a batch of these files"
    return f"too few for a batch; a batch of these files starts in {duration(due - now)}"


def render(status: Status) -> list[Any]:
    parts: list[Any] = [
        table(
            f"{status.bucket}: files waiting",
            {"dataset": "left", "waiting": "right", "a batch needs": "right", "missing": "right"},
            (
                (file.dataset, file.waiting, file.needed or "none more", file.missing or "")
                for file in status.files
            ),
        ),
        status.starts
        + (f"; the oldest landed {ago(status.oldest_at, status.at)}" if status.oldest_at else ""),
    ]
    if status.not_recognised:
        parts.append(describe_not_recognised(status.not_recognised))
    parts.append(f"lock: {describe_lock(status.lock, status.at)}")
    parts += [
        f"running: {run.run_id}, in {run.state or 'its first state'} for "
        f"{duration(timedelta(seconds=run.seconds_in_state))}, started "
        f"{ago(run.started_at, status.at)}"
        for run in status.running
    ]
    if not status.running:
        parts.append("running: nothing")
    return parts


def describe_not_recognised(keys: Sequence[str]) -> str:
    """Name the files that no run claims, and say what the first one's name must look like."""
    shown = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
    return f"not recognised, so not processed ({len(keys)}): {shown}. {name_wanted(keys[0])}"


def describe_lock(lock: LockState | None, now: datetime) -> str:
    if lock is None:
        return "free"
    if not lock.owner:
        return "stale: the object is not a valid lock; free it with `shopkpi unlock`"
    taken = f"taken {ago(lock.acquired_at, now)} by run {lock.run_id}"
    match lock.verdict:
        case "running":
            return f"{taken}, which is running"
        case "starting":
            return f"{taken}, which may still start within {duration(lock.expires_at - now)}"
        case _:
            ended = _ENDED.get(lock.execution or "", "was never started")
            return f"stale: {taken}, which {ended}; free it with `shopkpi unlock`"
