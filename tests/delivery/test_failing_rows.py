"""The SQL of each type of expectation finds the rows that Great Expectations counts."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from delivery.failing_rows import failing_rows
from delivery.rules import Rule, SuiteError

SOURCE = Path("orders.json")
ROWS = (("a{1}", 1), ("bb", 2), ("bb", 3), (None, None), ("it's", 5))

# The reader's, by line.
FAULTS = {2: ["bad_n", "missing_name"], 3: ["wrong_field_count"]}


def rule(kind: str, **kwargs: Any) -> Rule:
    return Rule(
        type=kind,
        reason="wrong",
        effect="quarantine_row",
        severity="critical",
        explanation=".",
        kwargs=kwargs,
    )


def found(kind: str, **kwargs: Any) -> set[int]:
    """Return the lines that fail; the first row is on line 1."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t (name VARCHAR, n INTEGER, _file INTEGER, _line INTEGER, _lines INTEGER,"
            " _unreadable VARCHAR[])"
        )
        connection.execute("CREATE TABLE no_n (n INTEGER)")
        connection.execute("CREATE TABLE known AS SELECT unnest(['bb', NULL]) AS name")
        for line, row in enumerate(ROWS, start=1):
            faults = FAULTS.get(line)
            connection.execute("INSERT INTO t VALUES (?, ?, 0, ?, 1, ?)", [*row, line, faults])
        query = failing_rows(rule(kind, **kwargs), "t", {"most": "2"}, source=SOURCE)
        return {line for _, line, _ in connection.execute(query).fetchall()}


@pytest.mark.parametrize(
    ("kind", "kwargs", "lines"),
    [
        ("values_to_not_be_null", {"column": "n"}, {4}),
        ("values_to_be_null", {"column": "n"}, {1, 2, 3, 5}),
        ("values_to_be_between", {"column": "n", "min_value": 2}, {1}),
        ("values_to_be_between", {"column": "n", "max_value": {"$PARAMETER": "most"}}, {3, 5}),
        (
            "values_to_be_between",
            {"column": "n", "min_value": 1, "max_value": 5, "strict_min": True, "strict_max": True},
            {1, 5},
        ),
        ("values_to_be_in_set", {"column": "name", "value_set": ["a{1}", "it's"]}, {2, 3}),
        ("values_to_not_be_in_set", {"column": "name", "value_set": ["a{1}", "it's"]}, {1, 5}),
        ("values_to_be_unique", {"column": "name"}, {2, 3}),
        ("value_lengths_to_be_between", {"column": "name", "min_value": 3}, {2, 3}),
        ("values_to_match_regex", {"column": "name", "regex": "^[ab]{2}$"}, {1, 5}),
        ("values_to_not_match_regex", {"column": "name", "regex": "'"}, {5}),
        ("values_to_be_present", {"column": "name"}, {2}),
        ("values_to_be_readable", {"column": "n"}, {2}),
        ("values_to_be_without_fault", {"column": "_line", "fault": "wrong_field_count"}, {3}),
        # A missing value is not in question, also where nothing is known.
        (
            "values_to_be_in_other_table",
            {"column": "n", "other_tables": ["no_n"]},
            {1, 2, 3, 5},
        ),
        ("values_to_be_in_other_table", {"column": "name", "other_tables": ["known"]}, {1, 5}),
    ],
)
def test_a_condition_finds_exactly_the_rows_that_do_not_meet_it(
    kind: str, kwargs: dict[str, Any], lines: set[int]
) -> None:
    assert found(f"expect_column_{kind}", **kwargs) == lines


def test_a_query_of_the_suite_is_used_as_it_is() -> None:
    query = "SELECT _file, _line, _lines FROM {batch} WHERE regexp_matches(name, 'b{{2}}')"
    assert found("unexpected_rows_expectation", unexpected_rows_query=query) == {2, 3}


def test_a_type_without_sql_is_an_error_that_names_file_and_type() -> None:
    with pytest.raises(SuiteError, match=r"orders\.json: wrong has the type expect_nothing, which"):
        found("expect_nothing", column="n")


@pytest.mark.parametrize("argument", ["row_condition", "mostly"])
def test_an_argument_without_sql_is_an_error_that_names_it(argument: str) -> None:
    with pytest.raises(SuiteError, match=f"unexpected keyword argument '{argument}'"):
        found("expect_column_values_to_not_be_null", column="n", **{argument: 1})
