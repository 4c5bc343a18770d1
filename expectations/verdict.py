"""The verdict on a delivery: facts in, a document out. Nothing here reads or writes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from contract.keys import DatasetName

TOO_MANY_BAD_ROWS: Final = "too_many_bad_rows"

Status = Literal["accepted", "rejected", "duplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What was found in one file. ``reasons`` counts its bad and held rows by reason."""

    key: str
    name: str
    sha256: str | None
    dataset: str
    status: Literal["read", "rejected", "duplicate"]
    reason: str | None
    detail: str | None
    rows: int
    bad_rows: int
    held_rows: int
    reasons: Mapping[str, int]
    max_bad_row_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:  # noqa: A001  # the domain's word, and always used as verdict.Warning
    reason: str
    dataset: str
    file: str | None
    count: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """What becomes of one file; its accepted, quarantined and held rows add up to its rows."""

    key: str
    name: str
    sha256: str | None
    dataset: str
    status: Status
    reason: str | None
    detail: str | None
    rows: int
    accepted_rows: int
    quarantined_rows: int
    held_rows: int
    reasons: Mapping[str, int]


def too_many(bad_rows: int, rows: int, max_bad_row_percent: float) -> bool:
    """Tell whether so many of a file's rows are bad that the others are not to be trusted.

    >>> too_many(1, 10, 10), too_many(2, 10, 10)
    (False, True)
    """
    return bad_rows * 100 > rows * max_bad_row_percent


def judge(facts: FileFacts) -> FileVerdict:
    """Decide about one file."""
    status: Status = "accepted"
    reason, detail = facts.reason, facts.detail
    accepted = facts.rows - facts.bad_rows - facts.held_rows
    quarantined, held = facts.bad_rows, facts.held_rows
    if facts.status != "read":
        status = facts.status
        accepted = quarantined = held = 0
    elif too_many(facts.bad_rows, facts.rows, facts.max_bad_row_percent):
        status, reason = "rejected", TOO_MANY_BAD_ROWS
        detail = (
            f"{facts.bad_rows:,} of its {facts.rows:,} rows are bad, more than"
            f" {facts.max_bad_row_percent:g} %; correct it and deliver it again"
        )
        accepted, quarantined, held = 0, facts.rows, 0
    return FileVerdict(
        key=facts.key,
        name=facts.name,
        sha256=facts.sha256,
        dataset=facts.dataset,
        status=status,
        reason=reason,
        detail=detail,
        rows=facts.rows,
        accepted_rows=accepted,
        quarantined_rows=quarantined,
        held_rows=held,
        reasons=dict(facts.reasons),
    )


def document(
    *,
    run_id: str,
    created_at: datetime,
    files: Sequence[FileVerdict],
    warnings: Sequence[Warning],
    accepted: Mapping[DatasetName, str],
    held: Mapping[DatasetName, str],
    quarantined_rows: str | None,
    data_docs: str | None,
) -> dict[str, Any]:
    """Put the verdict together; the last five name keys beside it in the output.

    A delivery of which not a single row is accepted or waits for its parent is
    ``all_rejected``: there is nothing to transform.
    """
    totals = {
        "files": len(files),
        "rejected_files": sum(file.status == "rejected" for file in files),
        "rows": sum(file.rows for file in files),
        "accepted_rows": sum(file.accepted_rows for file in files),
        "quarantined_rows": sum(file.quarantined_rows for file in files),
        "held_rows": sum(file.held_rows for file in files),
    }
    if not totals["accepted_rows"] and not totals["held_rows"]:
        outcome = "all_rejected"
    elif totals["rejected_files"] or totals["quarantined_rows"] or totals["held_rows"]:
        outcome = "partly_accepted"
    else:
        outcome = "accepted"
    return {
        "run_id": run_id,
        "outcome": outcome,
        "created_at": created_at.isoformat(),
        "totals": totals,
        "files": [asdict(file) for file in files],
        "warnings": [asdict(warning) for warning in warnings],
        "accepted": dict(accepted),
        "held": dict(held),
        "quarantined_rows": quarantined_rows,
        "data_docs": data_docs,
    }
