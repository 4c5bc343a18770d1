"""Metrics of Great Expectations for DuckDB, whose dialect its own versions refuse.

They register themselves when this module is imported, in place of the built-in ones, so that suites
keep the native types ``expect_column_values_to_match_regex`` and ``…_to_not_match_regex``.
"""

from typing import Any

import sqlalchemy
from great_expectations.execution_engine.sqlalchemy_execution_engine import (
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)


class MatchRegex(ColumnMapMetricProvider):
    """True where a part of the value matches; ``^`` and ``$`` tie the pattern to all of it."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805  # GX's way
        return sqlalchemy.func.regexp_matches(column, regex)


class NotMatchRegex(ColumnMapMetricProvider):
    """True where no part of the value matches."""

    condition_metric_name = "column_values.not_match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805  # GX's way
        return sqlalchemy.not_(sqlalchemy.func.regexp_matches(column, regex))
