"""Great Expectations on DuckDB: load suites, run them, and find the query of the failing rows."""

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources.abc import Traversable
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

from delivery.failing_rows import failing_rows
from delivery.rules import Rule, SuiteError, load_rules

# Great Expectations logs a traceback of what is raised here as a SuiteError.
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
# Their registration in place of the built-in ones is a warning in its log.
from . import custom, metrics  # noqa: E402, F401


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What Great Expectations found for a rule.

    ``failing_rows`` is the SELECT of every failing row, without a limit, with ``_file``, ``_line``
    and ``_lines``; None when no row fails.
    """

    rule: Rule
    success: bool
    unexpected: int
    failing_rows: str | None


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


def load_suite(path: Traversable) -> gx.ExpectationSuite:
    """Load a suite and check that Great Expectations loaded all of it.

    Raises:
        SuiteError: the file is no suite, is empty, or not all of it was loaded. (Great
            Expectations itself drops an expectation of an unknown type with a log line, and
            passes every delivery through an empty suite.)
    """
    load_rules(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    wanted = document["expectations"]
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
        path: Traversable,
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
        rules = {rule.reason: rule for rule in load_rules(path)}
        queries = {
            rule.reason: failing_rows(rule, table, parameters, source=path)
            for rule in rules.values()
            if rule.effect != "stop_run"
        }
        suite = load_suite(path)
        result = self._evaluate(
            suite, table, parameters, RunIdentifier(run_name=run_id, run_time=run_time)
        )
        if len(result.results) != len(suite.expectations):
            raise SuiteError(
                f"suite {suite.name}: {len(result.results)} of {len(suite.expectations)}"
                " expectations were evaluated"
            )
        outcomes = []
        for found in result.results:
            config: Any = found.expectation_config
            rule = rules[config.meta["reason"]]
            failing = _unexpected_rows(found, rule, suite.name)
            outcomes.append(
                Outcome(
                    rule=rule,
                    success=not failing,
                    unexpected=failing,
                    failing_rows=queries[rule.reason] if failing else None,
                )
            )
        return SuiteRun(suite=suite, table=table, outcomes=tuple(outcomes), result=result)

    def _evaluate(
        self,
        suite: gx.ExpectationSuite,
        table: str,
        parameters: Mapping[str, str],
        run: RunIdentifier,
    ) -> Any:
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
            return definition.run(
                expectation_parameters=dict(parameters),
                result_format={
                    # The lists in it are samples for Data Docs (20 rows, 200 values).
                    "result_format": "COMPLETE",
                    "unexpected_index_column_names": ["_file", "_line", "_lines"],
                    "return_unexpected_index_query": False,
                },
                run_id=run,
            )


def _unexpected_rows(found: Any, rule: Rule, suite: str) -> int:
    """Return how many rows failed a rule, from Great Expectations' result.

    Raises:
        SuiteError: the rule could not be computed, or failed and stops the run.
    """
    if message := _exception_message(found.exception_info):
        if duckdb.OutOfMemoryException.__name__ in message:  # GX passes on only the text
            raise duckdb.OutOfMemoryException(message.splitlines()[0])
        raise SuiteError(
            f"suite {suite}: expectation {rule.reason} ({rule.type}) could not be computed:"
            f" {message.splitlines()[0]}"
        )
    result = found.result
    if rule.effect == "stop_run":
        if not found.success:
            raise SuiteError(
                f"suite {suite}: {rule.reason}: {rule.explanation} Found {result['observed_value']}"
            )
        return 0
    if "unexpected_rows_query" in rule.kwargs:
        unexpected = int(result["observed_value"])
    else:
        # For a table without rows, GX returns None.
        unexpected = int(result["unexpected_count"] or 0)
    if bool(found.success) != (unexpected == 0):
        raise SuiteError(
            f"suite {suite}: {rule.reason} is {'a success' if found.success else 'a failure'} with"
            f" {unexpected} unexpected rows; do not give it 'mostly'"
        )
    return unexpected


def _exception_message(info: Mapping[str, Any]) -> str | None:
    """Find the message in GX's exception_info: flat, or one entry per metric that failed."""
    if "raised_exception" in info:
        return str(info["exception_message"]) if info["raised_exception"] else None
    return next((str(entry["exception_message"]) for entry in info.values()), None)
