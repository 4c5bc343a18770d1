"""The first state of the machine: the run claims its files, or waits.

A run that the trigger started has a manifest and the lock already. A run that a person started
has neither: it waits for the lock, and a batch below the thresholds waits for more files. Both
waits end ``force_after`` after its start. A replay, a recompute and a rebuild have no thresholds:
they start as soon as they have the lock.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.keys import PROCESSED
from contract.manifest import FileVersion, Manifest

from ..aws.documents import Documents
from ..aws.landing_folder import LandingFolder
from ..aws.processed_folder import ProcessedFolder
from ..aws.run_lock import RunLock
from ..runs.recorder import RunRecorder
from ..settings import Settings
from .run_request import Batch, ClaimError, Rebuild, Recompute, Replay, Request
from .start_batch import Counts, execution_input, products_accepted, select_batch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    landing: LandingFolder
    processed: ProcessedFolder
    lock: RunLock
    documents: Documents
    recorder: RunRecorder
    settings: Settings
    clock: Callable[[], datetime]

    def claim_or_wait(self, request: Request) -> dict[str, Any]:
        """Return the run's input, with ``met`` true once its files are claimed.

        Raises ClaimError when the wait is over and there is nothing to claim.
        """
        claimed = self._claim_or_wait(request)
        counted = {name: claimed[name] for name in ("met", *Counts().as_input())}
        log.info("counted", extra={"run_id": request.run_id, **counted})
        return claimed

    def _claim_or_wait(self, request: Request) -> dict[str, Any]:
        now = self.clock()
        over = now >= request.started_at + self.settings.force_after
        if self.lock.ensure(request.run_id, now) is None:
            if over:
                raise ClaimError(
                    f"{request.run_id}: another run has held the lock since "
                    f"{request.started_at:%H:%M} UTC; start again when it has ended"
                )
            return _not_yet(request, Counts())
        manifest = self.documents.manifest(request.run_id)
        if manifest is None:
            manifest = self._claim(request, over=over)
        if manifest is None:
            return _not_yet(request, Counts.of(self.landing.list().files))
        self.recorder.record_claim(manifest, request.started_at)
        return {
            **execution_input(manifest),
            "bytes": sum(file.size for file in manifest.files),
            "met": True,
        }

    def _claim(self, request: Request, *, over: bool) -> Manifest | None:
        match request.order:
            case Batch() as batch:
                manifest = self._claim_batch(request, batch, over=over)
            case Replay() as replay:
                manifest = self._claim_replay(request, replay)
            case Recompute() as recompute:
                manifest = self._claim_dates(request, recompute)
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
        landed = self.landing.list().files
        settings = self.settings
        products_known = products_accepted(self.documents)
        files = tuple(file for file in landed if file.key in batch.keys)
        missing = sorted(set(batch.keys) - {file.key for file in files})
        if missing and (over or request.forced):
            raise ClaimError(
                f"{missing[0]} and {len(missing) - 1} more are not in {settings.prefix}: "
                "upload them, or start without naming them"
            )
        met = Counts.of(files).meet(settings, products_known=products_known)
        if not met and not request.forced:
            # Below the thresholds, the other files that have landed join the batch.
            files = landed
            met = Counts.of(files).meet(settings, products_known=products_known)
        if not met and not request.forced and not over:
            return None
        if not files:
            raise ClaimError(
                f"{request.run_id}: nothing to process in {settings.prefix}; "
                "upload the files, then start again"
            )
        return self._manifest(
            request, files=select_batch(files, settings.max_batch_files), forced=not met
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
        files = self._files_of(earlier)
        if not files:
            raise ClaimError(
                f"run {replay.run_id} has nothing in {self.settings.prefix} or {PROCESSED}: "
                "a later run has taken its files, or they are in quarantine/; correct those and "
                "deliver them again"
            )
        return self._manifest(request, files=files)

    def _files_of(self, earlier: Manifest) -> tuple[FileVersion, ...]:
        """Return where an earlier run's files are now, in the order of their keys.

        The files of a run that succeeded are in processed/. Those of a failed run are in the
        landing folder, where a correction may have replaced them. Files that the earlier run itself
        read from processed/ are still there.
        """
        landing = self.settings.prefix
        again = [file for file in earlier.files if not file.key.startswith(landing)]
        done = self.processed.of_run(earlier.run_id)
        if done:
            names = {file.name for file in done}
            left = [
                file for file in self.landing.remaining(earlier.files) if file.name not in names
            ]
        else:
            keys = {file.key for file in earlier.files}
            left = [file for file in self.landing.list().files if file.key in keys]
        return tuple(sorted((*again, *done, *left), key=lambda file: file.key))

    def _claim_dates(self, request: Request, dates: Recompute) -> Manifest:
        return self._manifest(request, task="recompute", start=dates.start, end=dates.end)

    def _claim_everything(self, request: Request) -> Manifest:
        files = self.processed.all()
        if not files:
            raise ClaimError(
                f"{request.run_id}: {PROCESSED} is empty, so there is nothing to rebuild "
                f"from; upload files to {self.settings.prefix} first"
            )
        return self._manifest(request, task="rebuild", files=files)

    def _manifest(self, request: Request, **claimed: Any) -> Manifest:
        return Manifest(
            **{
                "run_id": request.run_id,
                "bucket": self.settings.bucket,
                "created_at": self.clock(),
                "forced": request.forced,
                "files": (),
                **claimed,
            }
        )


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
