"""A rule of a suite, and its outcome.

The JSON files in ``suites/`` are the only source of the rules. Each expectation carries a
severity and, in its ``meta``, the ``reason`` that reports name, an ``explanation`` in one
sentence and the ``effect`` of a failing row (see :data:`Effect`).

``{batch}`` is the dataset's table: every record that was delivered, with ``_file``, ``_line``,
``_lines`` and ``_unreadable`` (the reader's reasons). A row with ``_line`` 0 represents a file that
could not be read. The suite ``relations`` runs last, on the lines that are accepted. The other
tables are ``files``, ``typical_rows``, ``known_orders``, ``known_products``; for order_items also
``valid_orders`` and ``valid_products``; for relations also ``lines_by_order``, ``line_totals``,
``order_totals`` and ``orders_in_several_files`` (see :mod:`expectations.check_tables`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

SUITES: Final = Path(__file__).parent / "suites"

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
    rows_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What Great Expectations found for a rule.

    ``failing_rows`` is its SELECT of every failing row, without a limit, with ``_file`` and
    ``_line`` among the columns; None when no row fails.
    """

    rule: Rule
    success: bool
    unexpected: int
    failing_rows: str | None


def rule_of(expectation: Mapping[str, Any], *, source: Path) -> Rule:
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
