"""Freeing a lock that nobody holds any more; one that somebody holds is left alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .errors import RefusedError
from .status import LockState, describe_lock, look_at_lock
from .times import ago, duration

if TYPE_CHECKING:
    from .pipeline import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """``lock`` is what was found, None if there was none; ``freed`` whether it is gone now."""

    lock: LockState | None
    freed: bool
    text: str


def unlock(pipeline: "Pipeline", *, dry_run: bool) -> Unlocked:
    """Raises RefusedError for a lock whose run goes on or may still start, saying whose it is."""
    now = pipeline.now()
    lock = look_at_lock(pipeline, now)
    if lock is None:
        return Unlocked(lock=None, freed=False, text="there is no lock to free")
    if lock.verdict != "dead":
        raise RefusedError(_whose(lock, now))
    if dry_run:
        return Unlocked(lock=lock, freed=False, text=f"would free it: {describe_lock(lock, now)}")
    if not pipeline.lock.free_if_stale(now):
        raise RefusedError("the lock has become another run's meanwhile: see `shopkpi status`")
    return Unlocked(
        lock=lock,
        freed=True,
        text=f"freed; it was {lock.run_id or 'unreadable'}'s. "
        "The next upload or look (every 5 minutes) starts what waits",
    )


def _whose(lock: LockState, now: datetime) -> str:
    if lock.verdict == "starting":
        return (
            f"the lock is alive: run {lock.run_id} took it {ago(lock.acquired_at, now)} and may "
            f"still start; try again in {duration(lock.expires_at - now)}"
        )
    return (
        f"the lock is alive: run {lock.run_id} has had it for {duration(now - lock.acquired_at)} "
        f"and goes on ({lock.owner}); its end frees it. To end it: "
        f"aws stepfunctions stop-execution --execution-arn {lock.owner}"
    )
