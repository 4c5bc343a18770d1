"""What the record of a run holds, made from its documents and its execution."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from contract.manifest import Manifest

from ..aws.run_table import RunRecord, State
from ..settings import Settings
from . import costs
from .timeline import Timeline

# An item may hold 400 KB. ECS puts a whole task description into a cause; a recompute may be
# asked for any dates; a batch may be 500 bad files.
_MAX_CAUSE: Final = 2000
_MAX_DATES: Final = 1500
_MAX_REJECTED_FILES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that is known of a run: each part is None until its stage has written it.

    ``verdict`` is the validator's verdict.json, ``published`` the transformer's published.json.
    """

    run_id: str
    state: State
    started_at: datetime
    ended_at: datetime | None = None
    cause: str | None = None
    manifest: Manifest | None = None
    verdict: Mapping[str, Any] | None = None
    published: Mapping[str, Any] | None = None
    timeline: Timeline | None = None


def record(run: Run, settings: Settings) -> RunRecord:
    """Return the item of a run."""
    verdict, published = run.verdict or {}, run.published or {}
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "month": f"{run.started_at.astimezone(UTC):%Y-%m}",
        "state": run.state,
        "started_at": _iso(run.started_at),
        "ended_at": _iso(run.ended_at),
        "cause": None if run.cause is None else run.cause[:_MAX_CAUSE],
        "replay": replay_command(run.run_id, settings),
        **_claimed(run.manifest),
        **_judged(verdict),
        "engine": published.get("engine"),
        "dates": published["dates"][:_MAX_DATES] if "dates" in published else None,
        "date_count": len(published["dates"]) if "dates" in published else None,
        "ledger": published.get("ledger"),
        "ledger_version": published.get("ledger_version"),
        "previous_version": published.get("previous_version"),
        "items_written": published.get("items"),
        "items_deleted": published.get("deleted"),
        "seconds_by_stage": _seconds(published.get("seconds")),
        **_spent(run, settings),
    }
    item: RunRecord = {name: value for name, value in known.items() if value is not None}  # type: ignore[assignment]
    return item


def replay_command(run_id: str, settings: Settings) -> str:
    """Return what replays a run, for whoever has the AWS CLI only."""
    document = json.dumps({"replay_of": run_id, "forced": True}, separators=(",", ":"))
    return (
        "aws stepfunctions start-execution"
        f" --state-machine-arn {settings.state_machine_arn} --input '{document}'"
    )


def _claimed(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {}
    return {
        "task": manifest.task,
        "start": None if manifest.start is None else manifest.start.isoformat(),
        "end": None if manifest.end is None else manifest.end.isoformat(),
        "forced": manifest.forced,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
    }


def _judged(verdict: Mapping[str, Any]) -> dict[str, Any]:
    if not verdict:
        return {}
    totals = verdict["totals"]
    rejected = [file for file in verdict["files"] if file["status"] == "rejected"]
    return {
        "rows": {
            kind: totals[f"{kind}_rows"]
            for kind in ("accepted", "quarantined", "held")
            if f"{kind}_rows" in totals
        },
        "rejected_files": [
            {"name": file["name"], "reason": file["reason"]}
            for file in rejected[:_MAX_REJECTED_FILES]
        ],
        "rejected_file_count": len(rejected),
    }


def _spent(run: Run, settings: Settings) -> dict[str, Any]:
    if run.timeline is None:
        return {}
    published = run.published or {}
    cost = costs.estimate(
        run.timeline,
        files=0 if run.manifest is None else len(run.manifest.files),
        kpi_writes=published.get("items", 0) + published.get("deleted", 0),
        sizes=settings.sizes,
        prices=settings.prices,
    )
    known = [dollars for dollars in cost.values() if dollars is not None]
    return {
        "seconds_by_state": _seconds(run.timeline.seconds),
        "transitions": run.timeline.transitions,
        "cost_by_service": cost,
        # A sum without one of its parts would pass for a cheap run.
        "estimated_cost": sum(known, Decimal(0)) if len(known) == len(cost) else None,
    }


def _seconds(by_name: Mapping[str, float] | None) -> dict[str, Decimal] | None:
    if by_name is None:
        return None
    return {name: Decimal(str(round(seconds, 3))) for name, seconds in by_name.items()}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")
