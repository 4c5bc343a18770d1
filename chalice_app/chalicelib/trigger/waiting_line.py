"""Who gets the lock next: a run that waits for it, before any new batch.

The lock is acquired in the name of the run that has waited longest. That run finds it when it looks
again. If it has died by then, its lock is stale, like the lock of any run that has died.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from botocore.exceptions import ClientError

from ..aws.executions import Executions
from ..aws.run_lock import RunLock
from ..aws.waiting_runs import MAX_WAITING, WaitingRun, WaitingRuns
from ..settings import Settings
from .run_request import ClaimError

log = logging.getLogger(__name__)

# What remains of the machine's own time-out is enough for the run itself.
MAX_WAIT: Final = timedelta(hours=6)


class WaitingLine:
    def __init__(
        self,
        *,
        runs: WaitingRuns,
        lock: RunLock,
        executions: Executions,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._runs = runs
        self._lock = lock
        self._executions = executions
        self._settings = settings
        self._clock = clock

    def grant_next_turn(self) -> str | None:
        """Give the lock, if it is free, to the run that has waited longest; return that run's id.

        Runs that have ended while they waited are removed. A line that cannot be read stops no
        batch: the runs in it look again every five minutes.
        """
        try:
            waiting = self._runs.list()
        except ClientError:
            log.warning("waiting line not read", exc_info=True)
            return None
        for run in waiting:
            if self._executions.status(self._settings.execution_arn(run.run_id)) != "RUNNING":
                self._runs.leave(run)
                continue
            if self._lock.acquire(run.run_id, self._clock()) is None:
                return None
            log.info("turn granted", extra={"run_id": run.run_id})
            return run.run_id
        return None

    def wait(self, run: WaitingRun) -> bool:
        """Return whether the run has the lock now; until then it is in line.

        Raises ClaimError when the line is full, or when the run has waited long enough.
        """
        if not self._lock.is_of(run.run_id):
            if not self._runs.join(run):
                raise ClaimError(
                    f"{run.run_id}: {MAX_WAITING} runs are waiting for the lock already; start "
                    "again when some of them have ended"
                )
            if self.grant_next_turn() != run.run_id:
                self._give_up_in_the_end(run)
                return False
        self._runs.leave(run)
        return True

    def _give_up_in_the_end(self, run: WaitingRun) -> None:
        """Raise ClaimError if the line has not moved for ``force_after``, or after MAX_WAIT."""
        now, lock = self._clock(), self._lock.read()
        waited, since = now - run.started_at, lock.acquired_at if lock else now
        stuck = min(waited, now - since) >= self._settings.force_after
        if stuck or waited >= MAX_WAIT:
            self._runs.leave(run)
            raise ClaimError(
                f"{run.run_id}: another run has held the lock since {since:%H:%M} UTC; "
                "start again when it has ended"
            )
