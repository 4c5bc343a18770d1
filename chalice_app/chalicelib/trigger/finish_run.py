"""Where every claimed version ends: quarantine/ if its file was rejected, else processed/.

``judge`` runs after the validator and takes the rejected files out of the landing folder
(the validator has only copied them); ``finish`` runs after the transformer, takes out
whatever it has left behind and gives the lock back. A failed run moves nothing more: what it
had claimed lies in the landing folder still and belongs to the next run.
"""

import logging
from typing import Any

from contract.keys import PRODUCTS_ACCEPTED, QUARANTINE, RunKeys
from contract.manifest import FileVersion, Manifest

from ..deployment import Deployment

log = logging.getLogger(__name__)


class VerdictError(RuntimeError):
    """The validator ended well but left no verdict that can be used."""


class Settlement:
    def __init__(self, deployment: Deployment) -> None:
        self._at = deployment

    def judge(self, run_id: str) -> dict[str, Any]:
        """Return the verdict in short, once the files it rejects are in quarantine.

        In full it may exceed the 256 KiB that the machine's state can hold.
        """
        manifest, verdict = self._manifest(run_id), self._verdict(run_id)
        done = verdict["outcome"] == "all_rejected"
        moved = self._at.incoming.move(
            run_id,
            (
                (file, to)
                for file, to in self._destinations(manifest, verdict)
                if done or to.startswith(QUARANTINE)
            ),
        )
        log.info(
            "verdict read",
            extra={"run_id": run_id, "outcome": verdict["outcome"], "files_moved": moved},
        )
        return {"outcome": verdict["outcome"], "totals": verdict["totals"]}

    def finish(self, run_id: str) -> dict[str, Any]:
        """Settle what is left of a run that has succeeded, and give the lock back."""
        manifest = self._manifest(run_id)
        # A recompute has read no files, so nobody has judged any.
        moved = 0 if manifest.task == "recompute" else self._take_in(manifest)
        released = self._release(run_id)
        self._at.recorder.record_end(run_id, "SUCCEEDED")
        return {"files_moved": moved, "released": released}

    def release(self, run_id: str, cause: str | None = None) -> dict[str, Any]:
        """Give the lock back if it is still this run's; the run has failed, for that cause."""
        released = self._release(run_id)
        self._at.recorder.record_end(run_id, "FAILED", cause)
        return {"released": released}

    def _release(self, run_id: str) -> bool:
        released = self._at.lock.release(run_id)
        log.info("lock released", extra={"run_id": run_id, "was_ours": released})
        return released

    def _take_in(self, manifest: Manifest) -> int:
        verdict = self._verdict(manifest.run_id)
        left = set(self._at.incoming.remaining(manifest.files))
        if left:
            self._at.documents.keep_manifest(manifest)
        moved = self._at.incoming.move(
            manifest.run_id,
            ((file, to) for file, to in self._destinations(manifest, verdict) if file in left),
        )
        if any(
            file["dataset"] == "products" and file["status"] == "accepted"
            for file in verdict["files"]
        ):
            self._at.documents.write(
                PRODUCTS_ACCEPTED,
                {"run_id": manifest.run_id, "at": self._at.clock().isoformat()},
            )
        return moved

    def _manifest(self, run_id: str) -> Manifest:
        manifest = self._at.documents.manifest(run_id)
        if manifest is None:
            raise VerdictError(
                f"{RunKeys(run_id).manifest} is gone: restore it from its earlier version"
            )
        return manifest

    def _verdict(self, run_id: str) -> dict[str, Any]:
        key = RunKeys(run_id).verdict
        verdict: dict[str, Any] | None = self._at.documents.read(key)
        if verdict is None:
            raise VerdictError(
                f"{key} does not exist although the validator exited with 0: "
                "look into the validator's log"
            )
        if verdict.get("run_id") != run_id:
            raise VerdictError(
                f"{key} is the verdict of run {verdict.get('run_id')}: validate this run again"
            )
        return verdict

    def _destinations(
        self, manifest: Manifest, verdict: dict[str, Any]
    ) -> list[tuple[FileVersion, str]]:
        """Return where each version of the landing folder belongs.

        A duplicate has been processed: it counts once. What a run has read again from
        processed/ stays there, rejected or not, because KPIs were made of it once.
        """
        keys = RunKeys(manifest.run_id)
        rejected = {file["key"] for file in verdict["files"] if file["status"] == "rejected"}
        return [
            (
                file,
                keys.quarantined_file(file.name)
                if file.key in rejected
                else keys.processed(file.name),
            )
            for file in manifest.files
            if file.key.startswith(self._at.settings.prefix)
        ]
