"""When a batch starts: a pure decision, and the code that applies it.

``decide`` depends on the listing, the lock, the clock and the settings only. ``Trigger.check``
gathers those, takes the lock, decides again on what it lists *under* the lock, writes that into a
manifest and starts the execution. Every event (an upload, the schedule, the end of an execution)
runs the same check.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from contract.keys import PRODUCTS_ACCEPTED, RunKeys
from contract.manifest import FileVersion, Manifest

from ..aws.documents import Documents
from ..aws.executions import Executions
from ..aws.landing_folder import LandingFolder, Listing
from ..aws.run_lock import Lock, RunLock
from ..runs import metrics
from ..runs.recorder import RunRecorder
from ..settings import Settings
from .crashed_files import CrashedFiles
from .isolate_crash import crashed_files
from .waiting_line import WaitingLine

log = logging.getLogger(__name__)

NO_CRASHES: Final = CrashedFiles()
# The input of an execution and of each state holds 256 KiB. Keys have up to 1,024 bytes, so a limit
# on their number alone does not bound the input.
MAX_BATCH_KEY_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Files per dataset."""

    orders: int = 0
    items: int = 0
    products: int = 0

    @classmethod
    def of(cls, files: Iterable[FileVersion]) -> "Counts":
        found = Counter(file.dataset for file in files)
        return cls(orders=found["orders"], items=found["order_items"], products=found["products"])

    def meet(self, settings: Settings, *, products_known: bool) -> bool:
        """``products_known``: an earlier run has accepted a products file, which counts."""
        return (
            self.orders >= settings.min_order_files
            and self.items >= settings.min_item_files
            and (self.products >= settings.min_product_files or products_known)
        )

    def as_input(self) -> dict[str, int]:
        return {
            "orders_count": self.orders,
            "items_count": self.items,
            "products_count": self.products,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Since when files wait; ``rest_of`` is the run whose capped batch left them."""

    since: datetime
    rest_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """No batch starts. ``since`` is None when no file waits."""

    counts: Counts
    since: datetime | None = None
    reason: str = "below the thresholds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Another run has the lock; its end starts the next check."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A batch: the oldest files, at most ``max_batch_files``. ``left`` wait for the next.

    ``not_recognised`` are in the landing folder, too; ``mappings`` are those of the files by id.
    ``suspected``: the files have crashed twice.
    """

    files: tuple[FileVersion, ...]
    not_recognised: tuple[FileVersion, ...] = ()
    mappings: Mapping[str, str] = field(default_factory=dict)
    forced: bool
    left: int
    suspected: bool = False
    run_id: str = field(default="")


Decision = Wait | Busy | Start


def decide(
    listing: Listing,
    lock: Lock | None,
    now: datetime,
    settings: Settings,
    *,
    waiting: Waiting | None = None,
    products_known: bool = False,
    crashed: CrashedFiles = NO_CRASHES,
) -> Decision:
    """Decide whether a batch starts.

    ``lock`` is None when it is free or stale. Thresholds are counted over the whole folder; the cap
    is applied afterwards. Files that have crashed twice are batches of their own, which start while
    no other does.
    """
    files = crashed.without_suspects(listing.files)
    counts = Counts.of(files)
    if not listing.files:
        return Wait(counts=counts, reason="nothing has landed")
    if lock is not None:
        return Busy(run_id=lock.run_id)
    since = min((file.landed_at for file in files), default=None)
    met = counts.meet(settings, products_known=products_known)
    due = since is not None and (
        since + settings.force_after <= now or (waiting is not None and waiting.rest_of is not None)
    )
    batch, suspected = select_batch(files, settings.max_batch_files), False
    if not met and not due:
        # Five minutes, if files wait for at most thirty.
        batch = crashed.suspects_batch(listing.files, now, first_pause=settings.force_after / 6)
        suspected = True
    if not batch and files:
        return Wait(counts=counts, since=since)
    if not batch:
        return Wait(counts=counts, reason="files that crash wait for their next try")
    return Start(
        files=batch,
        not_recognised=listing.not_recognised,
        mappings=listing.mappings,
        forced=suspected or not met,
        left=0 if suspected else len(files) - len(batch),
        suspected=suspected,
    )


def select_batch(files: Iterable[FileVersion], cap: int) -> tuple[FileVersion, ...]:
    """Return the files that have waited longest, in the order of their keys."""
    batch: list[FileVersion] = []
    size = 0
    for file in sorted(files, key=lambda file: (file.landed_at, file.key)):
        size += len(json.dumps(file.key)) + 1
        if len(batch) == cap or (batch and size > MAX_BATCH_KEY_BYTES):
            break
        batch.append(file)
    return tuple(sorted(batch, key=lambda file: file.key))


def batch_id(files: Sequence[FileVersion]) -> str:
    """Return the id of the run of these versions, and of no others.

    It begins with the landing time of the latest file, so that ids sort by time.
    """
    identity = [[file.key, file.version_id, file.etag] for file in files]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    latest = max(file.landed_at for file in files)
    return f"{latest.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"


def execution_input(manifest: Manifest) -> dict[str, Any]:
    """Return the execution's input for a manifest.

    A rebuild claims more files than the 256 KiB of a state can name: it gets their counts.
    """
    rebuild = manifest.task == "rebuild"
    return {
        "run_id": manifest.run_id,
        "manifest": RunKeys(manifest.run_id).manifest,
        "task": manifest.task,
        **Counts.of(manifest.files).as_input(),
        "files": [] if rebuild else [file.key for file in manifest.files],
        "forced": manifest.forced,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Applies what ``decide`` returns."""

    landing: LandingFolder
    lock: RunLock
    line: WaitingLine
    documents: Documents
    executions: Executions
    recorder: RunRecorder
    settings: Settings
    clock: Callable[[], datetime]

    def check(self) -> Decision:
        """List the landing folder once, and start a batch if one is due."""
        decision = self._decide(holder=True)
        if isinstance(decision, Start):
            decision = self._start(decision)
        log.info("checked", extra=_fields(decision))
        return decision

    def execution_ended(self, run_id: str, status: str) -> Decision | None:
        """Release the lock of an ended run if it still has it, and check for the next batch.

        A run that waits for the lock gets it before a batch does.
        After a failure the schedule starts the next attempt, so that a batch that always fails is
        not retried at once.
        """
        released = self.lock.release(run_id)
        log.info("run ended", extra={"run_id": run_id, "status": status, "released": released})
        self.recorder.record_ended_execution(run_id)
        self.line.grant_next_turn()
        return self.check() if status == "SUCCEEDED" else None

    def tick(self) -> Decision:
        """Repair what lost events leave: a stale lock, a late batch, a run without its end."""
        self.lock.free_if_stale(self.clock())
        self.recorder.complete_records()
        self.line.grant_next_turn()
        return self.check()

    def _decide(self, *, holder: bool) -> Decision:
        listing = self.landing.list()
        others = listing.not_recognised
        if others:
            log.warning(
                "files that are not recognised are in the landing folder",
                extra={"keys": [file.key for file in others[:20]], "count": len(others)},
            )
        now = self.clock()
        if listing.files or others:
            waiting_now = metrics.of_waiting(listing.files, others, now, stage=self.settings.stage)
            log.info("files waiting", extra=waiting_now)
        counts = Counts.of(listing.files)
        waiting = self._read_waiting() if listing.has_waiting else None
        decision = decide(
            listing,
            self.lock.holder(now) if holder and listing.has_lock and listing.files else None,
            now,
            self.settings,
            waiting=waiting,
            products_known=bool(listing.files)
            and counts.products < self.settings.min_product_files
            and products_accepted(self.documents),
            crashed=crashed_files(self.documents) if listing.files else NO_CRASHES,
        )
        if isinstance(decision, Wait):
            self._write_waiting(
                waiting, None if decision.since is None else Waiting(since=decision.since)
            )
        return decision

    def _start(self, seen: Start) -> Decision:
        if waiting := self.line.grant_next_turn():
            return Busy(run_id=waiting)
        lock = self.lock.acquire(batch_id(seen.files), self.clock())
        if lock is None:
            return Busy(run_id="")
        started = False
        try:
            # Under the lock nothing else moves files out, so this listing is the exact one.
            decision = self._decide(holder=False)
            if not isinstance(decision, Start):
                return decision
            run_id = self._next_attempt(decision)
            if run_id is None:
                counts = Counts.of(decision.files)
                return Wait(counts=counts, reason="this batch has failed too often")
            manifest = self._freeze(run_id, decision)
            renewed = self.lock.renew(lock, run_id, self.clock())
            if renewed is None:
                return Busy(run_id="")
            lock = renewed
            self.executions.start(run_id, execution_input(manifest))
            started = True
            log.info("run started", extra={"run_id": run_id, "files": len(manifest.files)})
            return replace(decision, run_id=run_id)
        finally:
            if not started:
                self.lock.drop(lock)

    def _next_attempt(self, start: Start) -> str | None:
        """Return the first of name, name-2, name-3, … that has not run; None after the last.

        Suspects have no last attempt: their pauses become longer.
        """
        name = batch_id(start.files)
        last = None if start.suspected else self.settings.max_attempts
        for attempt in count(1) if last is None else range(1, last + 1):
            run_id = name if attempt == 1 else f"{name}-{attempt}"
            if self.executions.status(self.settings.execution_arn(run_id)) is None:
                return run_id
        log.error(
            "batch given up: move its files away, or replay it by hand",
            extra={"run_id": name, "attempts": last},
        )
        return None

    def _freeze(self, run_id: str, start: Start) -> Manifest:
        manifest = Manifest(
            run_id=run_id,
            bucket=self.settings.bucket,
            created_at=self.clock(),
            forced=start.forced,
            files=start.files,
            not_recognised=start.not_recognised,
            mappings=start.mappings,
        )
        manifest = self.documents.write_manifest(manifest)
        rest = Waiting(since=manifest.created_at, rest_of=run_id) if start.left else None
        self._write_waiting(self._read_waiting(), rest)
        return manifest

    def _read_waiting(self) -> Waiting | None:
        key = self.settings.waiting_key
        try:
            document = self.documents.read(key)
            if document is None:
                return None
            return Waiting(
                since=datetime.fromisoformat(document["since"]), rest_of=document["rest_of"]
            )
        except (KeyError, TypeError, ValueError):
            log.warning("unreadable, is written again", extra={"key": key})
            return None

    def _write_waiting(self, old: Waiting | None, new: Waiting | None) -> None:
        if new != old:
            document = new and {"since": new.since.isoformat(), "rest_of": new.rest_of}
            self.documents.replace(self.settings.waiting_key, document)


def products_accepted(documents: Documents) -> bool:
    """Return whether an earlier run has accepted a products file."""
    return documents.exists(PRODUCTS_ACCEPTED)


def _fields(decision: Decision) -> dict[str, Any]:
    match decision:
        case Start():
            return {
                "decision": "start",
                "run_id": decision.run_id,
                "files": len(decision.files),
                "left": decision.left,
                "forced": decision.forced,
            }
        case Busy():
            return {"decision": "busy", "run_id": decision.run_id}
        case Wait():
            return {
                "decision": "wait",
                "reason": decision.reason,
                "since": decision.since,
                **decision.counts.as_input(),
            }
