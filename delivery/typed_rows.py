"""The SQL that appends a CSV file's rows to its dataset's table, typed and cleaned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from . import datasets
from .datasets import Column, Dataset
from .words import WHITE_SPACE, spelled_statuses

_NOT_CLEAN: Final = "a row that is not clean"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainCsv:
    """A CSV file that DuckDB reads, and what its values need.

    ``columns`` has the dataset's name of each column, "" for one that is not needed. A
    ``numbered`` file is written by :mod:`delivery.records` and has ``_line`` and ``_lines`` among
    them; else a row's line is counted from its position. ``unusual`` and ``exponents`` are those
    of :class:`delivery.file_checks.FileShape`.
    """

    path: Path
    columns: Sequence[str]
    numbered: bool = False
    unusual: bool = True
    exponents: bool = True


class NotCleanError(Exception):
    """A row has a value that is missing or faulty, or is blank."""


def insert_clean(
    cursor: duckdb.DuckDBPyConnection,
    ordinal: int,
    source: PlainCsv,
    dataset: Dataset,
    null_words: Sequence[str],
) -> int:
    """Append the rows of a file without any faulty value, typed, and return their number.

    Raises:
        NotCleanError: use :func:`insert`, which says what is wrong in half the speed.
        duckdb.InvalidInputException: a record does not split into the header's columns.
    """
    tests = [_may_be_faulty(column, source, null_words) for column in dataset.columns]
    texts = [f"nullif({name}_text, '') AS {name}_text" for name in dataset.column_names]
    values = [_value(column) for column in dataset.columns]
    faults = f"CASE WHEN {' OR '.join(filter(None, tests))} THEN error('{_NOT_CLEAN}') END"
    try:
        return _insert(cursor, ordinal, source, dataset, (texts, values, faults))
    except duckdb.InvalidInputException as error:
        if _NOT_CLEAN in str(error):
            raise NotCleanError from error
        raise


def insert(
    cursor: duckdb.DuckDBPyConnection,
    ordinal: int,
    source: PlainCsv,
    dataset: Dataset,
    null_words: Sequence[str],
) -> int:
    """Append a CSV file's rows, typed, with the faults of each, and return their number.

    Raises:
        duckdb.InvalidInputException: a record does not split into the header's columns.
    """
    texts = [_text(column, null_words) for column in dataset.columns]
    values = [_value(column) for column in dataset.columns]
    found = ", ".join(_fault(column) for column in dataset.columns)
    faults = f"list_filter([{found}], lambda fault: fault IS NOT NULL)"
    # A row of commas is no row: counting then gives no lines, and the file is read line by line.
    blank = " AND ".join(f"{name}_text IS NULL" for name in dataset.column_names)
    only = "" if source.numbered else f"WHERE NOT ({blank})"
    steps = (texts, values, f"nullif({faults}, [])")
    return _insert(cursor, ordinal, source, dataset, steps, only=only)


def _insert(
    cursor: duckdb.DuckDBPyConnection,
    ordinal: int,
    source: PlainCsv,
    dataset: Dataset,
    steps: tuple[Sequence[str], Sequence[str], str],
    only: str = "",
) -> int:
    texts, values, faults = steps
    trimmed, parameters = texts_of(source, dataset)
    statement = f"""
        INSERT INTO {dataset.name}
        SELECT {", ".join(dataset.column_names)}, {ordinal}, _line, _lines, {faults}
        FROM (SELECT *, {", ".join(values)}
              FROM (SELECT _line, _lines, {", ".join(texts)} FROM ({trimmed}))
              {only})
        """  # noqa: S608  # names are datasets.py's, texts are quoted
    inserted = cursor.execute(statement, parameters).fetchall()
    return int(inserted[0][0])


def texts_of(source: PlainCsv, dataset: Dataset) -> tuple[str, dict[str, str]]:
    """Return the SELECT of a file's rows and its parameters.

    Its columns are ``_line``, ``_lines`` and, for each column of the dataset, ``NAME_text``, the
    trimmed text.
    """
    if source.numbered:
        place = "_line::BIGINT AS _line, _lines::INTEGER AS _lines"
    else:
        place = "row_number() OVER () + 1 AS _line, 1 AS _lines"
    # Trimming any white space costs four times the parse; trimming spaces, nothing.
    trim = "trim({}, $white_space)" if source.unusual else "trim({})"
    trimmed = ", ".join(
        f"{trim.format(_cell(column))} AS {column.name}_text" for column in dataset.columns
    )
    parameters = {"path": escaped(source.path)}
    if source.unusual:
        parameters["white_space"] = WHITE_SPACE
    return f"SELECT {trimmed}, {place} FROM {_read_csv(source)}", parameters  # noqa: S608  # texts are quoted


def _read_csv(source: PlainCsv) -> str:
    """Return the FROM item of a file, whose cells are text; the parameter ``path`` is its path."""
    # An extra column may have any name, or none: only its position matters.
    cells = [name or f"_extra{place}" for place, name in enumerate(source.columns)]
    # The length of rewritten rows is checked already; rewriting has doubled the quotes.
    longest = 4 * datasets.MAX_ROW_BYTES if source.numbered else datasets.MAX_ROW_BYTES
    return f"""
        read_csv($path, columns={dict.fromkeys(cells, "VARCHAR")}, header=true,
                 auto_detect=false, hive_partitioning=false, delim=',', quote='"', escape='"',
                 strict_mode=true, max_line_size={longest})
        """


def escaped(path: Path) -> str:
    """Return the glob pattern that matches this path alone: DuckDB takes each path as a pattern."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in str(path))


