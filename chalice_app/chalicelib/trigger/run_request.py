"""What a run was started for: the input of its execution, parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Self

from .upload_events import Ignored, created_files, is_s3_event

# One input of each kind, for the message about an input that cannot be used.
_EXAMPLES: Final = (
    '{"files": ["incoming/orders_1.csv"]}, {"replay_of": "RUN"}, '
    '{"recompute": {"from": "2025-03-01", "to": "2025-03-31"}} or {"rebuild": true}'
)
# What an input may have: what people give, and what the trigger adds.
_FIELDS: Final = (
    *("files", "forced", "replay_of", "recompute", "rebuild"),
    *("orders_count", "items_count", "products_count", "run_id", "manifest", "task"),
)
# The console's own default input, and what Step Functions adds for an execution's parent.
_FOREIGN_FIELDS: Final = frozenset({"Comment", "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"})


class ClaimError(RuntimeError):
    """The run cannot get what it was started with; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """These files. Below the thresholds, all other files that have landed join them."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What has landed: an object that was created in S3 has started the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Repeats an earlier run."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompute:
    """Publishes the KPIs of these order dates again, from the ledger. Both are included."""

    start: date
    end: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """Makes a new ledger of every file that was ever processed."""


Order = Batch | Landed | Replay | Recompute | Rebuild | Ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run, as the state machine describes it. ``forced`` ignores the thresholds."""

    run_id: str
    started_at: datetime
    forced: bool
    order: Order

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Raise ClaimError when the execution's input is none of the known ones."""
        given = document.get("input") or {}
        order = _order(given)
        return cls(
            run_id=str(document["execution"]).rsplit(":", 1)[-1],
            started_at=datetime.fromisoformat(str(document["started_at"])).astimezone(UTC),
            forced=isinstance(given, Mapping) and given.get("forced") is True,
            order=order,
        )


def _order(given: object) -> Order:
    if is_s3_event(given):
        files = created_files(given)
        return files if isinstance(files, Ignored) else Landed()
    if not isinstance(given, Mapping):
        raise ClaimError(f"input is {given!r}: start the machine with {_EXAMPLES}")
    if unknown := sorted(given.keys() - {*_FIELDS} - _FOREIGN_FIELDS):
        raise ClaimError(
            f"the input has {', '.join(unknown)}: the fields are {', '.join(_FIELDS)}; "
            f"start the machine with {_EXAMPLES}"
        )
    if given.get("forced") not in (None, True, False):
        raise ClaimError(f"forced is {given['forced']!r}: give true or false")
    named = [
        name
        for name in ("files", "replay_of", "recompute", "rebuild")
        if given.get(name) not in (None, False, [])
    ]
    match named:
        case []:
            return Batch()
        case ["files"] if _is_list_of_keys(given["files"]):
            return Batch(keys=tuple(given["files"]))
        case ["replay_of"] if isinstance(given["replay_of"], str):
            return Replay(run_id=given["replay_of"])
        case ["recompute"]:
            return _dates(given["recompute"])
        case ["rebuild"] if given["rebuild"] is True:
            return Rebuild()
        case [one]:
            raise ClaimError(f"{one} is {given[one]!r}: start the machine with {_EXAMPLES}")
        case _:
            raise ClaimError(
                f"the input has {' and '.join(named)}: start one run for each, with {_EXAMPLES}"
            )


def _is_list_of_keys(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(key, str) for key in given)


def _dates(given: Any) -> Recompute:
    try:
        start, end = date.fromisoformat(given["from"]), date.fromisoformat(given["to"])
    except (KeyError, TypeError, ValueError) as error:
        raise ClaimError(
            f'recompute is {given!r}: give dates, {{"from": "2025-03-01", "to": "2025-03-31"}}'
        ) from error
    if start > end:
        raise ClaimError(
            f"recompute is from {start} to {end}: they are in the wrong order, so give "
            f'{{"from": "{end}", "to": "{start}"}}'
        )
    return Recompute(start=start, end=end)
