"""The time that a run spent in each state, added up from the history of its execution."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from ..aws import execution_history
from ..aws.execution_history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a job on EMR Serverless used, in hours of one vCPU or of one GB."""

    vcpu_hours: Decimal
    memory_gb_hours: Decimal
    storage_gb_hours: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task. ``usage`` is None unless it is a job that has ended and reported it."""

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
    def of(cls, history: History, *, until: datetime) -> Self:
        """Add up an execution's history; what has no end in it lasts ``until`` that time."""
        seconds: defaultdict[str, float] = defaultdict(float)
        attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
        transitions = 0
        for visit in history.visits:
            left_at = visit.exited_at or until
            seconds[visit.state] += _seconds(visit.entered_at, left_at)
            for attempt in visit.attempts:
                attempts[visit.state].append(_attempt(attempt, until=attempt.ended_at or left_at))
            transitions += 1 + max(0, len(visit.attempts) - 1)
        return cls(seconds=dict(seconds), attempts=dict(attempts), transitions=transitions)


def _attempt(attempt: execution_history.Attempt, *, until: datetime) -> Attempt:
    strategy = attempt.parameters.get("CapacityProviderStrategy", [])
    return Attempt(
        seconds=_seconds(attempt.scheduled_at, until),
        on_spot="FARGATE_SPOT" in [item.get("CapacityProvider") for item in strategy],
        usage=_usage(attempt.result.get("JobRun", attempt.result)),
    )


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _usage(job: Mapping[str, Any]) -> Usage | None:
    """Return what a job was billed for, or what it has used if that is not known yet.

    Step Functions reads the job as soon as it has ended. What it was billed for is known some
    seconds later, and is 0 or missing until then; so is what a job used that never had a worker.
    """
    billed = _hours(job.get("BilledResourceUtilization"))
    return billed or _hours(job.get("TotalResourceUtilization"))


def _hours(used: Mapping[str, Any] | None) -> Usage | None:
    # vCPUHour in the service's own API.
    hours = {name.lower(): value for name, value in (used or {}).items()}
    if not hours.get("vcpuhour"):
        return None
    try:
        return Usage(
            vcpu_hours=hours["vcpuhour"],
            memory_gb_hours=hours["memorygbhour"],
            storage_gb_hours=hours["storagegbhour"],
        )
    except KeyError:
        return None
