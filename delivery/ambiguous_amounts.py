"""Amounts of which a column does not say what their point separates: decimals or thousands.

``150.000`` is read as 150. Beside ``1.250.000``, or where no amount of the column shows decimals,
it may be 150,000. Such rows are accepted, and reported with a warning.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import duckdb

from .datasets import Column, Dataset
from .typed_rows import PlainCsv, texts_of

TABLE: Final = """
    CREATE TABLE ambiguous_amounts (
        _file UINTEGER, _line BIGINT, _lines INTEGER, name VARCHAR, amount VARCHAR, proof VARCHAR)
    """
# Three digits after the only point: 150.000.
_AMBIGUOUS: Final = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
# Points that can only separate thousands: 1.250.000 or 1.250,00.
_THOUSANDS: Final = rf"{_AMBIGUOUS}((\.[0-9]{{3}})+(,[0-9]+)?|,[0-9]+)"
# There is no fraction of a piece. A quantity of 1.000 alone is one piece in many exports.
_THOUSANDS_OF_PIECES: Final = rf"{_THOUSANDS}|[1-9][0-9]{{0,2}}\.([1-9][0-9]{{2}}|0[1-9]0|00[1-9])"
_WITH_A_POINT: Final = r"[+-]?[0-9]*\.[0-9]*"


def record(
    cursor: duckdb.DuckDBPyConnection, ordinal: int, source: PlainCsv, dataset: Dataset
) -> None:
    """Append a file's ambiguous amounts to ``ambiguous_amounts``.

    ``proof`` is an amount of the same column whose points separate thousands, NULL without one.
    """
    columns = [column for column in dataset.columns if column.is_number and column.is_delivered]
    if not columns:
        return
    texts, parameters = texts_of(source, dataset)
    for name, proof in _ambiguous_columns(cursor, columns, texts, parameters):
        cursor.execute(
            f"INSERT INTO ambiguous_amounts SELECT {ordinal}, _line, _lines, '{name}',"  # noqa: S608  # names are datasets.py's
            f" {name}_text, $proof FROM ({texts}) WHERE {_matches(name, _AMBIGUOUS)}",
            {**parameters, "proof": proof},
        )


def _ambiguous_columns(
    cursor: duckdb.DuckDBPyConnection,
    columns: Sequence[Column],
    texts: str,
    parameters: dict[str, str],
) -> Iterator[tuple[str, str | None]]:
    facts = ", ".join(map(_facts, columns))
    [found] = cursor.execute(f"SELECT {facts} FROM ({texts})", parameters).fetchall()  # noqa: S608  # names are datasets.py's
    for column, fact in zip(columns, found, strict=True):
        if fact["ambiguous"] and (fact["proof"] is not None or not fact["has_decimals"]):
            yield column.name, fact["proof"]


def _facts(column: Column) -> str:
    pieces = column.sql_type == "BIGINT"
    name, thousands = column.name, _THOUSANDS_OF_PIECES if pieces else _THOUSANDS
    decimals = f"{_matches(name, _WITH_A_POINT)} AND NOT {_matches(name, _AMBIGUOUS)}"
    return (
        f"{{'ambiguous': bool_or({_matches(name, _AMBIGUOUS)}),"
        f" 'proof': min({name}_text) FILTER ({_matches(name, thousands)}),"
        f" 'has_decimals': {'true' if pieces else f'bool_or({decimals})'}}}"
    )


def _matches(name: str, pattern: str) -> str:
    return f"regexp_full_match({name}_text, '{pattern}')"
