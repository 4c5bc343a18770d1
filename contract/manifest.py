"""The manifest of a run, ``runs/RUN/manifest.json``: exactly which object versions it claims.

The trigger writes it once. Every later stage reads these versions and no others, even when newer
ones land during the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Self

from . import typed_json
from .keys import DatasetName, dataset_of
from .typed_json import DocumentError, JsonText

RunKind = Literal["process", "recompute", "rebuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """One version of one object, as listed when it was claimed.

    ``name`` is the path under the landing folder, as delivered: a file that is read again from
    processed/ keeps it, and its ``landed_at``. ``etag`` is without quotes, ``size`` in bytes,
    ``landed_at`` in UTC; ``version_id`` is None in a bucket without versioning. S3's times are
    whole seconds: of the versions of a name in one second, each has a microsecond more than the
    one before it, so that they keep S3's own order. ``mapping`` is the id of the mapping that the
    file is read with, and ``mapped_dataset`` what its patterns make of the name; both are None
    without one.
    """

    key: str
    name: str
    version_id: str | None
    etag: str
    size: int
    landed_at: datetime
    mapping: str | None = None
    mapped_dataset: DatasetName | None = None

    @property
    def dataset(self) -> DatasetName:
        dataset = self.mapped_dataset or dataset_of(self.key)
        if dataset is None:
            raise DocumentError(
                f"{self.key}: not the name of an orders, order_items or products file"
            )
        return dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The claimed files of one run, in the order of their keys, and what it does with them.

    ``process`` adds them to the ledger. ``recompute`` has none and publishes the order dates from
    ``start`` to ``end`` again, both included. ``rebuild`` has all that were ever processed, and
    makes a fresh ledger of them. ``not_recognised`` are the files in the landing folder that no
    run can claim because of their names: reports on the run name them. ``mappings`` has the texts
    of the files' mappings by id, so that a replay or a rebuild reads each file as it was read.
    """

    run_id: str
    bucket: str
    created_at: datetime
    forced: bool
    files: tuple[FileVersion, ...]
    task: RunKind = "process"
    start: date | None = None
    end: date | None = None
    not_recognised: tuple[FileVersion, ...] = ()
    mappings: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return typed_json.to_json(self)

    @classmethod
    def from_json(cls, text: JsonText) -> Self:
        """Raise typed_json.DocumentError when the text is not a manifest."""
        return typed_json.from_json(cls, text)
