"""Check: one suite after the other runs on its table.

Products, orders, then order items against the products and orders that are valid, and last the
relations between the valid rows.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from contract.keys import DatasetName

from . import check_tables

if TYPE_CHECKING:
    from .gx import Checks, SuiteRun

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


def check(
    connection: duckdb.DuckDBPyConnection,
    wanted: Check,
    checks: "Checks",
    *,
    suites: Path,
    run_id: str,
    now: datetime,
) -> "SuiteRun":
    """Run a suite of the folder ``suites`` on its table.

    Raises:
        SuiteError: the suite could not be loaded or computed.
    """
    check_tables.create_for(wanted.suite, connection)
    found = checks.run(
        suites / f"{wanted.suite}.json",
        table=wanted.table,
        parameters={"latest_order_date": (now.date() + timedelta(days=1)).isoformat()},
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
    return found
