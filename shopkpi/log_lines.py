"""All log lines of a run in the order of time: functions, containers, the state machine.

They are in CloudWatch Logs. Lines of a function contain the run id. Lines of a container are in a
stream named after its task, which is in the execution's history. JSON lines have their own time
and level.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from chalice_app.chalicelib.aws.causes import readable
from chalice_app.chalicelib.aws.execution_history import Attempt, History
from contract.states import CONTAINERS, State

from .errors import NotFoundError, UsageError
from .history import find
from .pipeline import APP_NAME, FUNCTIONS

if TYPE_CHECKING:
    from .pipeline import Pipeline

SOURCES: Final = ("machine", "lambda", "validator", "transformer")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
# Other names of these levels in Python and Java.
_SAME_LEVEL: Final = {"TRACE": "DEBUG", "WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR"}
# The prefix of both containers' streams in infra/template.yaml.
_STREAM_PREFIX: Final = "run"
# Functions log before an execution starts (the claim) and after it ends.
_MARGIN: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``source`` is one of SOURCES, ``name`` the function, task or state; ``fields`` the rest."""

    at: datetime
    source: str
    name: str
    level: str
    message: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A container of the run. ``ended_at`` is None while it runs."""

    container: str
    task_id: str
    started_at: datetime
    ended_at: datetime | None


def parse_sources(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return the sources, all of them by default. Raises UsageError for an unknown one."""
    names = tuple(given or SOURCES)
    if unknown := [name for name in names if name not in SOURCES]:
        raise UsageError(f"--only {unknown[0]}: there are {', '.join(SOURCES)}")
    return names


def parse_level(given: str | None) -> str:
    """Return the level, the lowest by default. Raises UsageError for an unknown one."""
    level = (given or LEVELS[0]).upper()
    if level not in LEVELS:
        raise UsageError(f"--level {given}: there are {', '.join(LEVELS)}")
    return level


def collect(
    pipeline: "Pipeline", run_id: str, sources: Iterable[str], level: str = LEVELS[0]
) -> list[Line]:
    """Return the run's lines of that level and above, oldest first.

    Raises NotFoundError when there is no such run, or its history has been deleted.
    """
    _, execution = find(pipeline, run_id)
    if execution is None:
        raise NotFoundError(
            f"{run_id} is older than the 90 days for which Step Functions keeps a history: "
            f"see its record with `shopkpi show {run_id}`"
        )
    history = pipeline.executions.history(run_id, with_data=True)
    wanted, found = set(sources), list[Line]()
    start = execution.started_at - _MARGIN
    end = (execution.ended_at or pipeline.now()) + _MARGIN
    if "machine" in wanted:
        found += _of_machine(history)
    if "lambda" in wanted:
        found += _of_functions(pipeline, run_id, start, end)
    for task in _tasks(history):
        if task.container in wanted:
            found += _of_task(pipeline, task)
    if "transformer" in wanted:
        found += _of_big_batch(history)
    enough = LEVELS[LEVELS.index(level) :]
    return sorted((line for line in found if line.level in enough), key=lambda line: line.at)


def _of_machine(history: History) -> Iterator[Line]:
    for event in history.events:
        of_execution = event.kind.startswith("Execution")
        # For a task that succeeded, the entry into its state is enough.
        if event.failed or of_execution or event.kind.endswith("StateEntered"):
            cause = {"error": event.error, "cause": event.cause}
            yield Line(
                at=event.at,
                source="machine",
                name="" if of_execution else event.state,
                level="ERROR" if event.failed else "INFO",
                message=event.kind,
                fields={name: text for name, text in cause.items() if text and event.failed},
            )


def _tasks(history: History) -> Iterator[Task]:
    """Yield the containers that the execution ran, retries included."""
    for state, container in CONTAINERS.items():
        for attempt in _submitted(history, state):
            for task in attempt.submission.get("Tasks", [])[:1]:
                yield Task(
                    container=container,
                    task_id=task["TaskArn"].rsplit("/", 1)[-1],
                    started_at=attempt.submitted_at or attempt.scheduled_at,
                    ended_at=attempt.ended_at,
                )


