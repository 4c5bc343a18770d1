"""Where a run's time went: the history of its execution, added up by state."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_ATTEMPT_ENDS: Final = frozenset(
    {"TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Seconds in each state, seconds of each attempt of a task, and what Step Functions bills.

    A state's seconds hold its attempts and the waits between them. A retry is a transition.
    """

    seconds: Mapping[str, float]
    attempts: Mapping[str, Sequence[float]]
    transitions: int

    @classmethod
    def of(cls, events: Iterable[Any], *, until: datetime) -> "Timeline":
        """Add up an execution's history; what has no end in it lasts ``until`` then.

        The machine runs one state at a time, so that an event belongs to the state entered last.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        attempts: defaultdict[str, list[float]] = defaultdict(list)
        transitions, state, entered, tries = 0, "", until, 0
        attempt: datetime | None = None
        for event in events:
            at: datetime = event["timestamp"]
            if "stateEnteredEventDetails" in event:
                state, entered, tries = event["stateEnteredEventDetails"]["name"], at, 0
                transitions += 1
            elif "stateExitedEventDetails" in event:
                seconds[state] += (at - entered).total_seconds()
                state = ""
            elif event["type"] == "TaskScheduled":
                attempt, tries = at, tries + 1
                transitions += tries > 1
            elif event["type"] in _ATTEMPT_ENDS and attempt is not None:
                attempts[state].append((at - attempt).total_seconds())
                attempt = None
        if state:
            seconds[state] += max(0.0, (until - entered).total_seconds())
            if attempt is not None:
                attempts[state].append(max(0.0, (until - attempt).total_seconds()))
        return cls(seconds=dict(seconds), attempts=dict(attempts), transitions=transitions)
