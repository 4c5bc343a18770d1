"""The history of an execution, read into records: its events, the states that it entered, and the
attempts of their tasks.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_ATTEMPT_FAILS: Final = frozenset(
    {"TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"}
)
_ATTEMPT_ENDS: Final = _ATTEMPT_FAILS | {"TaskSucceeded"}
_EXECUTION_ENDS: Final = frozenset(
    {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``kind`` is the event's type; ``state`` the state entered last, empty before the first.

    ``error`` and ``cause`` are empty unless the event is a failure that has them.
    """

    at: datetime
    kind: str
    state: str
    error: str
    cause: str

    @property
    def failed(self) -> bool:
        return any(word in self.kind for word in ("Failed", "TimedOut", "Aborted"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task. A time is None until it is reached.

    ``parameters`` is what the task was given, ``submission`` what the service answered when it
    accepted the task, ``result`` its output, or its cause of failure where that is JSON. They are
    empty in a history that was read without data. Their numbers are decimals.
    """

    scheduled_at: datetime
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    failed: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    submission: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A state that the execution entered; ``exited_at`` is None while it is in it."""

    state: str
    entered_at: datetime
    exited_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Both in the order of time. All times are UTC."""

    events: Sequence[Event]
    visits: Sequence[Visit]

    @classmethod
    def of(cls, raw_events: Iterable[Any]) -> Self:
        """Read the events that GetExecutionHistory returns, oldest first.

        The machine has no parallel states: an event belongs to the state entered last.
        """
        events, visits = list[Event](), list[Visit]()
        for raw in raw_events:
            details = _details(raw)
            at = raw["timestamp"].astimezone(UTC)
            if "stateEnteredEventDetails" in raw:
                visits.append(Visit(state=details["name"], entered_at=at))
            elif visits:
                visits[-1] = _with_event(visits[-1], raw["type"], details, at)
            events.append(
                Event(
                    at=at,
                    kind=raw["type"],
                    state=visits[-1].state if visits else "",
                    error=details.get("error") or "",
                    cause=details.get("cause") or "",
                )
            )
        return cls(events=events, visits=visits)

    @property
    def last(self) -> Visit | None:
        """The state that the execution is in, or ended in; None before the first."""
        return self.visits[-1] if self.visits else None


def read_history(sfn: "SFNClient", execution_arn: str, *, with_data: bool) -> History:
    """Read all pages. ``with_data`` adds what the attempts were given and what they answered.

    A page with data may be 256 KiB for each event.
    """
    pages = sfn.get_paginator("get_execution_history").paginate(
        executionArn=execution_arn, includeExecutionData=with_data
    )
    return History.of(event for page in pages for event in page["events"])


def _details(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((value for name, value in raw.items() if name.endswith("EventDetails")), {})


def _with_event(visit: Visit, kind: str, details: Mapping[str, Any], at: datetime) -> Visit:
    if kind.endswith("StateExited") or kind in _EXECUTION_ENDS:
        return replace(visit, exited_at=at)
    if kind == "TaskScheduled":
        scheduled = Attempt(scheduled_at=at, parameters=_document(details.get("parameters")))
        return replace(visit, attempts=(*visit.attempts, scheduled))
    if not visit.attempts or visit.attempts[-1].ended_at is not None:
        return visit
    attempt = visit.attempts[-1]
    if kind == "TaskSubmitted":
        attempt = replace(attempt, submitted_at=at, submission=_document(details.get("output")))
    elif kind in _ATTEMPT_ENDS:
        attempt = replace(
            attempt,
            ended_at=at,
            failed=kind in _ATTEMPT_FAILS,
            result=_document(details.get("output") or details.get("cause")),
        )
    return replace(visit, attempts=(*visit.attempts[:-1], attempt))


def _document(text: str | None) -> Mapping[str, Any]:
    """Read a JSON object; a cause may be any text."""
    try:
        found = json.loads(text or "{}", parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
