"""The decisions of a verdict. Nothing here reads or writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.keys import RunKeys, name_wanted
from contract.verdict import (
    UNKNOWN_NAME,
    DataWarning,
    FileStatus,
    FileVerdict,
    Outcome,
    Totals,
    Verdict,
)
from delivery.bad_row_limit import TOO_MANY_BAD_ROWS, BadRowLimit
from delivery.reader import FileReading


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What was found in one file. ``reasons`` counts its bad and held rows by reason.

    ``details`` are the sentences of :mod:`delivery.examples` about them.
    ``unreadable_rows`` are a part of the ``bad_rows``.
    """

    key: str
    reading: FileReading
    bad_rows: int
    unreadable_rows: int
    held_rows: int
    reasons: Mapping[str, int]
    details: Mapping[str, str]


def decide(facts: FileFacts, limit: BadRowLimit) -> FileVerdict:
    """Decide about one file."""
    reading = facts.reading
    reason, detail = reading.reason, reading.detail
    status: FileStatus = "accepted"
    quarantined, held = facts.bad_rows, facts.held_rows
    accepted = reading.rows - quarantined - held
    if reading.status != "read":
        status = reading.status
        accepted = quarantined = held = 0
    elif limit.is_exceeded(facts.unreadable_rows, reading.rows):
        status, reason = "rejected", TOO_MANY_BAD_ROWS
        detail = limit.detail(facts.unreadable_rows, reading.rows)
        accepted, quarantined, held = 0, reading.rows, 0
    return FileVerdict(
        key=facts.key,
        name=reading.file.name,
        sha256=reading.file.sha256,
        dataset=reading.file.dataset,
        status=status,
        reason=reason,
        detail=detail,
        rows=reading.rows,
        accepted_rows=accepted,
        quarantined_rows=quarantined,
        held_rows=held,
        reasons=facts.reasons,
        details={
            reason: facts.details[reason] for reason in facts.reasons if reason in facts.details
        },
    )


def not_recognised(key: str, name: str) -> FileVerdict:
    """Return the verdict on a file whose name no dataset has."""
    return FileVerdict(
        key=key,
        name=name,
        sha256=None,
        dataset=None,
        status="not_recognised",
        reason=UNKNOWN_NAME,
        detail=name_wanted(name),
        rows=0,
        accepted_rows=0,
        quarantined_rows=0,
        held_rows=0,
        reasons={},
    )


def compose(
    *,
    run_id: str,
    created_at: datetime,
    files: Sequence[FileVerdict],
    others: Sequence[FileVerdict] = (),
    warnings: Sequence[DataWarning],
    accepted: Mapping[str, str],
    held: Mapping[str, str],
    quarantined_rows: str | None,
) -> Verdict:
    """Return the verdict; the last three arguments are keys in the output.

    ``others`` are the files that are not recognised.

    A delivery without a row that is accepted or held back is ``all_rejected``: there is nothing
    to transform.
    """
    totals = Totals(
        files=len(files),
        rejected_files=sum(file.status == "rejected" for file in files),
        rows=sum(file.rows for file in files),
        accepted_rows=sum(file.accepted_rows for file in files),
        quarantined_rows=sum(file.quarantined_rows for file in files),
        held_rows=sum(file.held_rows for file in files),
        not_recognised_files=len(others),
    )
    return Verdict(
        run_id=run_id,
        outcome=_outcome(totals),
        created_at=created_at,
        totals=totals,
        files=(*files, *others),
        warnings=tuple(warnings),
        accepted=accepted,
        held=held,
        quarantined_rows=quarantined_rows,
        data_docs=RunKeys(run_id).data_docs,
    )


def _outcome(totals: Totals) -> Outcome:
    if not totals.files and totals.not_recognised_files:
        return "not_recognised"
    if not totals.accepted_rows and not totals.held_rows:
        return "all_rejected"
    if totals.rejected_files or totals.quarantined_rows or totals.held_rows:
        return "partly_accepted"
    return "accepted"
