"""The first state of the machine: the run claims its files, or waits.

A run that the trigger started has a manifest and the lock already. A run that a person started
has neither: it waits in line for the lock, and a batch below the thresholds waits for more files,
until ``force_after`` from its start. A replay, a recompute and a rebuild have no thresholds: they
start as soon as they have the lock. A run that an upload started does not wait for the lock,
because the end of the run that has it starts another check.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contract.keys import PROCESSED
from contract.manifest import FileVersion, Manifest

from ..aws.documents import Documents
from ..aws.landing_folder import LandingFolder
from ..aws.processed_folder import ProcessedFolder
from ..aws.run_lock import RunLock
from ..aws.run_table import RunTable
from ..aws.waiting_runs import WaitingRun
from ..runs.recorder import RunRecorder
from ..settings import Settings
from .isolate_crash import crashed_files
from .run_request import Batch, ClaimError, Landed, Rebuild, Recompute, Replay, Request
from .start_batch import Counts, execution_input, products_accepted, select_batch
from .upload_events import Ignored
from .waiting_line import WaitingLine

log = logging.getLogger(__name__)

# The latest runs, in which a named file that is not in the landing folder is looked for.
_LOOK_BACK: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    landing: LandingFolder
    processed: ProcessedFolder
    lock: RunLock
    line: WaitingLine
    runs: RunTable
    documents: Documents
    recorder: RunRecorder
    settings: Settings
    clock: Callable[[], datetime]

    def claim_or_wait(self, request: Request) -> dict[str, Any]:
        """Return the run's input, with ``met`` true once its files are claimed.

        An answer with a ``decision`` ends the run well: there is nothing to do. Raises ClaimError
        when the wait is over and there is nothing to claim.
        """
        if isinstance(request.order, Ignored):
            return _ended(request, "ignored", request.order.reason)
        claimed = self._claim_or_wait(request)
        counted = {name: claimed.get(name) for name in ("met", *Counts().as_input())}
        log.info("counted", extra={"run_id": request.run_id, **counted})
        return claimed

    def _claim_or_wait(self, request: Request) -> dict[str, Any]:
        manifest = self.documents.manifest(request.run_id)
        if manifest is None and (processed := self._already_processed(request)):
            return processed
        if isinstance(request.order, Landed):
            if reason := self._nothing_to_do(request):
                return _ended(request, "ignored", reason)
        elif not self._has_turn(request, claimed=manifest is not None):
            return _not_yet(request, Counts())
        if manifest is None:
            over = self.clock() >= request.started_at + self.settings.force_after
            manifest = self._claim(request, over=over)
        if manifest is None:
            return _not_yet(request, Counts.of(self.landing.list().files))
        self.recorder.record_claim(manifest, request.started_at)
        return {
            **execution_input(manifest),
            "bytes": sum(file.size for file in manifest.files),
            "met": True,
        }

    def _has_turn(self, request: Request, *, claimed: bool) -> bool:
        if claimed and self.lock.is_of(request.run_id):
            return True
        return self.line.wait(WaitingRun(started_at=request.started_at, run_id=request.run_id))

    def _nothing_to_do(self, request: Request) -> str:
        """Return why a run that an upload started has nothing to do; empty if it has the lock."""
        if not self.lock.is_of(request.run_id):
            self.line.grant_next_turn()
            if self.lock.acquire(request.run_id, self.clock()) is None:
                return "another run has the lock; its end starts a new check"
        claimed = self.documents.manifest(request.run_id)
        if claimed is None and not self.landing.list().files:
            return "no file waits: an earlier run has taken them all"
        return ""

    def _already_processed(self, request: Request) -> dict[str, Any] | None:
        """Return how a run ends whose files have all been processed by one earlier run, else None.

        Raises ClaimError when an earlier run has taken a named file and the others are not with it,
        or has rejected it: the file does not come again.
        """
        if not isinstance(request.order, Batch) or not request.order.keys:
            return None
        keys = set(request.order.keys)
        missing = keys - {file.key for file in self.landing.list().files}
        if not missing:
            return None
        for record in self.runs.latest(_LOOK_BACK, now=self.clock()):
            run_id = record["run_id"]
            manifest = self.documents.manifest(run_id)
            names = {file.key: file.name for file in manifest.files} if manifest else {}
            if taken := missing & names.keys():
                processed = {file.name for file in self.processed.of_run(run_id)}
                if rejected := {key for key in taken if names[key] not in processed}:
                    raise ClaimError(
                        f"{_named(rejected)} in run {run_id}, rejected: correct what is in "
                        "quarantine/ and deliver it again"
                    )
                reason = (
                    f"{_named(taken)} in run {run_id}, processed: to process its files again, start"
                    f' with {{"replay_of": "{run_id}"}} or shopkpi replay {run_id} --wait'
                )
                if taken != keys:
                    raise ClaimError(reason)
                return {**_ended(request, "already_processed", reason), "processed_by": run_id}
        return None

    def _claim(self, request: Request, *, over: bool) -> Manifest | None:
        match request.order:
            case Batch() as batch:
                manifest = self._claim_batch(request, batch, over=over)
            case Replay() as replay:
                manifest = self._claim_replay(request, replay)
            case Recompute() as recompute:
                manifest = self._claim_dates(request, recompute)
            case Landed():
                manifest = self._claim_batch(request, Batch(), over=over)
            case Rebuild():
                manifest = self._claim_everything(request)
        if manifest is None:
            return None
        manifest = self.documents.write_manifest(manifest)
        log.info(
            "files claimed",
            extra={"run_id": request.run_id, "task": manifest.task, "files": len(manifest.files)},
        )
        return manifest

    def _claim_batch(self, request: Request, batch: Batch, *, over: bool) -> Manifest | None:
        listing = self.landing.list()
        settings = self.settings
        products_known = products_accepted(self.documents)
        files = tuple(file for file in listing.files if file.key in batch.keys)
        missing = set(batch.keys) - {file.key for file in files}
        met = Counts.of(files).meet(settings, products_known=products_known)
        if not met and not request.forced:
            # Below the thresholds, the other files that have landed join the batch.
            # Files that crash join only a batch that names them.
            others = crashed_files(self.documents).without_suspects(listing.files)
            files = tuple({*files, *others})
            met = Counts.of(files).meet(settings, products_known=products_known)
        if not met and not request.forced and not over:
            return None
        if missing:
            raise ClaimError(
                f"{_named(missing)} not in {settings.prefix}: "
                "upload what is missing, or start without naming it"
            )
        if not files:
            raise ClaimError(
                f"{request.run_id}: nothing to process in {settings.prefix}; "
                "upload the files, then start again"
            )
        return self._manifest(
            request,
            files=select_batch(files, settings.max_batch_files),
            not_recognised=listing.not_recognised,
            mappings=listing.mappings,
            forced=not met,
        )

    def _claim_replay(self, request: Request, replay: Replay) -> Manifest:
        earlier = self.documents.manifest(replay.run_id)
        if earlier is None:
            raise ClaimError(
                f"run {replay.run_id} has no manifest, so there is nothing to replay: "
                'start with {"files": […]} instead'
            )
        if earlier.start is not None and earlier.end is not None:
            return self._claim_dates(request, Recompute(start=earlier.start, end=earlier.end))
        if earlier.task == "rebuild":
            return self._claim_everything(request)
        files, mappings = self._files_of(earlier)
        if not files:
            raise ClaimError(
                f"run {replay.run_id} has nothing in {self.settings.prefix} or {PROCESSED}: "
                "a later run has taken its files, or they are in quarantine/; correct those and "
                "deliver them again"
            )
        return self._manifest(request, files=files, mappings=mappings)

    def _files_of(self, earlier: Manifest) -> tuple[tuple[FileVersion, ...], Mapping[str, str]]:
        """Return where an earlier run's files are now, in the order of their keys, and mappings.

        The files of a run that succeeded are in processed/. Those of a failed run are in the
        landing folder, where a correction may have replaced them. Files that the earlier run itself
        read from processed/ are still there. A processed file keeps its mapping; one in the landing
        folder, which no KPI has counted, gets the present one.
        """
        landing, listing = self.settings.prefix, self.landing.list()
        again = [file for file in earlier.files if not file.key.startswith(landing)]
        done = self.processed.of_run(earlier.run_id)
        if done:
            names = {file.name for file in done}
            left = [
                file for file in self.landing.remaining(earlier.files) if file.name not in names
            ]
        else:
            keys = {file.key for file in earlier.files}
            left = [file for file in listing.files if file.key in keys]
        files = tuple(sorted((*again, *done, *left), key=lambda file: file.key))
        return files, {**earlier.mappings, **listing.mappings}

    def _claim_dates(self, request: Request, dates: Recompute) -> Manifest:
        return self._manifest(request, task="recompute", start=dates.start, end=dates.end)

    def _claim_everything(self, request: Request) -> Manifest:
        files, mappings = self.processed.all()
        if not files:
            raise ClaimError(
                f"{request.run_id}: {PROCESSED} is empty, so there is nothing to rebuild "
                f"from; upload files to {self.settings.prefix} first"
            )
        return self._manifest(request, task="rebuild", files=files, mappings=mappings)

    def _manifest(self, request: Request, **claimed: Any) -> Manifest:
        used = {file.mapping for file in claimed.get("files", ())}
        texts = claimed.pop("mappings", {})
        mappings = {key: text for key, text in texts.items() if key in used}
        return Manifest(
            **{
                "run_id": request.run_id,
                "bucket": self.settings.bucket,
                "created_at": self.clock(),
                "forced": request.forced,
                "files": (),
                "mappings": mappings,
                **claimed,
            }
        )


def _named(keys: Collection[str]) -> str:
    first, *others = sorted(keys)
    return f"{first} and {len(others)} more are" if others else f"{first} is"


def _ended(request: Request, decision: str, reason: str) -> dict[str, Any]:
    """Return the answer that ends a run well without any work."""
    answer = {"run_id": request.run_id, "decision": decision, "reason": reason}
    log.info("nothing to do", extra=answer)
    return answer


def _not_yet(request: Request, counts: Counts) -> dict[str, Any]:
    return {
        "run_id": request.run_id,
        "manifest": "",
        "task": "process",
        **counts.as_input(),
        "files": list(request.order.keys) if isinstance(request.order, Batch) else [],
        "forced": request.forced,
        "bytes": 0,
        "met": False,
    }
