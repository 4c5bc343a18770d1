"""Writes the record of a run when the run has claimed its files, and when it ends.

An error here must not fail a run. It is logged, and the schedule completes the records of ended
runs.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast, get_args

from contract.manifest import Manifest

from ..aws.documents import Documents
from ..aws.executions import Execution, Executions
from ..aws.run_table import End, RunTable
from ..settings import Settings
from . import metrics
from .outcome import RunOutcome
from .records import record
from .timeline import Timeline

log = logging.getLogger(__name__)

# Runs that may have claimed their files in the five minutes between two schedules.
_LOOK_BACK: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecorder:
    table: RunTable
    documents: Documents
    executions: Executions
    settings: Settings
    clock: Callable[[], datetime]

    def record_claim(self, manifest: Manifest, started_at: datetime) -> None:
        """Record that a run has its files and is running."""
        with _logged_errors(manifest.run_id):
            outcome = RunOutcome(run_id=manifest.run_id, state="RUNNING", manifest=manifest)
            item = record(outcome, self.settings, started_at=started_at)
            self.table.write(item, final=False)

    def record_end(self, run_id: str, state: End, cause: str | None = None) -> None:
        """Record how a run ends, in one of its last states: its execution is still running."""
        with _logged_errors(run_id):
            execution = self.executions.find(run_id)
            if execution is not None:
                self._write(run_id, execution, state, cause, final=False)

    def record_ended_execution(self, run_id: str) -> None:
        """Record how Step Functions says that a run has ended; nothing if it is running."""
        with _logged_errors(run_id):
            execution = self.executions.find(run_id)
            if execution is not None and execution.status in get_args(End):
                state = cast("End", execution.status)
                self._write(run_id, execution, state, execution.cause, final=True)

    def complete_records(self) -> None:
        """Record the end of runs whose event was lost."""
        with _logged_errors("the latest"):
            for found in self.table.latest(_LOOK_BACK, now=self.clock()):
                if found["state"] == "RUNNING":
                    self.record_ended_execution(found["run_id"])

    def _write(
        self, run_id: str, execution: Execution, state: End, cause: str | None, *, final: bool
    ) -> None:
        ended_at = execution.ended_at or self.clock()
        history = self.executions.history(run_id, with_data=True)
        item = record(
            RunOutcome.read(self.documents, run_id, state, cause),
            self.settings,
            started_at=execution.started_at,
            ended_at=ended_at,
            timeline=Timeline.of(history, until=ended_at),
        )
        if self.table.write(item, final=final) and final:
            # The end may be reported twice, and a sum must have it once.
            log.info("run measured", extra=metrics.of_run(item, stage=self.settings.stage))


@contextmanager
def _logged_errors(run_id: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        log.warning("run record not written", extra={"run_id": run_id}, exc_info=True)
