"""Expectations that Great Expectations lacks: what only this project's reader knows.

The reader lists the faults of a row in ``_unreadable``. The classes register themselves when this
module is imported, which has to be before a suite is loaded. ``docs/validation.md`` describes them,
and :mod:`delivery.failing_rows` has the same conditions as SQL.
"""

from typing import Any, ClassVar

import sqlalchemy
from great_expectations.execution_engine.sqlalchemy_execution_engine import (
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)


def _without(fault: str) -> Any:
    """Return the condition that the reader has not found this fault in a row."""
    found = sqlalchemy.func.list_contains(sqlalchemy.column("_unreadable"), fault)
    return sqlalchemy.func.coalesce(found, sqlalchemy.false()).is_(sqlalchemy.false())


class _OfEveryRow(ColumnMapExpectation):
    """An expectation whose failing rows may have no value in the column.

    Great Expectations takes the share of failing rows among those with a value: it is over 100 %
    where more rows lack a value than have one, which is refused, and there is none to fail where
    all lack it.
    """

    def _validate(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        every_row = {**metrics, "column_values.nonnull.unexpected_count": 0}
        return super()._validate(every_row, *args, **kwargs)


class _Present(ColumnMapMetricProvider):
    condition_metric_name = "column_values.present"
    # A row without a value is what this is about.
    filter_column_isnull = False

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, **_: Any) -> Any:  # noqa: N805  # GX's way
        return _without(f"missing_{column.name}")


class ExpectColumnValuesToBePresent(_OfEveryRow):
    """Expect each row to have something in the column, whether it can be read or not."""

    map_metric: ClassVar[str] = "column_values.present"


class _Readable(ColumnMapMetricProvider):
    condition_metric_name = "column_values.readable"
    # What cannot be read has no value.
    filter_column_isnull = False

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, **_: Any) -> Any:  # noqa: N805  # GX's way
        return _without(f"bad_{column.name}")


class ExpectColumnValuesToBeReadable(_OfEveryRow):
    """Expect what is in the column to be a value of the column's type."""

    map_metric: ClassVar[str] = "column_values.readable"


class _WithoutFault(ColumnMapMetricProvider):
    condition_metric_name = "column_values.without_fault"
    condition_value_keys = ("fault",)
    filter_column_isnull = False

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, fault: str, **_: Any) -> Any:  # noqa: N805, ARG002  # GX's
        return _without(fault)


class ExpectColumnValuesToBeWithoutFault(_OfEveryRow):
    """Expect that the reader has not found this fault in a file or a record."""

    fault: str
    map_metric: ClassVar[str] = "column_values.without_fault"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "fault")


class _InOtherTable(ColumnMapMetricProvider):
    condition_metric_name = "column_values.in_other_table"
    condition_value_keys = ("other_tables",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, other_tables: list[str], **_: Any) -> Any:  # noqa: N805
        name = column.name
        known: Any = (
            sqlalchemy.select(sqlalchemy.column(name))
            .select_from(sqlalchemy.table(table))
            .where(sqlalchemy.column(name).is_not(None))
            for table in other_tables
        )
        return column.in_(sqlalchemy.union_all(*known))


class ExpectColumnValuesToBeInOtherTable(ColumnMapExpectation):
    """Expect each value to be in the column of the same name of one of the other tables."""

    other_tables: list[str]
    map_metric: ClassVar[str] = "column_values.in_other_table"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly", "other_tables")
