"""Runs that were: the latest of them, and one in all its detail."""

import difflib
from collections.abc import Iterable, Mapping
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

    from .pipeline import Pipeline

# What is looked through for a run id that was mistyped, or for the runs of one state.
_LOOK_BACK: Final = 200
_MONEY: Final = frozenset({"cost_by_service", "estimated_cost"})
STATES: Final = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A state, how long the run was in it, and how many attempts that took."""

    state: str
    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run: its record as the table has it, its states, the verdict on its files.

    ``notice`` is the message about it, sent or not; None when there was nothing to tell.
    """

    run_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    cause: str | None
    record: Mapping[str, Any]
    steps: tuple[Step, ...]
    verdict: Mapping[str, Any] | None
    notice: Mapping[str, str] | None


def latest(pipeline: "Pipeline", limit: int, state: str | None) -> list["RunRecord"]:
    """Return the newest runs, newest first; of one state if it is given."""
    found = pipeline.records.latest(limit if state is None else _LOOK_BACK, now=pipeline.now())
    return [run for run in found if state in {None, run["state"]}][:limit]


def documents(runs: Iterable["RunRecord"]) -> list[Mapping[str, Any]]:
    """Return records with numbers for counts and seconds, exact money, and readable causes."""
    return [_document(cast("Mapping[str, Any]", run)) for run in runs]


def _document(run: Mapping[str, Any]) -> Mapping[str, Any]:
    noted = {
        name: value if name in _MONEY else _numbers(value, seconds=name.startswith("seconds"))
        for name, value in run.items()
    }
    return {**noted, "cause": readable(noted["cause"])} if "cause" in noted else noted


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
    """Raise UsageError for what is no run's state; any case will do."""
    if text is None or text.upper() in STATES:
        return text and text.upper()
    raise UsageError(f"--state {text}: there are {', '.join(STATES)}")


def find(pipeline: "Pipeline", run_id: str) -> tuple["RunRecord | None", "Execution | None"]:
    """Return a run's record and its execution: one of them is there.

    Raises NotFoundError, with the run that may have been meant. A run has no record until it
    has claimed its files, and its execution is forgotten after 90 days.
    """
    record = pipeline.records.get(run_id)
    execution = pipeline.executions.find(run_id) if _may_be_a_name(run_id) else None
    if record is None and execution is None:
        known = [run["run_id"] for run in latest(pipeline, _LOOK_BACK, None)]
        # Ids begin with a time: what is alike in the beginning only says when.
        near = [known_id for known_id in known if run_id and run_id in known_id]
        near = near or difflib.get_close_matches(run_id, known, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}?" if near else "`shopkpi runs` lists them"
        raise NotFoundError(f"{run_id}: no such run in stage {pipeline.stage}; {hint}")
    return record, execution


def show(pipeline: "Pipeline", run_id: str) -> Shown:
    from contract.keys import RunKeys

    record, execution = find(pipeline, run_id)
    noted = _document(cast("Mapping[str, Any]", record or {}))
    started = execution.started_at if execution else _moment(noted.get("started_at"))
    ended = execution.ended_at if execution else _moment(noted.get("ended_at"))
    return Shown(
        run_id=run_id,
        state=execution.status if execution else noted["state"],
        started_at=started,
        ended_at=ended,
        cause=readable(execution.cause) if execution and execution.cause else noted.get("cause"),
        record=noted,
        steps=_steps(pipeline, run_id, noted, execution),
        verdict=pipeline.documents.read(RunKeys(run_id).verdict),
        notice=pipeline.documents.read(RunKeys(run_id).notice),
    )


def _steps(
    pipeline: "Pipeline", run_id: str, noted: Mapping[str, Any], execution: "Execution | None"
) -> tuple[Step, ...]:
    from chalice_app.chalicelib.runs.timeline import Timeline

    if execution is None:
        seconds = noted.get("seconds_by_state", {})
        return tuple(Step(state=s, seconds=float(n), attempts=0) for s, n in seconds.items())
    until = execution.ended_at or pipeline.now()
    timeline = Timeline.of(pipeline.executions.history(run_id), until=until)
    return tuple(
        Step(
            state=state,
            seconds=round(seconds, 3),
            attempts=len(timeline.attempts.get(state, ())),
        )
        for state, seconds in timeline.seconds.items()
    )


