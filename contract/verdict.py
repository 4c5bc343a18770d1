"""The verdict on a delivery, ``runs/RUN/verdict.json``: written by the validator.

Every row of a delivery is accepted, quarantined or held back, and the counts of a file add up to
its rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Self

from . import typed_json
from .keys import DatasetName
from .typed_json import JsonText

Outcome = Literal["accepted", "partly_accepted", "all_rejected", "not_recognised"]
FileStatus = Literal["accepted", "rejected", "duplicate", "not_recognised"]
# The reason of a file that is not recognised.
UNKNOWN_NAME: Final = "unknown_name"
# How the reason of a warning begins that a column's amounts can be read in two ways.
AMBIGUOUS: Final = "ambiguous_"

# The reason of a file that makes every run crash.
CRASH: Final = "crash"

# The parent that a line of each reason waits for.
HELD_BACK: Final[Mapping[str, str]] = {"unknown_order": "order", "unknown_product": "product"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Files and rows of a delivery. All rows of a rejected file count as quarantined.

    ``files`` are those that were read; ``not_recognised_files`` are others.
    """

    files: int
    rejected_files: int
    rows: int
    accepted_rows: int
    quarantined_rows: int
    held_rows: int
    not_recognised_files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    """One file: ``reason`` and ``detail`` of its rejection, ``reasons`` counts its bad rows.

    ``details`` says more about some of the reasons: which values were found, and what to do.
    A file whose name is not recognised has no dataset and was not read: it stays where it is.
    """

    key: str
    name: str
    sha256: str | None
    dataset: DatasetName | None
    status: FileStatus
    reason: str | None
    detail: str | None
    rows: int
    accepted_rows: int
    quarantined_rows: int
    held_rows: int
    reasons: Mapping[str, int]
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataWarning:
    """A failed expectation that sets nothing aside; ``file`` is None for a whole dataset."""

    reason: str
    dataset: str
    file: str | None
    count: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``accepted`` and ``held`` name the Parquet of each dataset, the last two a CSV and a page.

    ``files`` are those that were read, in the order of their landing, then those that are not
    recognised. The outcome is ``not_recognised`` when no file was read.
    """

    run_id: str
    outcome: Outcome
    created_at: datetime
    totals: Totals
    files: tuple[FileVerdict, ...]
    warnings: tuple[DataWarning, ...]
    accepted: Mapping[str, str]
    held: Mapping[str, str]
    quarantined_rows: str | None
    data_docs: str | None

    @property
    def rejected(self) -> tuple[FileVerdict, ...]:
        return tuple(file for file in self.files if file.status == "rejected")

    @property
    def ambiguous(self) -> tuple[DataWarning, ...]:
        """The warnings that the KPIs may be wrong by a factor of a thousand."""
        return tuple(found for found in self.warnings if found.reason.startswith(AMBIGUOUS))

    def to_json(self) -> str:
        return typed_json.to_json(self)

    @classmethod
    def from_json(cls, text: JsonText) -> Self:
        """Raise typed_json.DocumentError when the text is not a verdict."""
        return typed_json.from_json(cls, text)
