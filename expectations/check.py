"""Check: one suite after the other runs on its table.

Products, orders, then order items against the products and orders that are valid, and last the
relations between the valid rows.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Final

import duckdb

from contract.keys import DatasetName
from delivery import set_aside
from delivery.apply_rules import parameters_of
from delivery.bad_row_limit import BadRowLimit
from delivery.reader import FileReading
from delivery.rules import SuiteError

from . import check_tables
from .known_ids import KnownBefore

if TYPE_CHECKING:
    from .gx import Checks, Outcome, SuiteRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """A suite, the table or view that it runs on, and the dataset whose rows it can set aside."""

    suite: str
    table: str
    dataset: DatasetName | None


CHECKS: Final = (
    Check("products", "products", "products"),
    Check("orders", "orders", "orders"),
    Check("order_items", "order_items", "order_items"),
    Check("relations", "valid_lines", None),
)


def check_and_set_aside(
    connection: duckdb.DuckDBPyConnection,
    wanted: Check,
    checks: "Checks",
    *,
    suites: Traversable,
    known: KnownBefore | None,
    readings: Sequence[FileReading],
    limit: BadRowLimit,
    run_id: str,
    now: datetime,
) -> "SuiteRun":
    """Run a suite of the folder ``suites`` on its table, and set aside what fails.

    Raises:
        SuiteError: the suite could not be loaded or computed, or Great Expectations does not count
            the failing rows that are set aside.
    """
    check_tables.create_for(wanted.suite, connection, known)
    found = checks.run(
        suites / f"{wanted.suite}.json",
        table=wanted.table,
        parameters=parameters_of(now.date()),
        run_id=run_id,
        run_time=now,
    )
    log.info(
        "%(suite)s: %(failed)d of %(expectations)d expectations failed",
        {
            "suite": wanted.suite,
            "failed": sum(not outcome.success for outcome in found.outcomes),
            "expectations": len(found.outcomes),
        },
    )
    for outcome in found.outcomes:
        _record(connection, outcome, wanted.suite)
    if wanted.dataset is not None:
        set_aside.set_aside(connection, wanted.dataset, readings, limit)
    return found


def _record(connection: duckdb.DuckDBPyConnection, outcome: "Outcome", suite: str) -> None:
    if outcome.failing_rows is None:
        return
    recorded = set_aside.record(connection, outcome.rule, outcome.failing_rows)
    if recorded != outcome.unexpected:
        raise SuiteError(
            f"suite {suite}: {outcome.rule.reason}: Great Expectations counts"
            f" {outcome.unexpected} failing rows, but {recorded} were found; the SQL of"
            f" {outcome.rule.type} in delivery/failing_rows.py is wrong"
        )