def draw_list(runs: Iterable["RunRecord"]) -> Any:
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


def draw(run: Shown) -> list[Any]:
    from rich.text import Text

    noted = run.record
    facts = [
        ("started", f"{clock(run.started_at)} UTC" if run.started_at else ""),
        ("ended", f"{clock(run.ended_at)} UTC" if run.ended_at else "goes on"),
        ("task", _task(noted)),
        ("files", f"{noted['files']}, {noted['bytes']:,} bytes" if "files" in noted else ""),
        ("rows", ", ".join(f"{n:,} {kind}" for kind, n in noted.get("rows", {}).items())),
        ("dates", _dates(noted.get("dates", ()))),
        ("KPI items", _items(noted)),
        ("ledger", f"version {noted['ledger_version']}" if "ledger_version" in noted else ""),
        ("engine", noted.get("engine", "")),
        ("cost", _cost(noted)),
        ("cause", run.cause or ""),
    ]
    parts: list[Any] = [Text.assemble("run ", (run.run_id, "bold"), ": ", coloured(run.state))]
    parts += [f"{name:<10} {value}" for name, value in facts if value]
    parts.append(
        table(
            "where the time went",
            {"state": "left", "seconds": "right", "attempts": "right"},
            ((step.state, f"{step.seconds:,.2f}", step.attempts or "") for step in run.steps),
        )
    )
    rejected = [file for file in (run.verdict or {}).get("files", ()) if file["reason"]]
    if rejected:
        parts.append(
            table(
                "files that were not taken",
                {"file": "left", "status": "left", "reason": "left", "detail": "left"},
                ((f["name"], f["status"], f["reason"], f["detail"] or "") for f in rejected[:20]),
            )
        )
    quarantined = noted.get("rows", {}).get("quarantined", 0) or noted.get("rejected_file_count")
    if quarantined:
        parts.append(f"what is in quarantine, and why: shopkpi quarantine {run.run_id}")
    # What has claimed nothing has nothing to be replayed.
    if run.state in {"FAILED", "TIMED_OUT", "ABORTED"} and "files" in noted:
        parts.append(f"once the cause is removed: shopkpi replay {run.run_id}")
    if run.notice is not None:
        parts.append(Text(f"\nmessage to people: {run.notice['subject']}", style="bold"))
        parts.append(Text(run.notice["message"].rstrip()))
    return parts


def coloured(state: str) -> Any:
    from rich.text import Text

    return Text(state, style={"SUCCEEDED": "green", "RUNNING": "cyan"}.get(state, "bold red"))


def _task(noted: Mapping[str, Any]) -> str:
    task = str(noted.get("task", ""))
    dates = f" of {noted['start']} to {noted['end']}" if "start" in noted else ""
    return f"{task}{dates}{', forced' if noted.get('forced') else ''}"


def _dates(dates: Iterable[str]) -> str:
    ordered = sorted(dates)
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{len(ordered)}, from {ordered[0]} to {ordered[-1]}"


def _items(noted: Mapping[str, Any]) -> str:
    if "items_written" not in noted:
        return ""
    return f"{noted['items_written']:,} written, {noted.get('items_deleted', 0):,} deleted"


def _cost(noted: Mapping[str, Any]) -> str:
    by_service = noted.get("cost_by_service", {})
    parts = ", ".join(f"{name} {_dollars(cost)}" for name, cost in by_service.items() if cost)
    if "estimated_cost" in noted:
        return f"{_dollars(noted['estimated_cost'])} USD ({parts}), estimated"
    unknown = " and ".join(name for name, cost in by_service.items() if cost is None)
    return f"{unknown} unknown, the rest in USD: {parts}, estimated" if unknown else ""


def _dollars(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:.4f}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _may_be_a_name(run_id: str) -> bool:
    """Say whether an execution may have that name: Step Functions refuses to look for others."""
    return 0 < len(run_id) <= 80 and all(c.isalnum() or c in "-_." for c in run_id)
