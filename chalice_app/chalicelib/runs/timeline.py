"""Where a run's time went: the history of its execution, added up by state."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

_ATTEMPT_ENDS: Final = frozenset(
    {"TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a job on EMR Serverless used, in hours of one vCPU or of one GB."""

    vcpu_hours: Decimal
    memory_gb_hours: Decimal
    storage_gb_hours: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task. ``usage`` is None unless a job has ended and has told it."""

    seconds: float
    on_spot: bool = False
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Seconds in each state, each attempt of a task, and what Step Functions bills.

    A state's seconds hold its attempts and the waits between them. A retry is a transition.
    """

    seconds: Mapping[str, float]
    attempts: Mapping[str, Sequence[Attempt]]
    transitions: int

    @classmethod
    def of(cls, events: Iterable[Any], *, until: datetime) -> "Timeline":
        """Add up an execution's history; what has no end in it lasts ``until`` then.

        The machine runs one state at a time, so that an event belongs to the state entered last.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
        transitions, state, entered, tries = 0, "", until, 0
        scheduled: Any = None
        for event in events:
            at: datetime = event["timestamp"]
            if "stateEnteredEventDetails" in event:
                state, entered, tries = event["stateEnteredEventDetails"]["name"], at, 0
                transitions += 1
            elif "stateExitedEventDetails" in event:
                seconds[state] += (at - entered).total_seconds()
                state = ""
            elif event["type"] == "TaskScheduled":
                scheduled, tries = event, tries + 1
                transitions += tries > 1
            elif event["type"] in _ATTEMPT_ENDS and scheduled is not None:
                attempts[state].append(_attempt(scheduled, event, until=at))
                scheduled = None
        if state:
            seconds[state] += max(0.0, (until - entered).total_seconds())
            if scheduled is not None:
                attempts[state].append(_attempt(scheduled, {}, until=until))
        return cls(seconds=dict(seconds), attempts=dict(attempts), transitions=transitions)


def _attempt(scheduled: Any, ended: Any, *, until: datetime) -> Attempt:
    asked = _document(scheduled.get("taskScheduledEventDetails", {}).get("parameters"))
    told = _document(
        ended.get("taskSucceededEventDetails", {}).get("output")
        or ended.get("taskFailedEventDetails", {}).get("cause")
    )
    providers = [item.get("CapacityProvider") for item in asked.get("CapacityProviderStrategy", [])]
    return Attempt(
        seconds=max(0.0, (until - scheduled["timestamp"]).total_seconds()),
        on_spot="FARGATE_SPOT" in providers,
        usage=_usage(told.get("JobRun", told)),
    )


def _usage(job: Mapping[str, Any]) -> Usage | None:
    """Return what a job was billed for; what it used, where that is not known yet."""
    used = job.get("BilledResourceUtilization") or job.get("TotalResourceUtilization") or {}
    # vCPUHour in the service's own API.
    hours = {name.lower(): value for name, value in used.items()}
    try:
        return Usage(
            vcpu_hours=hours["vcpuhour"],
            memory_gb_hours=hours["memorygbhour"],
            storage_gb_hours=hours["storagegbhour"],
        )
    except KeyError:
        return None


def _document(text: str | None) -> dict[str, Any]:
    """Read a JSON object with its numbers as decimals; a cause may be any text."""
    try:
        found = json.loads(text or "{}", parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
