"""The manifest of a run: exactly which object versions it has claimed.

Written once by the trigger, read by every later stage, never changed. A stage
that reads bytes reads these versions and no others, whatever lands meanwhile.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, Self

from .keys import DatasetName, dataset_of

Task = Literal["process", "recompute", "rebuild"]
_TASKS: Final = ("process", "recompute", "rebuild")


class ManifestError(ValueError):
    """The manifest cannot be used; the message says which part and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """One version of one object, as listed when it was claimed.

    ``name`` is the path under the landing folder, as delivered: a file that is read again from
    processed/ keeps it, and its ``landed_at``. ``etag`` is without quotes, ``size`` in bytes,
    ``landed_at`` in UTC; ``version_id`` is None in a bucket without versioning.
    """

    key: str
    name: str
    version_id: str | None
    etag: str
    size: int
    landed_at: datetime

    @property
    def dataset(self) -> DatasetName:
        dataset = dataset_of(self.key)
        if dataset is None:
            raise ManifestError(
                f"{self.key}: not the name of an orders, order_items or products file"
            )
        return dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The claimed files of one run, in the order of their keys, and what it does with them.

    ``process`` adds them to the ledger. ``recompute`` has none and publishes the order dates from
    ``start`` to ``end`` again, both included. ``rebuild`` has all that were ever processed, and
    makes a fresh ledger of them.
    """

    run_id: str
    bucket: str
    created_at: datetime
    forced: bool
    files: tuple[FileVersion, ...]
    task: Task = "process"
    start: date | None = None
    end: date | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=_isoformat, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raise ManifestError when the text is not a manifest."""
        try:
            document: dict[str, Any] = json.loads(text)
            files = tuple(
                FileVersion(**{**file, "landed_at": _utc(file["landed_at"])})
                for file in document["files"]
            )
            parsed = {
                "created_at": _utc(document["created_at"]),
                "files": files,
                "start": _date(document["start"]),
                "end": _date(document["end"]),
            }
            if document["task"] not in _TASKS:
                raise ManifestError(f"its task is {document['task']!r}, not one of {_TASKS}")
            return cls(**{**document, **parsed})
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(f"not a run's manifest: {error}") from error


def _isoformat(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a manifest")


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
