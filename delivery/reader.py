"""Read a delivery's CSV files into DuckDB tables: strict, by name, every row accounted for.

Both containers and the stand-alone transform read through this module, so they
all see the same rows. After :func:`read`, the connection holds

``orders``, ``order_items``, ``products``
    the dataset's columns, typed and cleaned (NULL where missing or unreadable), and
    ``_file`` (USMALLINT, the ordinal of a :class:`FileReading`), ``_line`` (BIGINT, the
    physical line on which the record starts; the header is line 1), ``_lines`` (INTEGER,
    how many physical lines it spans) and ``_unreadable`` (VARCHAR[] of ``missing_<column>``
    and ``bad_<column>``, NULL when every value can be read);
``unreadable_rows``
    ``_file``, ``_line``, ``_lines``, ``reason``: records that do not split into the
    header's columns.

DuckDB parses every file. Where the number of parsed rows does not explain the number of
physical lines (embedded newlines, blank lines, malformed records), counting rows does not give
their lines. Such a file is read again by :mod:`delivery.records`, written as plain CSV with line
numbers, and passed to the same SQL.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import duckdb

from . import datasets
from .datasets import Dataset
from .file_checks import FileFault, check_bytes, check_header
from .landed_files import LandedFile, duplicates, in_order_of_landing
from .mapping import STANDARD, FileMapping
from .records import header_of, rewrite
from .typed_rows import TRIM_ANY, TRIM_SPACES, insert

Status = Literal["read", "rejected", "duplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """The result for one file. ``rows`` counts its records, unreadable ones included."""

    file: LandedFile
    ordinal: int
    status: Status
    reason: str | None = None
    detail: str | None = None
    rows: int = 0


def read(
    files: Sequence[LandedFile],
    connection: duckdb.DuckDBPyConnection,
    *,
    threads: int = 2,
    mapping: FileMapping = STANDARD,
) -> list[FileReading]:
    """Read the files into the tables described above; ``FileReading.ordinal`` is their key.

    Files are numbered by landing time, then name (a folder has no landing times), so that "the
    later file" of the identity rules is the larger ordinal. A file that is no CSV of its dataset
    is reported as rejected and leaves no row; of several byte-identical files of one dataset the
    first is read.
    """
    _create_tables(connection, mapping)
    ordered = sorted(files, key=in_order_of_landing)
    originals = duplicates(ordered)
    with (
        ThreadPoolExecutor(max_workers=threads) as pool,
        tempfile.TemporaryDirectory(prefix="delivery-") as scratch,
    ):

        def one(ordinal: int) -> FileReading:
            reading = FileReading(file=ordered[ordinal], ordinal=ordinal, status="read")
            if ordinal in originals:
                return replace(
                    reading,
                    status="duplicate",
                    reason=datasets.DUPLICATE_FILE,
                    detail=f"the same bytes as {ordered[originals[ordinal]].name}: counted once",
                )
            with connection.cursor() as cursor:
                return _read_file(reading, cursor, Path(scratch), mapping)

        return list(pool.map(one, range(len(ordered))))


def _create_tables(connection: duckdb.DuckDBPyConnection, mapping: FileMapping) -> None:
    for dataset in mapping.datasets.values():
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in dataset.columns)
        connection.execute(
            f"CREATE TABLE {dataset.name} ({columns}, _file USMALLINT, _line BIGINT,"
            " _lines INTEGER, _unreadable VARCHAR[])"
        )
    connection.execute(
        "CREATE TABLE unreadable_rows"
        " (_file USMALLINT, _line BIGINT, _lines INTEGER, reason VARCHAR)"
    )


def _read_file(
    reading: FileReading,
    cursor: duckdb.DuckDBPyConnection,
    scratch: Path,
    mapping: FileMapping,
) -> FileReading:
    path, dataset = reading.file.path, mapping.datasets[reading.file.dataset]
    shape = check_bytes(path)
    if isinstance(shape, FileFault):
        return _rejected(reading, shape)
    written = header_of(path)
    if fault := check_header(written, dataset):
        return _rejected(reading, fault)
    header = dataset.columns_in([name.lower() for name in written])

    if not shape.lone_carriage_returns:
        cursor.execute("BEGIN")
        trim = TRIM_ANY if shape.tabs else TRIM_SPACES
        try:
            rows = insert(cursor, reading.ordinal, path, header, dataset, trim)
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            rows = -1  # a record does not split into the header's columns
        if rows + 1 == shape.lines:
            cursor.execute("COMMIT")
            return replace(reading, rows=rows)
        cursor.execute("ROLLBACK")
    return _read_line_by_line(reading, cursor, header, dataset, scratch)


def _rejected(reading: FileReading, fault: FileFault) -> FileReading:
    return replace(reading, status="rejected", reason=fault.reason, detail=fault.detail)


def _read_line_by_line(
    reading: FileReading,
    cursor: duckdb.DuckDBPyConnection,
    header: Sequence[str],
    dataset: Dataset,
    scratch: Path,
) -> FileReading:
    plain, bad = scratch / f"{reading.ordinal}.csv", scratch / f"{reading.ordinal}.bad.csv"
    unreadable = rewrite(reading.file.path, header, plain, bad)
    columns = [*filter(None, header), "_line", "_lines"]
    rows = insert(cursor, reading.ordinal, plain, columns, dataset, TRIM_ANY)
    cursor.execute(
        "INSERT INTO unreadable_rows SELECT $ordinal, * FROM read_csv("
        "$path, header=false, auto_detect=false,"
        " columns={'_line': 'BIGINT', '_lines': 'INTEGER', 'reason': 'VARCHAR'})",
        {"ordinal": reading.ordinal, "path": str(bad)},
    )
    plain.unlink()
    bad.unlink()
    return replace(reading, rows=rows + unreadable)
