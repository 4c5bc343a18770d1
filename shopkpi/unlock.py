"""Free a stale lock: one whose run has ended, or never started."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .errors import RefusedError
from .status import LockState, describe_lock, read_lock
from .times import ago, duration

if TYPE_CHECKING:
    from .pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """``lock`` is the lock that was found, None if there was none; ``freed`` says if it is gone."""

    lock: LockState | None
    freed: bool
    text: str


def unlock(pipeline: "Pipeline", *, dry_run: bool) -> Unlocked:
    """Raises RefusedError when the run of the lock is running, or may still start."""
    now = pipeline.now()
    lock = read_lock(pipeline, now)
    if lock is None:
        return Unlocked(lock=None, freed=False, text="there is no lock to free")
    if lock.verdict != "stale":
        raise RefusedError(_holder(lock, now))
    if dry_run:
        return Unlocked(lock=lock, freed=False, text=f"would free it: {describe_lock(lock, now)}")
    if not pipeline.lock.free_if_stale(now):
        raise RefusedError("another run has taken the lock in the meantime: see `shopkpi status`")
    return Unlocked(
        lock=lock,
        freed=True,
        text=f"freed the lock of {f'run {lock.run_id}' if lock.run_id else 'no valid run'}. "
        "The next upload or check (every 5 minutes) starts the waiting files",
    )


def _holder(lock: LockState, now: datetime) -> str:
    if lock.verdict == "starting":
        return (
            f"the lock is not stale: run {lock.run_id} took it {ago(lock.acquired_at, now)} and "
            f"may still start; try again in {duration(lock.expires_at - now)}"
        )
    return (
        f"the lock is not stale: run {lock.run_id} has held it for "
        f"{duration(now - lock.acquired_at)} and is running; its end frees the lock. To stop it: "
        f"aws stepfunctions stop-execution --execution-arn {lock.owner}"
    )