def _text(column: Column, null_words: Sequence[str]) -> str:
    """Return the SQL of a column's text, NULL where it is empty or a word for nothing."""
    text = f"{column.name}_text"
    missing = _is_null_word(column, null_words)
    if missing is None:
        return f"nullif({text}, '') AS {text}"
    return f"CASE WHEN {text} <> '' AND NOT ({missing}) THEN {text} END AS {text}"


def _is_null_word(column: Column, null_words: Sequence[str]) -> str | None:
    if not null_words or not (column.key or column.name == "status"):
        return None
    text = f"{column.name}_text"
    longest = max(len(word.encode()) for word in null_words)
    listed = ", ".join(map(_quoted, null_words))
    # Most ids are longer, and the length of a text is known without reading it.
    return f"strlen({text}) <= {longest} AND lower({text}) IN ({listed})"


def _cell(column: Column) -> str:
    """Return the SQL of a column's text in the file."""
    if column.from_lines:
        return "NULL::VARCHAR"
    return column.name if column.constant is None else _quoted(column.constant)


def _value(column: Column) -> str:
    """Return the SQL that turns a column's cleaned text into its value, NULL if it can't.

    A text stays as it is; so does an unknown status, which a suite finds.
    """
    text = f"{column.name}_text"
    if column.name == "status":
        words = [*column.words, *spelled_statuses()]
        known = " ".join(f"WHEN {_quoted(word)} THEN {_quoted(to)}" for word, to in words)
        value = f"CASE lower({text}) {known} ELSE {text} END"
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


def _may_be_faulty(column: Column, source: PlainCsv, null_words: Sequence[str]) -> str | None:
    """Return the SQL of whether a column needs :func:`insert`, NULL or false when not."""
    tests = [f"{column.name} IS NULL"] if column.required else []
    if missing := _is_null_word(column, null_words):
        tests.append(f"({missing})")
    if column.is_id and source.exponents:
        tests.append(_is_mangled(column))
    if column.is_number and column.is_delivered:
        # Three digits after a point may be thousands: delivery/ambiguous_amounts.py.
        tests.append(f"{column.name}_text LIKE '%.___'")
    return " OR ".join(tests) or None


def _fault(column: Column) -> str:
    """Return the SQL of the reason why a column is unreadable, NULL if it is not."""
    text = f"{column.name}_text"
    cases = []
    if column.required:
        cases.append(f"WHEN {text} IS NULL THEN '{column.missing}'")
        cases.append(f"WHEN {column.name} IS NULL THEN '{column.bad}'")
    if column.is_id:
        cases.append(f"WHEN {_is_mangled(column)} THEN '{column.mangled}'")
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def _is_mangled(column: Column) -> str:
    """Return the SQL of whether a spreadsheet has shortened an id, as in 4.50603E+15."""
    return rf"regexp_full_match({column.name}_text, '[1-9]([.,][0-9]+)?[eE]\+[0-9]{{2,3}}')"


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"