def _submitted(history: History, state: State) -> Iterator[Attempt]:
    for visit in history.visits:
        if visit.state == state:
            yield from (attempt for attempt in visit.attempts if attempt.submitted_at)


def _of_functions(
    pipeline: "Pipeline", run_id: str, start: datetime, end: datetime
) -> Iterator[Line]:
    for function in FUNCTIONS:
        group = f"/aws/lambda/{pipeline.function_name(function)}"
        for event in _filtered(pipeline, group, start, end, filterPattern=f'"{run_id}"'):
            at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            yield _parsed(event["message"], "lambda", function, at)


def _of_task(pipeline: "Pipeline", task: Task) -> Iterator[Line]:
    group = f"/{APP_NAME}/{pipeline.stage}/{task.container}"
    stream = f"{_STREAM_PREFIX}/{task.container}/{task.task_id}"
    end = (task.ended_at or pipeline.now()) + _MARGIN
    for event in _filtered(
        pipeline, group, task.started_at - _MARGIN, end, logStreamNames=[stream]
    ):
        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        yield _parsed(event["message"], task.container, task.task_id, at)


def _of_big_batch(history: History) -> Iterator[Line]:
    """Yield the command that shows the lines of a job: EMR Serverless keeps them for 30 days."""
    for attempt in _submitted(history, State.TRANSFORM_BIG_BATCH):
        job = attempt.submission
        yield Line(
            at=attempt.submitted_at or attempt.scheduled_at,
            source="transformer",
            name=job["JobRunId"],
            level="INFO",
            message="EMR Serverless keeps this job's lines: aws emr-serverless"
            f" get-dashboard-for-job-run --application-id {job['ApplicationId']}"
            f" --job-run-id {job['JobRunId']}",
            fields={},
        )


def _filtered(
    pipeline: "Pipeline", group: str, start: datetime, end: datetime, **which: Any
) -> Iterator[Any]:
    logs = pipeline.client("logs")
    try:
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int(start.timestamp() * 1000),
            endTime=int(end.timestamp() * 1000),
            **which,
        ):
            yield from page["events"]
    except logs.exceptions.ResourceNotFoundException:
        # A function that was never called and a task that never started have no stream.
        return


def _parsed(text: str, source: str, name: str, at: datetime) -> Line:
    """Return a line; one of JSON says its own time, another has ``at``."""
    text = text.rstrip()
    try:
        fields = dict(json.loads(text))
        own = datetime.fromisoformat(fields.pop("time")).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        failed = text.startswith(("error", "[ERROR]", "Traceback")) or "Error:" in text
        level = "ERROR" if failed else "INFO"
        return Line(at=at, source=source, name=name, level=level, message=text, fields={})
    # What a metric is, is for CloudWatch; its value is a field like others.
    fields.pop("_aws", None)
    level = str(fields.pop("level", "INFO"))
    return Line(
        at=own,
        source=source,
        name=name,
        level=_SAME_LEVEL.get(level, level),
        message=str(fields.pop("message", "")),
        fields=fields,
    )


def render(lines: Iterable[Line]) -> Iterator[Any]:
    from rich.text import Text

    styles = {"ERROR": "bold red", "WARNING": "yellow"}
    for line in lines:
        fields = " ".join(
            f"{name}={readable(str(value)) if name == 'cause' else value}"
            for name, value in line.fields.items()
            if name not in {"logger", "run_id"} and value not in (None, "", {})
        )
        # The lines of a task follow one another, so that its id would only repeat.
        name = "" if line.source in CONTAINERS.values() else f"{line.name[:24]:<25}"
        yield Text.assemble(
            (f"{line.at:%H:%M:%S}.{line.at.microsecond // 1000:03} ", "dim"),
            (f"{line.source:<12}", "cyan"),
            name,
            (f"{line.message} ", styles.get(line.level, "")),
            (fields, "dim"),
        )
