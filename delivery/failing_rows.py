"""The SQL of an expectation: a SELECT of the rows that do not meet it.

Both stages record failing rows with it. In the validator Great Expectations counts them with its
own SQL, and a difference stops the run.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.resources.abc import Traversable
from typing import Any, Final

from .rules import Rule, SuiteError

_ROWS: Final = "_file, _line, _lines"


def failing_rows(
    rule: Rule, table: str, parameters: Mapping[str, str], *, source: Traversable
) -> str:
    """Return the SELECT of ``_file``, ``_line``, ``_lines`` of the rows of ``table`` that fail.

    ``parameters`` are the values of the suite's ``$PARAMETER``; ``source`` is its file.

    Raises:
        SuiteError: the type of the expectation, or one of its arguments, has no SQL here.
    """
    arguments = {name: _value(given, parameters) for name, given in rule.kwargs.items()}
    if rule.type == "unexpected_rows_expectation":
        query: str = arguments["unexpected_rows_query"]
        return query.format(batch=table)
    try:
        condition = _CONDITIONS[rule.type]
        inspect.signature(condition).bind(**arguments)
    except KeyError as unknown:
        raise SuiteError(
            f"{source}: {rule.reason} has the type {rule.type}, which has no SQL; use one of"
            f" {', '.join(sorted(_CONDITIONS))} or unexpected_rows_expectation"
        ) from unknown
    except TypeError as error:
        raise SuiteError(f"{source}: {rule.reason} ({rule.type}): {error}") from error
    failing = condition(**arguments).format(table=table)
    return f"SELECT {_ROWS} FROM {table} WHERE {failing}"  # noqa: S608  # a suite's


def _value(given: Any, parameters: Mapping[str, str]) -> Any:
    return parameters[given["$PARAMETER"]] if isinstance(given, Mapping) else given


def _literal(value: str | float) -> str:
    return _escaped("'" + value.replace("'", "''") + "'") if isinstance(value, str) else repr(value)


def _escaped(text: str) -> str:
    """Keep the braces of a literal: the table's name is filled in last."""
    return text.replace("{", "{{").replace("}", "}}")


def _list(values: Sequence[str | float]) -> str:
    return "(" + ", ".join(map(_literal, values)) + ")"


# The parameters of a function are the arguments of an expectation that are understood. A condition
# is true for a row that fails; it is NULL, which is not true, for a row without a value.
def _not_null(*, column: str) -> str:
    return f"{column} IS NULL"


def _null(*, column: str) -> str:
    return f"{column} IS NOT NULL"


def _between(
    *,
    column: str,
    min_value: str | float | None = None,
    max_value: str | float | None = None,
    strict_min: bool = False,
    strict_max: bool = False,
) -> str:
    bounds = []
    if min_value is not None:
        bounds.append(f"{column} {'<=' if strict_min else '<'} {_literal(min_value)}")
    if max_value is not None:
        bounds.append(f"{column} {'>=' if strict_max else '>'} {_literal(max_value)}")
    return " OR ".join(bounds)


def _in_set(*, column: str, value_set: Sequence[str | float]) -> str:
    return f"{column} NOT IN {_list(value_set)}"


def _not_in_set(*, column: str, value_set: Sequence[str | float]) -> str:
    return f"{column} IN {_list(value_set)}"


def _lengths_between(
    *, column: str, min_value: int | None = None, max_value: int | None = None
) -> str:
    return _between(column=f"length({column})", min_value=min_value, max_value=max_value)


def _unique(*, column: str) -> str:
    return (
        f"{column} IN (SELECT {column} FROM {{table}} WHERE {column} IS NOT NULL"  # noqa: S608
        f" GROUP BY {column} HAVING count(*) > 1)"
    )


def _matches(*, column: str, regex: str) -> str:
    return f"NOT regexp_matches({column}, {_literal(regex)})"


def _matches_not(*, column: str, regex: str) -> str:
    return f"regexp_matches({column}, {_literal(regex)})"


def _without_fault(*, column: str, fault: str) -> str:  # noqa: ARG001  # GX needs a column
    return f"list_contains(_unreadable, {_literal(fault)})"


def _present(*, column: str) -> str:
    return _without_fault(column=column, fault=f"missing_{column}")


def _readable(*, column: str) -> str:
    return _without_fault(column=column, fault=f"bad_{column}")


def _in_other_table(*, column: str, other_tables: Sequence[str]) -> str:
    known = " UNION ALL ".join(
        f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608  # a suite's
        for table in other_tables
    )
    # Where the other tables have no row, NULL is not in them, too.
    return f"{column} IS NOT NULL AND {column} NOT IN ({known})"


_CONDITIONS: Final[Mapping[str, Callable[..., str]]] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_be_unique": _unique,
    "expect_column_value_lengths_to_be_between": _lengths_between,
    "expect_column_values_to_match_regex": _matches,
    "expect_column_values_to_not_match_regex": _matches_not,
    # Those of expectations/custom.py.
    "expect_column_values_to_be_present": _present,
    "expect_column_values_to_be_readable": _readable,
    "expect_column_values_to_be_without_fault": _without_fault,
    "expect_column_values_to_be_in_other_table": _in_other_table,
}
