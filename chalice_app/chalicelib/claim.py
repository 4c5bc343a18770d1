"""What the state machine's first state calls: count, and make sure that the run has its claim.

A run that the trigger started has a manifest and the lock already, and this only says
so. A run that a person started has neither: it waits for the lock and the thresholds
(both bounded by ``force_after`` from its start), then claims the files it was given, or
what has landed. A replay claims whatever an earlier run left in the landing folder.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from .executions import Executions
from .incoming import Incoming, Listing
from .lock import RunLock
from .manifest import FileVersion, Manifest
from .settings import Settings
from .trigger import (
    Counts,
    execution_input,
    products_accepted,
    read_manifest,
    select_batch,
    write_manifest,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

log = logging.getLogger(__name__)


class ClaimError(RuntimeError):
    """The run cannot get what it was started with; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the machine sends: who it is, since when it runs, and the execution's own input."""

    run_id: str
    started_at: datetime
    files: tuple[str, ...]
    forced: bool
    replay_of: str | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Raise ClaimError when the execution's input is not what a run is started with."""
        given = document.get("input") or {}
        files = given.get("files", []) if isinstance(given, Mapping) else None
        if not isinstance(files, list) or not all(isinstance(key, str) for key in files):
            raise ClaimError(
                f'input is {given!r}: start the machine with {{"files": ["incoming/orders_1.csv"]}}'
            )
        return cls(
            run_id=str(document["execution"]).rsplit(":", 1)[-1],
            started_at=datetime.fromisoformat(str(document["started_at"])).astimezone(UTC),
            files=tuple(files),
            forced=given.get("forced") is True,
            replay_of=given.get("replay_of"),
        )


class Claim:
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

    def recount(self, request: Request) -> dict[str, Any]:
        """Return the run's input, with ``met`` true once its files are claimed.

        Raises ClaimError when the wait is over and there is nothing to claim.
        """
        now = self._clock()
        over = now >= request.started_at + self._settings.force_after
        if self._lock.ensure(request.run_id, now) is None:
            if over:
                raise ClaimError(
                    f"{request.run_id}: another run has held the lock since "
                    f"{request.started_at:%H:%M} UTC; start again when it has ended"
                )
            return _not_yet(request, Counts())
        manifest = read_manifest(self._s3, self._settings.bucket, request.run_id)
        if manifest is None:
            manifest = self._claim(request, now, over=over)
        if manifest is None:
            return _not_yet(request, Counts.of(self._incoming.list().files))
        return {
            **execution_input(manifest),
            "bytes": sum(file.size for file in manifest.files),
            "met": True,
        }

    def _claim(self, request: Request, now: datetime, *, over: bool) -> Manifest | None:
        listing = self._incoming.list()
        products_known = products_accepted(self._s3, self._settings)
        files = self._named(request, listing, over=over)
        met = Counts.of(files).meet(self._settings, products_known=products_known)
        if not met and not request.forced:
            # What was asked for is no whole batch: what else has landed joins it.
            files = listing.files
            met = Counts.of(files).meet(self._settings, products_known=products_known)
        if not met and not request.forced and not over:
            return None
        if not files:
            raise ClaimError(
                f"{request.run_id}: nothing to process in {self._settings.prefix}; "
                "upload the files, then start again"
            )
        manifest = Manifest(
            run_id=request.run_id,
            bucket=self._settings.bucket,
            created_at=now,
            forced=not met,
            files=select_batch(files, self._settings.max_batch_files),
        )
        manifest = write_manifest(self._s3, manifest)
        log.info("files claimed", extra={"run_id": request.run_id, "files": len(manifest.files)})
        return manifest

    def _named(self, request: Request, listing: Listing, *, over: bool) -> tuple[FileVersion, ...]:
        """Return the files that the request names and that are there."""
        if request.replay_of:
            earlier = read_manifest(self._s3, self._settings.bucket, request.replay_of)
            if earlier is None:
                raise ClaimError(
                    f"run {request.replay_of} has no manifest, so there is nothing to replay: "
                    'start with {"files": […]} instead'
                )
            wanted = {file.key for file in earlier.files}
        else:
            wanted = set(request.files)
        there = tuple(file for file in listing.files if file.key in wanted)
        missing = sorted(wanted - {file.key for file in there})
        if missing and not request.replay_of and (over or request.forced):
            raise ClaimError(
                f"{missing[0]} and {len(missing) - 1} more are not in {self._settings.prefix}: "
                "upload them, or start without naming them"
            )
        return there


def _not_yet(request: Request, counts: Counts) -> dict[str, Any]:
    return {
        "run_id": request.run_id,
        "manifest": "",
        **counts.as_input(),
        "files": list(request.files),
        "forced": request.forced,
        "bytes": 0,
        "met": False,
    }
