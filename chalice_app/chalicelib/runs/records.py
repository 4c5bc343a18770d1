"""What the record of a run holds, made from its documents and its execution."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from contract.manifest import Manifest
from contract.published import PublishedReport
from contract.row_counts import RowCounts
from contract.verdict import Verdict

from ..aws.run_table import RunRecord
from ..settings import Settings
from . import costs
from .outcome import RunOutcome
from .timeline import Timeline

# An item may hold 400 KB. ECS puts a whole task description into a cause; a recompute may have any
# dates; a batch may have 500 bad files.
_MAX_CAUSE: Final = 2000
_MAX_DATES: Final = 1500
_MAX_REJECTED_FILES: Final = 20


def record(
    outcome: RunOutcome,
    settings: Settings,
    *,
    started_at: datetime,
    ended_at: datetime | None = None,
    timeline: Timeline | None = None,
) -> RunRecord:
    """Return the item of a run."""
    known: dict[str, Any] = {
        "run_id": outcome.run_id,
        "month": f"{started_at.astimezone(UTC):%Y-%m}",
        "state": outcome.state,
        "started_at": _iso(started_at),
        "ended_at": None if ended_at is None else _iso(ended_at),
        "cause": None if outcome.cause is None else outcome.cause[:_MAX_CAUSE],
        "replay": replay_command(outcome.run_id, settings),
        **_from_manifest(outcome.manifest),
        **_from_verdict(outcome.verdict, outcome.published),
        **_from_published(outcome.published),
        **_from_timeline(timeline, outcome, settings),
    }
    item: RunRecord = {name: value for name, value in known.items() if value is not None}  # type: ignore[assignment]
    return item


def replay_command(run_id: str, settings: Settings) -> str:
    """Return the command of the AWS CLI that replays a run."""
    document = json.dumps({"replay_of": run_id, "forced": True}, separators=(",", ":"))
    return (
        "aws stepfunctions start-execution"
        f" --state-machine-arn {settings.state_machine_arn} --input '{document}'"
    )


def _from_manifest(manifest: Manifest | None) -> dict[str, Any]:
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


def _from_verdict(verdict: Verdict | None, published: PublishedReport | None) -> dict[str, Any]:
    if verdict is None:
        return {}
    rows = RowCounts.of(verdict, published)
    return {
        "rows": {
            "accepted": rows.accepted,
            "quarantined": rows.quarantined,
            "held": rows.held,
        },
        "rejected_files": [
            {"name": file.name, "reason": file.reason}
            for file in verdict.rejected[:_MAX_REJECTED_FILES]
        ],
        "rejected_file_count": len(verdict.rejected),
    }


def _from_published(published: PublishedReport | None) -> dict[str, Any]:
    if published is None:
        return {}
    return {
        "engine": published.engine,
        "dates": [day.isoformat() for day in published.dates[:_MAX_DATES]],
        "date_count": len(published.dates),
        "ledger": published.ledger,
        "ledger_version": published.ledger_version,
        "previous_version": published.previous_version,
        "items_written": published.items,
        "items_deleted": published.deleted,
        "unpublished_dates": sorted(published.unpublished_dates)[:_MAX_DATES] or None,
        "seconds_by_stage": _seconds(published.seconds),
    }


def _from_timeline(
    timeline: Timeline | None, outcome: RunOutcome, settings: Settings
) -> dict[str, Any]:
    if timeline is None:
        return {}
    manifest, published = outcome.manifest, outcome.published
    cost = costs.estimate(
        timeline,
        files=0 if manifest is None else len(manifest.files),
        kpi_writes=0 if published is None else published.items + published.deleted,
        sizes=settings.sizes,
        prices=settings.prices,
    )
    known = [dollars for dollars in cost.values() if dollars is not None]
    return {
        "seconds_by_state": _seconds(timeline.seconds),
        "transitions": timeline.transitions,
        "cost_by_service": cost,
        # A sum without one of its parts would pass for a cheap run.
        "estimated_cost": sum(known, Decimal(0)) if len(known) == len(cost) else None,
    }


def _seconds(by_name: Mapping[str, float]) -> dict[str, Decimal]:
    return {name: Decimal(str(round(seconds, 3))) for name, seconds in by_name.items()}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
