"""Where every claimed version ends: quarantine/ if its file was rejected, else processed/.

``quarantine_rejected`` runs after the validator and moves the rejected files out of the landing
folder (the validator has only copied them). ``finish_run`` runs after the transformer, moves the
rest and releases the lock. A failed run moves nothing more: what it claimed is still in the landing
folder and belongs to the next run.
"""

import logging
from datetime import datetime
from typing import Any

from contract.keys import PRODUCTS_ACCEPTED, QUARANTINE, RunKeys
from contract.manifest import FileVersion, Manifest
from contract.typed_json import DocumentError
from contract.verdict import Verdict

from ..aws.documents import Documents
from ..aws.landing_folder import LandingFolder
from ..aws.run_lock import RunLock
from ..runs.recorder import RunRecorder
from .isolate_crash import record_success

log = logging.getLogger(__name__)


class VerdictError(RuntimeError):
    """The validator exited with 0 but left no verdict that can be used."""


class AllFilesRejected(RuntimeError):  # noqa: N818 - the error's name in the state machine and in messages
    """No row of the run was accepted, and its files are in quarantine: the run has failed."""


def quarantine_rejected(
    run_id: str, *, documents: Documents, landing: LandingFolder
) -> dict[str, Any]:
    """Move the files that the verdict rejects to quarantine/.

    Raises:
        AllFilesRejected: no row was accepted. Duplicates are in processed/ then.
        VerdictError: there is no verdict that can be used.
    """
    manifest, verdict = _manifest(run_id, documents), _verdict(run_id, documents)
    all_rejected = verdict.outcome == "all_rejected"
    moved = landing.move(
        run_id,
        (
            (file, to)
            for file, to in _destinations(manifest, verdict, landing.prefix)
            if all_rejected or to.startswith(QUARANTINE)
        ),
    )
    log.info(
        "rejected files moved",
        extra={"run_id": run_id, "outcome": verdict.outcome, "files_moved": moved},
    )
    if all_rejected:
        rejected = verdict.totals.rejected_files
        raise AllFilesRejected(f"No row was accepted; {rejected} files were rejected")
    return {"outcome": verdict.outcome, "files_moved": moved}


def finish_run(
    run_id: str,
    *,
    documents: Documents,
    landing: LandingFolder,
    lock: RunLock,
    recorder: RunRecorder,
    now: datetime,
) -> dict[str, Any]:
    """Move the remaining files of a run that has succeeded, and release its lock.

    A run that had nothing to do has claimed nothing and so has no manifest. No other run gets here
    without one, because the containers read it.
    """
    manifest = documents.manifest(run_id)
    moved = 0
    # A recompute has read no files and has no verdict.
    if manifest is not None and manifest.task != "recompute":
        verdict = _verdict(run_id, documents)
        moved = _move_remaining(manifest, verdict, documents, landing)
        if any(file.dataset == "products" and file.status == "accepted" for file in verdict.files):
            documents.write(PRODUCTS_ACCEPTED, {"run_id": run_id, "at": now.isoformat()})
        record_success(manifest, documents)
    released = _release(run_id, lock)
    recorder.record_end(run_id, "SUCCEEDED")
    return {"files_moved": moved, "released": released}


def release_lock(
    run_id: str, cause: str | None = None, *, lock: RunLock, recorder: RunRecorder
) -> dict[str, Any]:
    """Release the lock of a run that has failed for that cause, unless another run has it."""
    released = _release(run_id, lock)
    recorder.record_end(run_id, "FAILED", cause)
    return {"released": released}


def _release(run_id: str, lock: RunLock) -> bool:
    released = lock.release(run_id)
    log.info("lock released", extra={"run_id": run_id, "was_ours": released})
    return released


def _move_remaining(
    manifest: Manifest, verdict: Verdict, documents: Documents, landing: LandingFolder
) -> int:
    remaining = set(landing.remaining(manifest.files))
    if remaining:
        documents.keep_manifest(manifest)
    destinations = _destinations(manifest, verdict, landing.prefix)
    moves = ((file, to) for file, to in destinations if file in remaining)
    return landing.move(manifest.run_id, moves)


def _manifest(run_id: str, documents: Documents) -> Manifest:
    manifest = documents.manifest(run_id)
    if manifest is None:
        raise VerdictError(
            f"{RunKeys(run_id).manifest} is gone: restore it from its earlier version"
        )
    return manifest


def _verdict(run_id: str, documents: Documents) -> Verdict:
    key = RunKeys(run_id).verdict
    try:
        verdict = documents.verdict(run_id)
    except DocumentError as error:
        raise VerdictError(
            f"{key} cannot be read, {error}: deploy the functions and the images of one release"
        ) from error
    if verdict is None:
        raise VerdictError(
            f"{key} does not exist although the validator exited with 0: read the validator's log"
        )
    if verdict.run_id != run_id:
        raise VerdictError(f"{key} is the verdict of run {verdict.run_id}: validate this run again")
    return verdict


def _destinations(
    manifest: Manifest, verdict: Verdict, landing_prefix: str
) -> list[tuple[FileVersion, str]]:
    """Return where each version of the landing folder belongs.

    A duplicate has been processed: it counts once. What a run has read again from processed/ stays
    there, rejected or not, because KPIs were made of it once.
    """
    keys = RunKeys(manifest.run_id)
    rejected = {file.key for file in verdict.rejected}
    return [
        (
            file,
            keys.quarantined_file(file.name) if file.key in rejected else keys.processed(file.name),
        )
        for file in manifest.files
        if file.key.startswith(landing_prefix)
    ]
