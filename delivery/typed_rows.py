"""The SQL that appends a CSV file's rows to its dataset's table, typed and cleaned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from . import datasets
from .datasets import Column, Dataset

# Trimming any white space costs four times the parse; trimming spaces, nothing.
TRIM_SPACES: Final = "trim({})"
TRIM_ANY: Final = r"trim({}, E' \t\r\n')"


def insert(
    cursor: duckdb.DuckDBPyConnection,
    ordinal: int,
    path: Path,
    header: Sequence[str],
    dataset: Dataset,
    trim: str,
) -> int:
    """Append a CSV file's rows, typed, and return their number.

    Without a column ``_line`` in its header, a row's line is counted from its position.

    Raises:
        duckdb.InvalidInputException: a record does not split into the header's columns.
    """
    known = {*dataset.column_names, "_line", "_lines"}
    # An extra column may have any name, or none: only its position matters.
    cells = [name if name in known else f"_extra{i}" for i, name in enumerate(header)]
    cleaned = [
        f"nullif({trim.format(_cell(column))}, '') AS {column.name}_text"
        for column in dataset.columns
    ]
    if "_line" in cells:
        place = "_line::BIGINT AS _line, _lines::INTEGER AS _lines"
        longest = 4 * datasets.MAX_ROW_BYTES  # checked already; rewriting has doubled the quotes
    else:
        place = "row_number() OVER () + 1 AS _line, 1 AS _lines"
        longest = datasets.MAX_ROW_BYTES
    required = [f"{column.name} IS NULL" for column in dataset.columns if column.required]
    statement = f"""
        INSERT INTO {dataset.name}
        SELECT {", ".join(dataset.column_names)}, {ordinal}, _line, _lines,
               CASE WHEN {" OR ".join(required)}
               THEN list_filter([{", ".join(map(_fault, dataset.columns))}],
                                lambda fault: fault IS NOT NULL) END
        FROM (SELECT *, {", ".join(map(_value, dataset.columns))}
              FROM (SELECT {", ".join(cleaned)}, {place}
                    FROM read_csv($path, columns={dict.fromkeys(cells, "VARCHAR")},
                                  header=true, auto_detect=false, delim=',', quote='"',
                                  escape='"', strict_mode=true,
                                  max_line_size={longest})))
        """  # noqa: S608  # names are datasets.py's, texts of a mapping are quoted
    inserted = cursor.execute(statement, {"path": str(path)}).fetchall()
    return int(inserted[0][0])


def _cell(column: Column) -> str:
    """Return the SQL of a column's text in the file."""
    if column.from_lines:
        return "NULL::VARCHAR"
    return column.name if column.constant is None else _quoted(column.constant)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fault(column: Column) -> str:
    """Return the SQL of the reason why a column is unreadable, NULL if it is not."""
    if column.from_lines or (column.sql_type == "VARCHAR" and not column.required):
        return "NULL"
    missing = f"CASE WHEN {column.name}_text IS NULL THEN '{column.missing}'"
    return f"{missing} WHEN {column.name} IS NULL THEN '{column.bad}' END"


def _value(column: Column) -> str:
    """Return the SQL that turns a column's cleaned text into its value, NULL if it can't."""
    text = f"{column.name}_text"
    if column.name == "status":
        words = [*column.words, ("canceled", "cancelled")]
        known = " ".join(f"WHEN {_quoted(word)} THEN {_quoted(to)}" for word, to in words)
        value = f"CASE lower({text}) {known} ELSE lower({text}) END"
    elif column.sql_type == "VARCHAR":
        value = text
    elif column.sql_type == "DATE":
        # A timestamp's date is its written date; the offset is ignored. DuckDB also reads
        # words ('epoch', 'infinity') and years that Spark and Python can't represent.
        date = f"try_cast({text} AS DATE)"
        value = (
            f"CASE WHEN {text}[1] BETWEEN '0' AND '9'"
            f" AND {date} BETWEEN DATE '0001-01-01' AND DATE '9999-12-30' THEN {date} END"
        )
    elif column.sql_type == "BIGINT":
        # A plain cast would round 2.5 to 3.
        number = f"try_cast({text} AS DECIMAL(18,4))"
        value = f"CASE WHEN {number} = trunc({number}) THEN {number}::BIGINT END"
    else:
        value = f"try_cast({text} AS {column.sql_type})"
    return f"{value} AS {column.name}"
