"""The metrics of the pipeline: fields of log lines in CloudWatch's embedded metric format.

A metric needs no call and no permission. A value with many variants, such as a run's id, is a field
and not a dimension: each combination of dimensions is a separate metric, at 0.30 USD a month.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from contract.manifest import FileVersion
from contract.states import TRANSFORM_STATES, State

from ..aws.run_table import RunRecord

NAMESPACE: Final = "ECommercePipeline"
# Each metric and its unit. CloudWatch has no unit for dollars.
WAITING: Final = {
    "FilesWaiting": "Count",
    "FilesNotRecognised": "Count",
    "OldestFileSeconds": "Seconds",
}
OF_A_RUN: Final = {
    "Files": "Count",
    "FilesRejected": "Count",
    "RowsAccepted": "Count",
    "RowsQuarantined": "Count",
    "RowsHeld": "Count",
    "ItemsWritten": "Count",
    "ItemsDeleted": "Count",
    "RunSeconds": "Seconds",
    "ValidateSeconds": "Seconds",
    "TransformSeconds": "Seconds",
    "EstimatedCost": "None",
}
_UNITS: Final = WAITING | OF_A_RUN


def of_waiting(
    files: Collection[FileVersion],
    not_recognised: Collection[FileVersion],
    now: datetime,
    *,
    stage: str,
) -> dict[str, Any]:
    """Return the fields of the line on the files in the landing folder; there must be one.

    A file that is not recognised waits, too, until a person moves it.
    """
    oldest = min(file.landed_at for file in (*files, *not_recognised))
    values = {
        "FilesWaiting": len(files),
        "FilesNotRecognised": len(not_recognised),
        "OldestFileSeconds": round((now - oldest).total_seconds()),
    }
    return _embedded(values, at=now, stage=stage)


def of_run(run: RunRecord, *, stage: str) -> dict[str, Any]:
    """Return the fields of the line on an ended run; unknown values are left out."""
    started, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "ended_at"))
    rows, seconds = run.get("rows", {}), run.get("seconds_by_state", {})
    transforms = [seconds[state] for state in TRANSFORM_STATES if state in seconds]
    known = {
        "Files": run.get("files"),
        "FilesRejected": run.get("rejected_file_count"),
        "RowsAccepted": rows.get("accepted"),
        "RowsQuarantined": rows.get("quarantined"),
        "RowsHeld": rows.get("held"),
        "ItemsWritten": run.get("items_written"),
        "ItemsDeleted": run.get("items_deleted"),
        "RunSeconds": (ended - started).total_seconds(),
        "ValidateSeconds": seconds.get(State.VALIDATE_FILES),
        "TransformSeconds": sum(transforms) if transforms else None,
        "EstimatedCost": run.get("estimated_cost"),
    }
    values = {name: value for name, value in known.items() if value is not None}
    return {
        "run_id": run["run_id"],
        "state": run["state"],
        "task": run.get("task"),
        # The phases of the transformer, for queries: not worth five metrics.
        "seconds_by_stage": {
            name: float(taken) for name, taken in run.get("seconds_by_stage", {}).items()
        },
        **_embedded(values, at=ended, stage=stage),
    }


def _embedded(
    values: Mapping[str, int | float | Decimal], *, at: datetime, stage: str
) -> dict[str, Any]:
    return {
        "_aws": {
            "Timestamp": round(at.timestamp() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Stage"]],
                    "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in values],
                }
            ],
        },
        "Stage": stage,
        # CloudWatch keeps doubles; a Decimal would become text.
        **{name: float(value) for name, value in values.items()},
    }
