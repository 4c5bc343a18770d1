"""Where every claimed version ends: quarantine/ if its file was rejected, else processed/.

``judge`` runs after the validator and takes the rejected files out of the landing folder
(the validator has only copied them); ``finish`` runs after the transformer, takes out
whatever it has left behind and gives the lock back. A failed run moves nothing more: what it
had claimed lies in the landing folder still and belongs to the next run.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from .executions import Executions, error_code
from .incoming import Incoming
from .landing import PRODUCTS_ACCEPTED, RunKeys
from .lock import RunLock
from .manifest import FileVersion, Manifest
from .settings import Settings
from .trigger import read_manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

log = logging.getLogger(__name__)

# The machine's state may hold 256 KiB, a verdict on 500 files can be larger: the machine
# gets the outcome, the totals and the first rejected files; the verdict keeps all.
_REPORTED_FILES: Final = 20


class VerdictError(RuntimeError):
    """The validator ended well but left no verdict that can be used."""


class Settlement:
    def __init__(
        self,
        s3: "S3Client",
        sfn: "SFNClient",
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._s3 = s3
        self._settings = settings
        self._clock = clock
        self._incoming = Incoming(s3, settings)
        self._lock = RunLock(s3, Executions(sfn, settings), settings)

    def judge(self, run_id: str) -> dict[str, Any]:
        """Return the verdict in short, once the files it rejects are in quarantine."""
        manifest, verdict = self._manifest(run_id), self._verdict(run_id)
        rejected = [file for file in verdict["files"] if file["status"] == "rejected"]
        done = verdict["outcome"] == "all_rejected"
        moved = self._incoming.move(
            (file, to)
            for file, to in _destinations(manifest, verdict)
            if done or to.startswith("quarantine/")
        )
        log.info(
            "verdict read",
            extra={"run_id": run_id, "outcome": verdict["outcome"], "files_moved": moved},
        )
        return {
            "outcome": verdict["outcome"],
            "totals": verdict["totals"],
            "rejected_files": len(rejected),
            "rejected": [
                {"name": file["name"], "reason": file["reason"], "detail": file["detail"]}
                for file in rejected[:_REPORTED_FILES]
            ],
        }

    def finish(self, run_id: str) -> dict[str, Any]:
        """Settle what is left of a run that has succeeded, and give the lock back."""
        manifest, verdict = self._manifest(run_id), self._verdict(run_id)
        left = set(self._incoming.remaining(manifest.files))
        moved = self._incoming.move(
            (file, to) for file, to in _destinations(manifest, verdict) if file in left
        )
        if any(
            file["dataset"] == "products" and file["status"] == "accepted"
            for file in verdict["files"]
        ):
            self._s3.put_object(
                Bucket=self._settings.bucket,
                Key=PRODUCTS_ACCEPTED,
                Body=json.dumps({"run_id": run_id, "at": self._clock().isoformat()}).encode(),
                ContentType="application/json",
            )
        return {"files_moved": moved, **self.release(run_id)}

    def release(self, run_id: str) -> dict[str, Any]:
        """Give the lock back if it is still this run's."""
        released = self._lock.release(run_id)
        log.info("lock released", extra={"run_id": run_id, "was_ours": released})
        return {"released": released}

    def _manifest(self, run_id: str) -> Manifest:
        manifest = read_manifest(self._s3, self._settings.bucket, run_id)
        if manifest is None:
            raise VerdictError(
                f"{RunKeys(run_id).manifest} is gone: restore it from its earlier version"
            )
        return manifest

    def _verdict(self, run_id: str) -> dict[str, Any]:
        key = RunKeys(run_id).verdict
        try:
            body = self._s3.get_object(Bucket=self._settings.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "404"}:
                raise VerdictError(
                    f"{key} does not exist although the validator exited with 0: "
                    "look into the validator's log"
                ) from error
            raise
        verdict: dict[str, Any] = json.loads(body)
        if verdict.get("run_id") != run_id:
            raise VerdictError(
                f"{key} is the verdict of run {verdict.get('run_id')}: validate this run again"
            )
        return verdict


def _destinations(manifest: Manifest, verdict: dict[str, Any]) -> list[tuple[FileVersion, str]]:
    """Return where each claimed version belongs. A duplicate has been processed: it counts once."""
    keys = RunKeys(manifest.run_id)
    rejected = {file["key"] for file in verdict["files"] if file["status"] == "rejected"}
    return [
        (
            file,
            keys.quarantined_file(file.name) if file.key in rejected else keys.processed(file.name),
        )
        for file in manifest.files
    ]
