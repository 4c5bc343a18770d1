"""The rules: what the suites say about rows and files.

The JSON files in ``suites/`` are the only source of the rules. They are suites of Great
Expectations, which judges with them in the validator; :mod:`delivery.failing_rows` turns the same
expectations into SQL, so that the stand-alone job applies them without Great Expectations.

Each expectation carries a severity and, in its ``meta``, the ``reason`` that reports name, an
``explanation`` in one sentence and the ``effect`` of a failing row (see :data:`Effect`).

``{batch}`` is the dataset's table: every record that was delivered, with ``_file``, ``_line``,
``_lines`` and ``_unreadable`` (the reader's reasons). A row with ``_line`` 0 represents a file that
could not be read. The suite ``relations`` runs last, on the lines that are accepted, and only in
the validator. The other tables are those of :mod:`delivery.set_aside` and
:mod:`expectations.check_tables`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal, get_args

SUITES: Final[Traversable] = files(__package__) / "suites"

# What happens to a failing row, or to its file. An ``unreadable_row`` goes to quarantine, too, and
# is one of those that reject their file when they are too many (delivery/bad_row_limit.py).
Effect = Literal[
    "reject_file", "unreadable_row", "quarantine_row", "hold_row", "warn", "count_once", "stop_run"
]
_CRITICAL: Final = {"reject_file", "unreadable_row", "quarantine_row", "stop_run"}


class SuiteError(RuntimeError):
    """The rules are at fault, not the data: the delivery can't be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One expectation, as its suite's file has it.

    ``rows_of`` names the dataset of the failing rows where it is not the suite's.
    """

    type: str
    reason: str
    effect: Effect
    severity: str
    explanation: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    rows_of: str | None = None


def rule_of(expectation: Mapping[str, Any], *, source: Traversable) -> Rule:
    """Return the rule of an expectation's JSON.

    Raises:
        SuiteError: its severity, or a part of its meta, is missing or unknown.
    """
    meta = expectation.get("meta") or {}
    try:
        rule = Rule(
            type=expectation["type"],
            reason=meta["reason"],
            effect=meta["effect"],
            severity=expectation["severity"],
            explanation=meta["explanation"],
            kwargs=expectation.get("kwargs") or {},
            rows_of=meta.get("rows_of"),
        )
    except KeyError as missing:
        raise SuiteError(
            f"{source}: {expectation.get('type')} has no {missing}; every expectation needs a type,"
            " a severity and a meta with reason, effect and explanation"
        ) from missing
    if rule.effect not in get_args(Effect):
        raise SuiteError(
            f"{source}: {rule.reason} has the effect '{rule.effect}'; use one of "
            + ", ".join(get_args(Effect))
        )
    if (rule.severity == "critical") != (rule.effect in _CRITICAL):
        raise SuiteError(
            f"{source}: {rule.reason} is {rule.severity} but its effect is {rule.effect}; critical"
            f" goes with {', '.join(sorted(_CRITICAL))}, and these with critical"
        )
    return rule


def load_rules(path: Traversable) -> list[Rule]:
    """Return the rules of a suite's file, in its order.

    Raises:
        SuiteError: the file is no suite or is empty, a rule is incomplete, or a reason is the one
            of two rules.
    """
    try:
        wanted = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path}: not a suite of expectations: {error}") from error
    if not wanted:
        raise SuiteError(f"{path}: has no expectations and would pass anything; restore its rules")
    rules = [rule_of(expectation, source=path) for expectation in wanted]
    reasons = [rule.reason for rule in rules]
    if twice := {reason for reason in reasons if reasons.count(reason) > 1}:
        raise SuiteError(
            f"{path}: {', '.join(sorted(twice))} is the reason of more than one expectation;"
            " failing rows could not be distinguished; give each its own reason"
        )
    return rules
