"""Read a delivery's CSV files into DuckDB tables: strict, by name, every row accounted for.

Both containers and the stand-alone transform read through this module, so they
all see the same rows. After :func:`read`, the connection holds

``orders``, ``order_items``, ``products``
    the dataset's columns, typed and cleaned (NULL where missing or unreadable), and
    ``_file`` (UINTEGER, the ordinal of a :class:`FileReading`), ``_line`` (BIGINT, the
    physical line on which the record starts; the header is line 1), ``_lines`` (INTEGER,
    how many physical lines it spans) and ``_unreadable`` (VARCHAR[] of ``missing_<column>``,
    ``bad_<column>`` and ``mangled_<column>``, NULL when every value can be read);
``unreadable_rows``
    ``_file``, ``_line``, ``_lines``, ``reason``: records that do not split into the
    header's columns;
``ambiguous_amounts``
    ``_file``, ``_line``, ``_lines``, ``name`` of the column, ``amount`` and ``proof``: see
    :mod:`delivery.ambiguous_amounts`.

DuckDB parses every file. Where the number of parsed rows does not explain the number of
physical lines (embedded newlines, blank lines, malformed records), counting rows does not give
their lines. Such a file is read again by :mod:`delivery.records`, written as plain CSV with line
numbers, and passed to the same SQL. So is a file that DuckDB may split by other rules than
that module has: both give the same rows for any file.
"""

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import duckdb

from . import ambiguous_amounts, datasets
from .file_checks import NO_HEADER, FileFault, FileShape, check_bytes, check_header
from .gzip_files import is_gzip, unpack
from .landed_files import LandedFile, duplicates, in_order_of_landing
from .mapping import STANDARD, FileMapping
from .records import Header, header_of, rewrite
from .typed_rows import NotCleanError, PlainCsv, escaped, insert, insert_clean

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
    mappings: Mapping[str, FileMapping] | None = None,
) -> list[FileReading]:
    """Read the files into the tables described above; ``FileReading.ordinal`` is their key.

    Files are numbered by landing time, then name (a folder has no landing times), so that "the
    later file" of the identity rules is the larger ordinal. A file that is no CSV of its dataset
    is reported as rejected and leaves no row. A duplicate is not read: see
    :func:`delivery.landed_files.duplicates`.
    Files that name one of ``mappings`` are read with it, all others with ``mapping``. If one of
    them has line ids, order_items has a column ``line_id``.
    """
    by_id: dict[str | None, FileMapping] = {None: mapping}
    by_id.update(mappings or {})
    if any(each.has_line_ids for each in by_id.values()):
        by_id = {key: each.with_line_ids() for key, each in by_id.items()}
    _create_tables(connection, by_id[None])
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
                of_file = by_id[reading.file.mapping]
                return _read_file(reading, cursor, Path(scratch), of_file)

        return list(pool.map(one, range(len(ordered))))


def _create_tables(connection: duckdb.DuckDBPyConnection, mapping: FileMapping) -> None:
    for dataset in mapping.datasets.values():
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in dataset.columns)
        connection.execute(
            f"CREATE TABLE {dataset.name} ({columns}, _file UINTEGER, _line BIGINT,"
            " _lines INTEGER, _unreadable VARCHAR[])"
        )
    connection.execute(
        "CREATE TABLE unreadable_rows"
        " (_file UINTEGER, _line BIGINT, _lines INTEGER, reason VARCHAR)"
    )
    connection.execute(ambiguous_amounts.TABLE)


def _read_file(
    reading: FileReading,
    cursor: duckdb.DuckDBPyConnection,
    scratch: Path,
    mapping: FileMapping,
) -> FileReading:
    path = reading.file.path
    if not is_gzip(path):
        return _read_csv(reading, path, cursor, scratch, mapping)
    unpacked = scratch / f"{reading.ordinal}.unpacked.csv"
    try:
        if fault := unpack(path, unpacked):
            return _rejected(reading, fault)
        return _read_csv(reading, unpacked, cursor, scratch, mapping)
    finally:
        unpacked.unlink(missing_ok=True)


def _read_csv(
    reading: FileReading,
    path: Path,
    cursor: duckdb.DuckDBPyConnection,
    scratch: Path,
    mapping: FileMapping,
) -> FileReading:
    dataset = mapping.datasets[reading.file.dataset]
    shape = check_bytes(path)
    if isinstance(shape, FileFault):
        return _rejected(reading, shape)
    header = header_of(path)
    if header is None:
        return _rejected(reading, NO_HEADER)
    if fault := check_header(header, dataset):
        return _rejected(reading, fault)
    if header.line == 1 and not shape.irregular:
        source = PlainCsv(
            path=path,
            columns=dataset.columns_in(header.columns),
            unusual=shape.unusual,
            exponents=shape.exponents,
        )
        for append in (insert_clean, insert):
            cursor.execute("BEGIN")
            try:
                rows = append(cursor, reading.ordinal, source, dataset, mapping.null_words)
            except NotCleanError:
                cursor.execute("ROLLBACK")
                continue
            except (duckdb.InvalidInputException, duckdb.ConversionException):
                rows = -1  # a record does not split into the header's columns
            if _is_one_row_a_line(rows, shape, header):
                if append is insert:
                    ambiguous_amounts.record(cursor, reading.ordinal, source, dataset)
                cursor.execute("COMMIT")
                return replace(reading, rows=rows)
            cursor.execute("ROLLBACK")
            break
    return _read_line_by_line(reading, path, cursor, header, scratch, mapping)


def _is_one_row_a_line(rows: int, shape: FileShape, header: Header) -> bool:
    """Return whether each line after the header is a row with exactly the header's fields.

    DuckDB skips empty fields after the last column. No line has one if the number of commas is
    right, or if no line ends with an empty field.
    """
    exact = shape.commas == shape.lines * (len(header.written) - 1)
    return rows + 1 == shape.lines and (exact or (shape.quoted and not shape.open_ends))


def _rejected(reading: FileReading, fault: FileFault) -> FileReading:
    return replace(reading, status="rejected", reason=fault.reason, detail=fault.detail)


def _read_line_by_line(
    reading: FileReading,
    path: Path,
    cursor: duckdb.DuckDBPyConnection,
    header: Header,
    scratch: Path,
    mapping: FileMapping,
) -> FileReading:
    dataset = mapping.datasets[reading.file.dataset]
    plain, bad = scratch / f"{reading.ordinal}.csv", scratch / f"{reading.ordinal}.bad.csv"
    columns = dataset.columns_in(header.columns)
    unreadable = rewrite(path, header, columns, plain, bad)
    source = PlainCsv(
        path=plain, columns=[*filter(None, columns), "_line", "_lines"], numbered=True
    )
    rows = insert(cursor, reading.ordinal, source, dataset, mapping.null_words)
    ambiguous_amounts.record(cursor, reading.ordinal, source, dataset)
    cursor.execute(
        "INSERT INTO unreadable_rows SELECT $ordinal, * FROM read_csv("
        "$path, header=false, auto_detect=false, hive_partitioning=false,"
        " columns={'_line': 'BIGINT', '_lines': 'INTEGER', 'reason': 'VARCHAR'})",
        {"ordinal": reading.ordinal, "path": escaped(bad)},
    )
    plain.unlink()
    bad.unlink()
    return replace(reading, rows=rows + unreadable)
