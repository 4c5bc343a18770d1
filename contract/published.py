"""What a run published, ``runs/RUN/published.json``: the last thing that the transformer writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Self

from . import typed_json
from .manifest import RunKind
from .typed_json import JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedReport:
    """The ledger's new version, the dates whose KPIs were computed, and what was written.

    ``items`` and ``deleted`` count KPI items. ``superseded`` are dates that a newer run publishes.
    ``new_files`` to ``held_lines`` describe the run's commit to the ledger, ``new_rows`` by
    dataset; ``bytes`` is the size of the claimed files; ``seconds`` are those of each phase.
    ``held_lines`` are all that are pending in the ledger, ``delivery_held_lines`` those of the
    run's own files, with the number of each reason; None for a run that committed nothing.
    ``unpublished_dates`` has the reason of each of the ``dates`` that DynamoDB does not take: its
    KPIs are as before this run, and it is tried again when it changes.
    """

    run_id: str
    task: RunKind
    engine: str
    ledger: str
    ledger_version: int
    previous_version: int
    dates: tuple[date, ...]
    items: int
    deleted: int
    superseded: tuple[date, ...]
    new_files: int
    duplicate_files: tuple[str, ...]
    known_from: tuple[str, ...]
    new_rows: Mapping[str, int]
    readmitted_lines: int
    held_lines: int
    bytes: int
    seconds: Mapping[str, float]
    delivery_held_lines: int | None = None
    delivery_held_reasons: Mapping[str, int] = field(default_factory=dict)
    unpublished_dates: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return typed_json.to_json(self)

    @classmethod
    def from_json(cls, text: JsonText) -> Self:
        """Raise typed_json.DocumentError when the text is not such a report."""
        return typed_json.from_json(cls, text)
