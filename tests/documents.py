"""Complete documents of a run, whose numbers add up, for tests that read some of their fields."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from contract.keys import dataset_of
from contract.published import PublishedReport
from contract.verdict import HELD_BACK, FileStatus, FileVerdict, Outcome, Totals, Verdict

NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)


def file_verdict(
    name: str,
    status: FileStatus = "accepted",
    *,
    key: str | None = None,
    rows: int = 40,
    reasons: Mapping[str, int] | None = None,
) -> FileVerdict:
    """``reasons`` counts bad rows, of which each has one reason."""
    found = dict(reasons or {})
    held = sum(count for reason, count in found.items() if reason in HELD_BACK)
    counts = {
        "accepted": (rows - sum(found.values()), sum(found.values()) - held, held),
        "rejected": (0, rows, 0),
        "duplicate": (0, 0, 0),
        "not_recognised": (0, 0, 0),
    }[status]
    rejected = status == "rejected"
    return FileVerdict(
        key=key or f"incoming/{name}",
        name=name,
        sha256=None,
        dataset=None if status == "not_recognised" else dataset_of(name) or "orders",
        status=status,
        reason="too_many_bad_rows" if rejected else None,
        detail=f"{rows} of its {rows} rows cannot be read" if rejected else None,
        rows=0 if status in ("duplicate", "not_recognised") else rows,
        accepted_rows=counts[0],
        quarantined_rows=counts[1],
        held_rows=counts[2],
        reasons=found,
    )


def verdict(*files: FileVerdict, run_id: str = "r") -> Verdict:
    totals = Totals(
        files=sum(file.status != "not_recognised" for file in files),
        rejected_files=sum(file.status == "rejected" for file in files),
        rows=sum(file.rows for file in files),
        accepted_rows=sum(file.accepted_rows for file in files),
        quarantined_rows=sum(file.quarantined_rows for file in files),
        held_rows=sum(file.held_rows for file in files),
    )
    outcome: Outcome = "accepted" if totals.accepted_rows == totals.rows else "partly_accepted"
    if not totals.accepted_rows and not totals.held_rows:
        outcome = "all_rejected"
    return Verdict(
        run_id=run_id,
        outcome=outcome,
        created_at=NOON,
        totals=totals,
        files=files,
        warnings=(),
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )


def published(dates: Iterable[date] = (), *, run_id: str = "r", **given: Any) -> PublishedReport:
    """Report a run that published these dates; ``given`` replaces other fields."""
    fields: dict[str, Any] = {
        "task": "process",
        "engine": "sail",
        "ledger": "ledger/main",
        "ledger_version": 8,
        "previous_version": 7,
        "items": 12,
        "deleted": 1,
        "superseded": (),
        "new_files": 3,
        "duplicate_files": (),
        "known_from": (),
        "new_rows": {"orders": 5, "order_items": 9, "products": 0},
        "readmitted_lines": 0,
        "held_lines": 0,
        "bytes": 1000,
        "seconds": {"read": 0.25, "commit": 1.5, "compute": 3.0, "publish": 0.125},
    }
    return PublishedReport(run_id=run_id, dates=tuple(dates), **(fields | given))
