"""One run at a time: a lock that is an S3 object, written with conditional requests.

The object names its owner, an execution. It is created with ``If-None-Match: *`` and taken over or
deleted with ``If-Match``. So of any number of concurrent writers exactly one succeeds, and no run
removes the lock of another.

It is in the landing folder, whose versions every check lists. So each version is deleted as soon as
it is replaced or released: 288 runs a day would leave about 52,000 in 60 days.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..settings import Settings
from .bucket import Bucket, StoredObject
from .executions import Executions

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The content of the lock object. ``owner`` is an execution's ARN."""

    owner: str
    run_id: str
    acquired_at: datetime
    expires_at: datetime
    etag: str
    version_id: str | None = None

    def is_held(self, status: str | None, now: datetime) -> bool:
        """Return whether the lock is in force.

        ``status`` is that of the owner, None when there is no such execution (yet): its starter has
        until ``expires_at`` to start it. A running execution keeps its lock; the time-out of the
        state machine bounds how long it runs.
        """
        return status == "RUNNING" or (status is None and now < self.expires_at)


class RunLock:
    """The lock of one bucket."""

    def __init__(self, s3: "S3Client", executions: Executions, settings: Settings) -> None:
        self._bucket = Bucket(s3, settings.bucket)
        self._executions = executions
        self._settings = settings

    def read(self) -> Lock | None:
        found = self._bucket.get(self._settings.lock_key)
        return None if found is None else _parse(found)

    def holder(self, now: datetime) -> Lock | None:
        """Return the lock if its owner is running or may still start, else None."""
        lock = self.read()
        if lock is None or not lock.is_held(self._executions.status(lock.owner), now):
            return None
        return lock

    def acquire(self, run_id: str, now: datetime) -> Lock | None:
        """Take the lock for a run; return None if it is held.

        A lock of the same run counts as held, because two copies of one event name the same run. A
        stale lock is replaced only if the object has not changed since it was found stale.
        """
        found = self.read()
        if found is None:
            return self._write(run_id, now)
        if found.is_held(self._executions.status(found.owner), now):
            return None
        log.warning("stale lock taken over", extra={"run_id": run_id, "was": found.owner})
        return self._write(run_id, now, replaced=found)

    def is_of(self, run_id: str) -> bool:
        found = self.read()
        return found is not None and found.owner == self._settings.execution_arn(run_id)

    def renew(self, lock: Lock, run_id: str, now: datetime) -> Lock | None:
        """Write a held lock again, for ``run_id``; return None if another run has taken it.

        This is the last step before a run is started: a starter that exceeded its grace and lost
        the lock starts nothing.
        """
        return self._write(run_id, now, replaced=lock)

    def drop(self, lock: Lock) -> bool:
        """Delete this lock; return False if another run has taken it."""
        return self._delete(lock)

    def release(self, run_id: str) -> bool:
        """Delete the lock if it is this run's; return False if it is not."""
        found = self.read()
        if found is None or found.owner != self._settings.execution_arn(run_id):
            return False
        return self._delete(found)

    def free_if_stale(self, now: datetime) -> bool:
        """Delete a lock whose owner is not running and may not start any more."""
        found = self.read()
        if found is None or found.is_held(self._executions.status(found.owner), now):
            return False
        freed = self._delete(found)
        log.warning("stale lock freed", extra={"run_id": found.run_id, "freed": freed})
        return freed

    def _write(self, run_id: str, now: datetime, *, replaced: Lock | None = None) -> Lock | None:
        owner, expires_at = self._settings.execution_arn(run_id), now + self._settings.lock_grace
        document = {
            "owner": owner,
            "run_id": run_id,
            "acquired_at": now.isoformat(),
            "expires_at": expires_at.isoformat(),
        }
        key = self._settings.lock_key
        written = self._bucket.put_json(
            key,
            json.dumps(document),
            only_new=replaced is None,
            if_match=replaced.etag if replaced else "",
        )
        if written is None:
            return None
        if replaced is not None:
            self._bucket.forget_version(key, replaced.version_id)
        return Lock(
            owner=owner,
            run_id=run_id,
            acquired_at=now,
            expires_at=expires_at,
            etag=written.etag,
            version_id=written.version_id,
        )

    def _delete(self, lock: Lock) -> bool:
        key = self._settings.lock_key
        return self._bucket.forget(key, version_id=lock.version_id, if_match=lock.etag)


def _parse(stored: StoredObject) -> Lock:
    """Return the lock; a stale one without owner if the object cannot be read as a lock."""
    try:
        document = json.loads(stored.body)
        return Lock(
            owner=str(document["owner"]),
            run_id=str(document["run_id"]),
            acquired_at=datetime.fromisoformat(document["acquired_at"]),
            expires_at=datetime.fromisoformat(document["expires_at"]),
            etag=stored.etag,
            version_id=stored.version_id,
        )
    except (KeyError, TypeError, ValueError):
        log.warning(
            "the lock object is not readable, it counts as stale", extra={"etag": stored.etag}
        )
        never = datetime.min.replace(tzinfo=UTC)
        return Lock(
            owner="",
            run_id="",
            acquired_at=never,
            expires_at=never,
            etag=stored.etag,
            version_id=stored.version_id,
        )
