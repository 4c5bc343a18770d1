"""What a crash and a success leave behind: the crashed files, and the culprit in quarantine."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from contract.keys import CRASHED_FILES, RunKeys
from contract.manifest import FileVersion, Manifest
from contract.typed_json import DocumentError
from contract.verdict import CRASH, FileVerdict, Totals, Verdict

from ..aws.documents import Documents
from ..aws.landing_folder import LandingFolder
from .crashed_files import CrashedFiles

log = logging.getLogger(__name__)

# A cause may have 32,768 characters.
_MAX_DETAIL: Final = 500


def crashed_files(documents: Documents) -> CrashedFiles:
    """Return what earlier runs have recorded. A document that cannot be read stops no batch."""
    try:
        text = documents.text(CRASHED_FILES)
        return CrashedFiles() if text is None else CrashedFiles.from_json(text)
    except DocumentError as error:
        log.warning(
            "unreadable, is written again", extra={"key": CRASHED_FILES, "cause": str(error)}
        )
        return CrashedFiles()


def isolate_crash(
    run_id: str, cause: str, *, documents: Documents, landing: LandingFolder, now: datetime
) -> dict[str, Any]:
    """Record the files of a run whose container has crashed; quarantine the culprit once found.

    Then the run's verdict rejects that file with the cause as its detail. Repeating it is harmless.
    """
    manifest = documents.manifest(run_id)
    files = () if manifest is None else landing.remaining(manifest.files)
    # A rebuild or a recompute has claimed no file of the landing folder.
    if manifest is None or not files:
        return {"files": 0, "quarantined": None}
    crashed = crashed_files(documents).after_crash(run_id, files, now)
    culprit = crashed.culprit(files)
    if culprit is not None:
        documents.write_verdict(
            _rejection(culprit, manifest, documents.verdict(run_id), cause, now)
        )
        landing.move(run_id, [(culprit, RunKeys(run_id).quarantined_file(culprit.name))])
        crashed = crashed.without(culprit)
    documents.write_text(CRASHED_FILES, crashed.to_json())
    found = None if culprit is None else culprit.key
    log.warning("run crashed", extra={"run_id": run_id, "files": len(files), "quarantined": found})
    return {"files": len(files), "quarantined": found}


def record_success(manifest: Manifest, documents: Documents) -> None:
    """Take the files of a run that has succeeded out of those that have crashed."""
    crashed = crashed_files(documents)
    if crashed.groups:
        left = crashed.after_success(manifest.files)
        documents.write_text(CRASHED_FILES, left.to_json())


def _rejection(
    file: FileVersion, manifest: Manifest, verdict: Verdict | None, cause: str, now: datetime
) -> Verdict:
    """Return the verdict that rejects a file; ``verdict`` is the validator's, if it got so far."""
    read = (
        next((found for found in verdict.files if found.key == file.key), None) if verdict else None
    )
    rows = 0 if read is None else read.rows
    rejected = FileVerdict(
        key=file.key,
        name=file.name,
        sha256=None if read is None else read.sha256,
        dataset=file.dataset,
        status="rejected",
        reason=CRASH,
        detail=f"every run with this file alone crashed: {cause}"[:_MAX_DETAIL],
        rows=rows,
        accepted_rows=0,
        quarantined_rows=rows,
        held_rows=0,
        reasons={},
    )
    totals = Totals(
        files=1,
        rejected_files=1,
        rows=rows,
        accepted_rows=0,
        quarantined_rows=rows,
        held_rows=0,
    )
    if verdict is not None:
        return replace(
            verdict, outcome="all_rejected", totals=totals, files=(rejected,), accepted={}, held={}
        )
    return Verdict(
        run_id=manifest.run_id,
        outcome="all_rejected",
        created_at=now,
        totals=totals,
        files=(rejected,),
        warnings=(),
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )
