"""Great Expectations on DuckDB: load suites, run them, and find the query of the failing rows."""

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

# Read by Great Expectations when it is imported; it would report its use to its vendor.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
from duckdb_engine import ConnectionWrapper, Dialect
from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
from great_expectations.data_context.data_context.ephemeral_data_context import (
    EphemeralDataContext,
)
from sqlalchemy.dialects import registry
from sqlalchemy.pool import StaticPool

from .rules import Outcome, Rule, SuiteError, rule_of

# Great Expectations logs a traceback of what is raised here as a SuiteError.
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun:
    """A suite, the table that it ran on, and the outcome of each expectation."""

    suite: gx.ExpectationSuite
    table: str
    outcomes: tuple[Outcome, ...]
    result: ExpectationSuiteValidationResult

    @property
    def rules(self) -> list[Rule]:
        return [outcome.rule for outcome in self.outcomes]


class _DuckDB(Dialect):
    """duckdb_engine without transactions.

    Great Expectations fetches a result after its transaction has ended, and DuckDB drops the
    result with the transaction: every query would come back empty.
    """

    supports_statement_cache = False

    def do_begin(self, connection: object) -> None:
        pass

    do_commit = do_rollback = do_begin  # type: ignore[assignment]


# The name by which Great Expectations gets the dialect from SQLAlchemy.
registry.register("duckdb", __name__, _DuckDB.__name__)


def load_suite(path: Path) -> gx.ExpectationSuite:
    """Load a suite and check that Great Expectations loaded all of it.

    Raises:
        SuiteError: the file is no suite, is empty, or not all of it was loaded. (Great
            Expectations itself drops an expectation of an unknown type with a log line, and
            passes every delivery through an empty suite.)
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        wanted = document["expectations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path}: not a suite of expectations: {error}") from error
    if not wanted:
        raise SuiteError(f"{path}: has no expectations and would pass anything; restore its rules")
    reasons = [rule_of(expectation, source=path).reason for expectation in wanted]
    if twice := {reason for reason in reasons if reasons.count(reason) > 1}:
        raise SuiteError(
            f"{path}: {', '.join(sorted(twice))} is the reason of more than one expectation;"
            " failing rows could not be told apart; give each its own reason"
        )

    suite = gx.ExpectationSuite(**document)
    if len(suite.expectations) != len(wanted):
        raise SuiteError(
            f"{path}: loaded {len(suite.expectations)} of {len(wanted)} expectations;"
            " check their 'type' names"
        )
    for expectation, loaded in zip(wanted, suite.expectations, strict=True):
        found = loaded.configuration.to_json_dict()
        if any(found.get(key) != value for key, value in expectation.items()):
            raise SuiteError(
                f"{path}: {expectation['meta']['reason']} was loaded as {found}; check its kwargs"
            )
        # Data Docs show the description in place of the bare query.
        meta = expectation["meta"]
        loaded.description = f"{meta['reason']}: {meta['explanation']}"
    return suite


class Checks:
    """Suites run on the tables of one DuckDB database, in an ephemeral GX project."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.context: EphemeralDataContext = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        self._source = self.context.data_sources.add_sql(
            "delivery",
            connection_string="duckdb:///:memory:",
            kwargs={  # type: ignore[call-arg]  # for create_engine; its stub does not know it
                # The tables' own database, not the one that the string names.
                "creator": lambda: ConnectionWrapper(connection.cursor()),
                "poolclass": StaticPool,
            },
        )

    def run(
        self,
        path: Path,
        *,
        table: str,
        parameters: Mapping[str, str],
        run_id: str,
        run_time: datetime,
    ) -> SuiteRun:
        """Load a suite and run it on a table; ``parameters`` fill its ``$PARAMETER`` values.

        Raises:
            SuiteError: the suite could not be loaded, or an expectation not be computed.
        """
        suite = load_suite(path)
        asset = self._source.add_table_asset(table, table_name=table)
        definition = self.context.validation_definitions.add(
            gx.ValidationDefinition(
                name=table,
                data=asset.add_batch_definition_whole_table("delivery"),
                suite=self.context.suites.add(suite),
            )
        )
        with warnings.catch_warnings():
            # numpy's, about the median of an empty list of counts.
            warnings.simplefilter("ignore", RuntimeWarning)
            result = definition.run(
                expectation_parameters=dict(parameters),
                result_format={
                    # The query for every failing row is in COMPLETE only; the lists in it are
                    # GX's samples for Data Docs (20 rows, 200 values).
                    "result_format": "COMPLETE",
                    "unexpected_index_column_names": ["_file", "_line", "_lines"],
                    "return_unexpected_index_query": True,
                },
                run_id=RunIdentifier(run_name=run_id, run_time=run_time),
            )
        if len(result.results) != len(suite.expectations):
            raise SuiteError(
                f"suite {suite.name}: {len(result.results)} of {len(suite.expectations)}"
                " expectations were evaluated"
            )
        outcomes = tuple(_outcome(found, table=table) for found in result.results)
        return SuiteRun(suite=suite, table=table, outcomes=outcomes, result=result)


def _outcome(found: Any, *, table: str) -> Outcome:
    config = found.expectation_config.to_json_dict()
    rule = rule_of(config, source=Path(f"{table}.json"))
    if message := _exception_message(found.exception_info):
        if duckdb.OutOfMemoryException.__name__ in message:  # GX passes on only the text
            raise duckdb.OutOfMemoryException(message.splitlines()[0])
        raise SuiteError(
            f"suite {table}: expectation {rule.reason} ({rule.type}) could not be computed:"
            f" {message.splitlines()[0]}"
        )
    result = found.result
    if rule.effect == "stop_run":
        if not found.success:
            raise SuiteError(
                f"suite {table}: {rule.reason}: {rule.explanation} Found {result['observed_value']}"
            )
        return Outcome(rule=rule, success=True, unexpected=0, failing_rows=None)
    if "unexpected_rows_query" in config["kwargs"]:
        unexpected = int(result["observed_value"])
        query = config["kwargs"]["unexpected_rows_query"].format(batch=table)
    else:
        # For a table without rows, GX returns None.
        unexpected = int(result["unexpected_count"] or 0)
        query = result["unexpected_index_query"].rstrip().rstrip(";")
    if bool(found.success) != (unexpected == 0):
        raise SuiteError(
            f"suite {table}: {rule.reason} is {'a success' if found.success else 'a failure'} with"
            f" {unexpected} unexpected rows; do not give it 'mostly'"
        )
    return Outcome(
        rule=rule,
        success=unexpected == 0,
        unexpected=unexpected,
        failing_rows=query if unexpected else None,
    )


def _exception_message(info: Mapping[str, Any]) -> str | None:
    """Find the message in GX's exception_info: flat, or one entry per metric that failed."""
    if "raised_exception" in info:
        return str(info["exception_message"]) if info["raised_exception"] else None
    return next((str(entry["exception_message"]) for entry in info.values()), None)
