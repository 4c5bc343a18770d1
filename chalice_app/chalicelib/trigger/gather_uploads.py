"""Many uploads, one check: a check lists the whole landing folder, and uploads come in bursts.

The first event makes a mark, waits ``check_window``, deletes the mark, and then checks. An event
that finds the mark does nothing: the check lists the folder after the mark is gone, so it sees the
file of every event that found it. If the function dies while the mark is there, the schedule
deletes the mark and checks.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..aws.check_mark import CheckMark
from ..settings import Settings
from .start_batch import Decision, Trigger

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadGatherer:
    """``pause`` takes seconds."""

    mark: CheckMark
    trigger: Trigger
    settings: Settings
    pause: Callable[[float], Any]

    def uploaded(self) -> Decision | None:
        """Check for the uploads of a window; return None if another event's check sees them."""
        version = self.mark.make()
        if version is None:
            log.info("deferred to the check of an earlier event")
            return None
        try:
            self.pause(self.settings.check_window.total_seconds())
        finally:
            self.mark.delete(version)
        return self.trigger.check()

    def tick(self) -> Decision:
        """Delete the mark of a function that has died, and do what the schedule does."""
        if version := self.mark.read():
            self.mark.delete(version)
        return self.trigger.tick()
