"""Apply the rules of the suites to a delivery without Great Expectations.

The validator judges with the same suites, the same SQL of failing rows and the same limit, so both
set the same rows aside for the same reasons.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from importlib.resources.abc import Traversable
from typing import Final

import duckdb

from contract.keys import DatasetName

from . import examples, set_aside
from .bad_row_limit import BadRowLimit
from .examples import Details
from .failing_rows import failing_rows
from .reader import FileReading
from .rules import SUITES, load_rules

# A suite comes after those whose rows its own are compared with.
ORDER: Final[tuple[DatasetName, ...]] = ("products", "orders", "order_items")
_NO_KNOWN_IDS: Final = """
    CREATE TABLE known_orders (order_id VARCHAR);
    CREATE TABLE known_products (product_id VARCHAR);
    """


def parameters_of(today: date) -> dict[str, str]:
    """Return the values of the suites' ``$PARAMETER``: a time zone may be a day ahead of UTC."""
    return {"latest_order_date": (today + timedelta(days=1)).isoformat()}


def apply_rules(
    connection: duckdb.DuckDBPyConnection,
    readings: Sequence[FileReading],
    limit: BadRowLimit,
    *,
    today: date,
    suites: Traversable = SUITES,
) -> Details:
    """Keep only accepted rows in the tables of :func:`delivery.reader.read`.

    Leaves the tables of :mod:`delivery.set_aside`, which have the other rows with their reasons.
    Returns what :func:`delivery.examples.find` says about them.
    ``today`` is the date in UTC: order dates after the next day are not accepted.

    Raises:
        SuiteError: a suite can't be read, or an expectation has no SQL.
    """
    set_aside.create(connection, readings)
    connection.execute(_NO_KNOWN_IDS)
    for dataset in ORDER:
        source = suites / f"{dataset}.json"
        for rule in load_rules(source):
            if rule.effect == "stop_run":
                continue
            query = failing_rows(rule, dataset, parameters_of(today), source=source)
            if rule.effect != "warn":
                set_aside.record(connection, rule, query)
        set_aside.set_aside(connection, dataset, readings, limit)
    details = examples.find(connection)
    for dataset in ORDER:
        connection.execute(
            f"DELETE FROM {dataset} WHERE _file IN (FROM rejected_files) OR (_file, _line) IN"  # noqa: S608  # a dataset's name
            " (SELECT _file, _line FROM quarantined UNION ALL SELECT _file, _line FROM held_rows)"
        )
    return details
