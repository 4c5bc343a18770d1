"""A run's record, written as the run claims its files and as it ends.

Nothing here may fail a run: its files, its KPIs and its lock are right whatever becomes of its
record, and the schedule writes records that are missing their end.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final, cast, get_args

from contract.keys import RunKeys
from contract.manifest import Manifest

from ..aws.documents import Documents
from ..aws.executions import Execution, Executions
from ..aws.run_table import End, RunTable
from ..settings import Settings
from . import metrics
from .records import Run, record
from .timeline import Timeline

log = logging.getLogger(__name__)

# Runs that are claimed one after the other while the schedule pauses for five minutes.
_LOOK_BACK: Final = 20


class Bookkeeping:
    def __init__(
        self,
        records: RunTable,
        documents: Documents,
        executions: Executions,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._documents = documents
        self._executions = executions
        self._settings = settings
        self._clock = clock

    def claimed(self, manifest: Manifest, started_at: datetime) -> None:
        """Note that a run has its files and goes on."""
        run = Run(run_id=manifest.run_id, state="RUNNING", started_at=started_at, manifest=manifest)
        self._write(run, final=False)

    def ending(self, run_id: str, state: End, cause: str | None = None) -> None:
        """Note what the run itself says of its end, in the state before it."""
        with _without_failing(run_id):
            execution = self._executions.find(run_id)
            if execution is not None:
                run = self._gather(run_id, execution, state)
                self._write(replace(run, cause=cause), final=False)

    def ended(self, run_id: str) -> None:
        """Note how Step Functions says that a run has ended; nothing if it goes on."""
        with _without_failing(run_id):
            execution = self._executions.find(run_id)
            if execution is not None and execution.status in get_args(End):
                state = cast("End", execution.status)
                self._write(self._gather(run_id, execution, state), final=True)

    def catch_up(self) -> None:
        """End the records of runs whose end nobody has heard of."""
        with _without_failing("the latest"):
            for found in self._records.latest(_LOOK_BACK, now=self._clock()):
                if found["state"] == "RUNNING":
                    self.ended(found["run_id"])

    def _gather(self, run_id: str, execution: Execution, state: End) -> Run:
        keys, ended_at = RunKeys(run_id), execution.ended_at or self._clock()
        return Run(
            run_id=run_id,
            state=state,
            started_at=execution.started_at,
            ended_at=ended_at,
            cause=execution.cause,
            manifest=self._documents.manifest(run_id),
            verdict=self._documents.read(keys.verdict),
            published=self._documents.read(keys.published),
            timeline=Timeline.of(self._executions.history(run_id, with_data=True), until=ended_at),
        )

    def _write(self, run: Run, *, final: bool) -> None:
        with _without_failing(run.run_id):
            item = record(run, self._settings)
            if self._records.write(item, final=final) and final:
                # The end may be heard of twice; a sum must have it once.
                log.info("run measured", extra=metrics.of_run(item, stage=self._settings.stage))


@contextmanager
def _without_failing(run_id: str) -> Iterator[None]:
    try:
        yield
    # Whatever is wrong with its record, the run goes on.
    except Exception:
        log.warning("run record not written", extra={"run_id": run_id}, exc_info=True)
