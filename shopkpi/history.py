"""Past and current runs: the latest ones, and all details of one."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from chalice_app.chalicelib.aws.causes import readable

from .errors import NotFoundError, UsageError
from .screen import table
from .times import clock, duration

if TYPE_CHECKING:
    from chalice_app.chalicelib.aws.executions import Execution
    from chalice_app.chalicelib.aws.run_table import RunRecord
    from contract.notice import Notice
    from contract.verdict import Verdict

    from .pipeline import Pipeline

# How many runs are searched for the runs of one state, or for an id like a mistyped one.
_LOOK_BACK: Final = 200
_MONEY: Final = frozenset({"cost_by_service", "estimated_cost"})
STATES: Final = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A state, the seconds that the run was in it, and the number of attempts of its task."""

    state: str
    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run: its record in the table, its states, the verdict on its files.

    ``notice`` is the alert message about it, sent or not; None when there was nothing to report.
    """

    run_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    cause: str | None
    record: Mapping[str, Any]
    steps: tuple[Phase, ...]
    verdict: "Verdict | None"
    notice: "Notice | None"


def latest(pipeline: "Pipeline", limit: int, state: str | None) -> list["RunRecord"]:
    """Return up to ``limit`` runs, newest first; with ``state``, only runs in that state."""
    found = pipeline.records.latest(limit if state is None else _LOOK_BACK, now=pipeline.now())
    return [run for run in found if state in {None, run["state"]}][:limit]


def documents(runs: Iterable["RunRecord"]) -> list[Mapping[str, Any]]:
    """Return records with numbers for counts and seconds, exact money, and readable causes."""
    return [_document(cast("Mapping[str, Any]", run)) for run in runs]


def _document(run: Mapping[str, Any]) -> Mapping[str, Any]:
    record = {
        name: value if name in _MONEY else _numbers(value, seconds=name.startswith("seconds"))
        for name, value in run.items()
    }
    return {**record, "cause": readable(record["cause"])} if "cause" in record else record


def _numbers(value: Any, *, seconds: bool) -> Any:
    match value:
        case Decimal():
            return float(value) if seconds else int(value)
        case dict():
            return {name: _numbers(inner, seconds=seconds) for name, inner in value.items()}
        case list():
            return [_numbers(inner, seconds=seconds) for inner in value]
    return value


def parse_state(text: str | None) -> str | None:
    """Return the state in upper case. Raises UsageError when there is no such state."""
    if text is None or text.upper() in STATES:
        return text and text.upper()
    raise UsageError(f"--state {text}: there are {', '.join(STATES)}")


def find(pipeline: "Pipeline", run_id: str) -> tuple["RunRecord | None", "Execution | None"]:
    """Return a run's record and its execution; at least one of them is not None.

    A run has no record until it has claimed its files. Step Functions deletes an execution after
    90 days.

    Raises:
        NotFoundError: there is neither; the message suggests the run with the most similar id.
    """
    record = pipeline.records.get(run_id)
    execution = pipeline.executions.find(run_id) if _is_execution_name(run_id) else None
    if record is None and execution is None:
        known = [run["run_id"] for run in latest(pipeline, _LOOK_BACK, None)]
        # Ids begin with a time, so a common prefix says little.
        near = [known_id for known_id in known if run_id and run_id in known_id]
        near = near or difflib.get_close_matches(run_id, known, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else "`shopkpi runs` lists them"
        raise NotFoundError(f"{run_id}: no such run in stage {pipeline.stage}; {hint}")
    return record, execution


def collect(pipeline: "Pipeline", run_id: str) -> RunDetails:
    found, execution = find(pipeline, run_id)
    record = _document(cast("Mapping[str, Any]", found or {}))
    started = execution.started_at if execution else _moment(record.get("started_at"))
    ended = execution.ended_at if execution else _moment(record.get("ended_at"))
    return RunDetails(
        run_id=run_id,
        state=execution.status if execution else record["state"],
        started_at=started,
        ended_at=ended,
        cause=readable(execution.cause) if execution and execution.cause else record.get("cause"),
        record=record,
        steps=_steps(pipeline, run_id, record, execution),
        verdict=pipeline.documents.verdict(run_id),
        notice=pipeline.documents.notice(run_id),
    )


def _steps(
    pipeline: "Pipeline", run_id: str, record: Mapping[str, Any], execution: "Execution | None"
) -> tuple[Phase, ...]:
    from chalice_app.chalicelib.runs.timeline import Timeline

    if execution is None:
        seconds = record.get("seconds_by_state", {})
        return tuple(Phase(state=s, seconds=float(n), attempts=0) for s, n in seconds.items())
    until = execution.ended_at or pipeline.now()
    timeline = Timeline.of(pipeline.executions.history(run_id), until=until)
    return tuple(
        Phase(
            state=state,
            seconds=round(seconds, 3),
            attempts=len(timeline.attempts.get(state, ())),
        )
        for state, seconds in timeline.seconds.items()
    )


def render_list(runs: Iterable["RunRecord"]) -> Any:
    return table(
        "runs, newest first (UTC)",
        {
            "run": "left",
            "state": "left",
            "started": "left",
            "took": "right",
            "task": "left",
            "files": "right",
            "rows": "right",
            "quarantined": "right",
            "dates": "right",
            "cost USD": "right",
        },
        (_line(cast("Mapping[str, Any]", run)) for run in runs),
    )


def _line(run: Mapping[str, Any]) -> tuple[Any, ...]:
    rows = run.get("rows", {})
    started, ended = _moment(run["started_at"]), _moment(run.get("ended_at"))
    return (
        run["run_id"],
        coloured(run["state"]),
        clock(started) if started else "",
        duration(ended - started) if started and ended else "",
        run.get("task", ""),
        run.get("files", ""),
        f"{sum(rows.values()):,}" if rows else "",
        f"{rows.get('quarantined', 0):,}" if rows else "",
        len(run.get("dates", ())) or "",
        _dollars(run.get("estimated_cost")),
    )


def render(run: RunDetails) -> list[Any]:
    from rich.text import Text

    record = run.record
    facts = [
        ("started", f"{clock(run.started_at)} UTC" if run.started_at else ""),
        ("ended", f"{clock(run.ended_at)} UTC" if run.ended_at else "still running"),
        ("task", _task(record)),
        ("files", f"{record['files']}, {record['bytes']:,} bytes" if "files" in record else ""),
        ("rows", ", ".join(f"{n:,} {kind}" for kind, n in record.get("rows", {}).items())),
        ("dates", _dates(record.get("dates", ()))),
        ("KPI items", _items(record)),
        ("refused", _dates(record.get("unpublished_dates", ()))),
        ("ledger", f"version {record['ledger_version']}" if "ledger_version" in record else ""),
        ("engine", record.get("engine", "")),
        ("cost", _cost(record)),
        ("cause", run.cause or ""),
    ]
    parts: list[Any] = [Text.assemble("run ", (run.run_id, "bold"), ": ", coloured(run.state))]
    parts += [f"{name:<10} {value}" for name, value in facts if value]
    parts.append(
        table(
            "seconds by state",
            {"state": "left", "seconds": "right", "attempts": "right"},
            ((step.state, f"{step.seconds:,.2f}", step.attempts or "") for step in run.steps),
        )
    )
    rejected = [file for file in run.verdict.files if file.reason] if run.verdict else []
    if rejected:
        parts.append(
            table(
                "rejected and duplicate files",
                {"file": "left", "status": "left", "reason": "left", "detail": "left"},
                ((f.name, f.status, f.reason, f.detail or "") for f in rejected[:20]),
            )
        )
    parts += _details(run.verdict) if run.verdict else []
    quarantined = record.get("rows", {}).get("quarantined", 0) or record.get("rejected_file_count")
    if quarantined:
        parts.append(f"see what is in quarantine: shopkpi quarantine {run.run_id}")
    # A run that claimed no files cannot be replayed.
    if run.state in {"FAILED", "TIMED_OUT", "ABORTED"} and "files" in record:
        parts.append(f"when the cause is fixed: shopkpi replay {run.run_id}")
    if run.notice is not None:
        parts.append(Text(f"\nalert message: {run.notice.subject}", style="bold"))
        parts.append(Text(run.notice.message.rstrip()))
    return parts


def _details(verdict: "Verdict") -> Iterator[str]:
    """Yield which values were found where a reason and a count do not say it."""
    for file in verdict.files:
        for reason, detail in file.details.items():
            yield f"{file.name}: {reason} {file.reasons[reason]:,}: {detail}"
    for warning in verdict.ambiguous:
        yield f"{warning.file}: {warning.reason} {warning.count:,}: {warning.detail}"


def coloured(state: str) -> Any:
    from rich.text import Text

    return Text(state, style={"SUCCEEDED": "green", "RUNNING": "cyan"}.get(state, "bold red"))


def _task(record: Mapping[str, Any]) -> str:
    task = str(record.get("task", ""))
    dates = f" of {record['start']} to {record['end']}" if "start" in record else ""
    return f"{task}{dates}{', forced' if record.get('forced') else ''}"


def _dates(dates: Iterable[str]) -> str:
    ordered = sorted(dates)
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{len(ordered)}, from {ordered[0]} to {ordered[-1]}"


def _items(record: Mapping[str, Any]) -> str:
    if "items_written" not in record:
        return ""
    return f"{record['items_written']:,} written, {record.get('items_deleted', 0):,} deleted"


def _cost(record: Mapping[str, Any]) -> str:
    by_service = record.get("cost_by_service", {})
    parts = ", ".join(f"{name} {_dollars(cost)}" for name, cost in by_service.items() if cost)
    if "estimated_cost" in record:
        return f"{_dollars(record['estimated_cost'])} USD ({parts}), estimated"
    unknown = " and ".join(name for name, cost in by_service.items() if cost is None)
    return f"{unknown} unknown, the rest in USD: {parts}, estimated" if unknown else ""


def _dollars(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:.4f}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _is_execution_name(run_id: str) -> bool:
    """Say whether it is a valid name of an execution; Step Functions refuses other names."""
    return 0 < len(run_id) <= 80 and all(c.isalnum() or c in "-_." for c in run_id)
