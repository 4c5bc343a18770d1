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
    header's columns at all.

DuckDB parses every file. Where the number of parsed rows does not explain the number of
physical lines (embedded newlines, blank lines, malformed records), a row's line can't be
told by counting; only such a file is read again by Python's ``csv`` module, which is slower
but knows its lines, rewritten as plain CSV, and given to the same SQL.
"""

import csv
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import duckdb

from contract.keys import DatasetName, dataset_of

from . import datasets
from .datasets import DATASETS, Dataset

_CHUNK: Final = 4 * 1024 * 1024
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_ARCHIVES: Final = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd", b"PAR1")

Status = Literal["read", "rejected", "duplicate"]


class DeliveryError(ValueError):
    """There is nothing to read; the message says where and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedFile:
    """A file to read: its name as delivered and the local copy of its bytes.

    ``landed_at`` and ``sha256`` (of the bytes, in hex) are None for a file of a folder.
    """

    name: str
    path: Path
    dataset: DatasetName
    landed_at: datetime | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReading:
    """What became of one file. ``rows`` counts its records, unreadable ones included."""

    file: LandedFile
    ordinal: int
    status: Status
    reason: str | None = None
    detail: str | None = None
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What one pass over a file's bytes tells."""

    newlines: int
    ends_in_newline: bool
    lone_carriage_returns: bool
    tabs: bool

    @property
    def lines(self) -> int:
        return self.newlines + (not self.ends_in_newline)


def files_in(folder: Path) -> list[LandedFile]:
    """List the CSV files of a folder that bear a dataset's name, by name.

    Raises:
        DeliveryError: the folder does not exist or holds no such file.
    """
    if not folder.is_dir():
        raise DeliveryError(f"{folder}: no such folder; --input takes a folder of CSV files")
    found = [
        LandedFile(name=path.name, path=path, dataset=dataset)
        for path in sorted(folder.iterdir())
        if path.is_file() and (dataset := dataset_of(path.name)) is not None
    ]
    if not found:
        raise DeliveryError(
            f"{folder}: no orders_*.csv, order_items_*.csv or products.csv in it; "
            "give the folder that holds the delivery"
        )
    return found


def read(
    files: Sequence[LandedFile], connection: duckdb.DuckDBPyConnection, *, threads: int = 2
) -> list[FileReading]:
    """Read the files into the tables described above; ``FileReading.ordinal`` is their key.

    Files are numbered by landing time, then name (a folder has no landing times), so that "the
    later file" of the identity rules is the larger ordinal. A file that is no CSV of its dataset
    is reported as rejected and leaves no row; of several byte-identical files of one dataset the
    first is read.
    """
    _create_tables(connection)
    ordered = sorted(files, key=in_order_of_landing)
    originals = _duplicates(ordered)
    with (
        ThreadPoolExecutor(max_workers=threads) as pool,
        tempfile.TemporaryDirectory(prefix="delivery-") as scratch,
    ):

        def one(ordinal: int) -> FileReading:
            file = ordered[ordinal]
            reading = FileReading(file=file, ordinal=ordinal, status="read")
            if ordinal in originals:
                return replace(
                    reading,
                    status="duplicate",
                    reason=datasets.DUPLICATE_FILE,
                    detail=f"the same bytes as {ordered[originals[ordinal]].name}: counted once",
                )
            with connection.cursor() as cursor:
                return _read_file(reading, cursor, Path(scratch))

        return list(pool.map(one, range(len(ordered))))


def in_order_of_landing(file: LandedFile) -> tuple[datetime, str]:
    return file.landed_at or datetime.min.replace(tzinfo=UTC), file.name


def raw_text(file: LandedFile, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """Yield (line, raw text without its last line end) for each (line, lines) of one file."""
    wanted = dict(rows)
    pending: list[str] = []
    start = left = 0
    with file.path.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        for number, text in enumerate(source, start=1):
            if not left and number in wanted:
                start, left, pending = number, wanted[number], []
            if left:
                pending.append(text)
                left -= 1
                if not left:
                    yield start, "".join(pending).rstrip("\r\n")
    if left:
        yield start, "".join(pending).rstrip("\r\n")


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    for dataset in DATASETS.values():
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in dataset.columns)
        connection.execute(
            f"CREATE TABLE {dataset.name} ({columns}, _file USMALLINT, _line BIGINT,"
            " _lines INTEGER, _unreadable VARCHAR[])"
        )
    connection.execute(
        "CREATE TABLE unreadable_rows"
        " (_file USMALLINT, _line BIGINT, _lines INTEGER, reason VARCHAR)"
    )


def _duplicates(ordered: Sequence[LandedFile]) -> dict[int, int]:
    """Map the ordinal of each byte-identical later file to its original's.

    Only files of equal size are hashed: two files of different size can't be the same.
    """
    sizes = Counter((file.dataset, file.path.stat().st_size) for file in ordered)
    first: dict[tuple[DatasetName, str], int] = {}
    repeated: dict[int, int] = {}
    for ordinal, file in enumerate(ordered):
        if sizes[file.dataset, file.path.stat().st_size] > 1:
            original = first.setdefault((file.dataset, _digest(file)), ordinal)
            if original != ordinal:
                repeated[ordinal] = original
    return repeated


def _digest(file: LandedFile) -> str:
    if file.sha256 is not None:
        return file.sha256
    with file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _read_file(
    reading: FileReading, cursor: duckdb.DuckDBPyConnection, scratch: Path
) -> FileReading:
    file, dataset = reading.file, DATASETS[reading.file.dataset]
    checked = _check_bytes(reading)
    if isinstance(checked, FileReading):
        return checked
    written = _header(file.path)
    header = [name.lower() for name in written]
    problem = _header_problem(written, header, dataset)
    if problem is not None:
        reason, detail = problem
        return replace(reading, status="rejected", reason=reason, detail=detail)

    if not checked.lone_carriage_returns:
        cursor.execute("BEGIN")
        # Trimming any white space costs four times the parse; trimming spaces, nothing.
        trim = _TRIM_ANY if checked.tabs else _TRIM_SPACES
        try:
            rows = _insert(cursor, reading.ordinal, file.path, header, dataset, trim)
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            rows = -1  # the parser gave up on the file's structure
        if rows + 1 == checked.lines:
            cursor.execute("COMMIT")
            return replace(reading, rows=rows)
        cursor.execute("ROLLBACK")

    plain, bad = scratch / f"{reading.ordinal}.csv", scratch / f"{reading.ordinal}.bad.csv"
    unreadable = _rewrite(file.path, header, dataset, plain, bad)
    rewritten = [*dataset.column_names, "_line", "_lines"]
    rows = _insert(cursor, reading.ordinal, plain, rewritten, dataset, _TRIM_ANY)
    cursor.execute(
        "INSERT INTO unreadable_rows SELECT $ordinal, * FROM read_csv("
        "$path, header=false, auto_detect=false,"
        " columns={'_line': 'BIGINT', '_lines': 'INTEGER', 'reason': 'VARCHAR'})",
        {"ordinal": reading.ordinal, "path": str(bad)},
    )
    plain.unlink()
    bad.unlink()
    return replace(reading, rows=rows + unreadable)


def _check_bytes(reading: FileReading) -> _Shape | FileReading:
    """Look at every byte once: is it text at all, and how many lines has it?"""

    def rejected(reason: str, detail: str) -> FileReading:
        return replace(reading, status="rejected", reason=reason, detail=detail)

    newlines = carriage_returns = line_ends = 0
    blank, tabs, last, first = True, False, b"", True
    with reading.file.path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            if first:
                if chunk.startswith(_OTHER_BOMS):
                    return rejected(
                        datasets.NOT_UTF8, "starts with a UTF-16 or UTF-32 mark; save it as UTF-8"
                    )
                if chunk.startswith(_ARCHIVES):
                    return rejected(
                        datasets.NOT_CSV,
                        "starts like a zip, gzip or Parquet file; deliver plain CSV text",
                    )
                chunk = chunk.removeprefix(_UTF8_BOM)
            if (at := chunk.find(b"\0")) >= 0:
                line = newlines + chunk.count(b"\n", 0, at) + 1
                return rejected(
                    datasets.NOT_CSV, f"line {line} has a NUL byte; deliver plain CSV text"
                )
            newlines += chunk.count(b"\n")
            carriage_returns += chunk.count(b"\r")
            line_ends += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            blank = blank and not chunk.strip()
            tabs = tabs or b"\t" in chunk
            last = chunk[-1:] or last
            first = False
    if blank:
        return rejected(datasets.EMPTY_FILE, "is empty; its first line must name the columns")
    return _Shape(
        newlines=newlines,
        ends_in_newline=last == b"\n",
        lone_carriage_returns=carriage_returns != line_ends
        or (line_ends > 0 and line_ends != newlines),
        tabs=tabs,
    )


def _header(path: Path) -> list[str]:
    """Return the column names of a file's first line, trimmed."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as source:
        try:
            record = next(
                csv.reader([source.readline(datasets.MAX_ROW_BYTES)], skipinitialspace=True)
            )
        except csv.Error:
            return []
    return [name.strip() for name in record]


def _header_problem(
    written: list[str], header: list[str], dataset: Dataset
) -> tuple[str, str] | None:
    missing = [name for name in dataset.column_names if name not in header]
    if missing:
        shown = ",".join(written)[:200]
        hint = f"its first line is '{shown}'"
        if any(delimiter in shown for delimiter in ";\t|") and len(header) == 1:
            hint += "; columns are separated by commas"
        return (
            datasets.MISSING_COLUMN,
            f"line 1: no column {', '.join(missing)}: {hint}; name the columns as "
            f"{','.join(dataset.column_names)}",
        )
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        return (
            datasets.DUPLICATE_COLUMN,
            f"line 1: column {', '.join(repeated)} stands more than once; keep one of each",
        )
    return None


def _insert(
    cursor: duckdb.DuckDBPyConnection,
    ordinal: int,
    path: Path,
    header: Sequence[str],
    dataset: Dataset,
    trim: str,
) -> int:
    """Append a CSV file's rows, typed, and return how many there were.

    Raises:
        duckdb.InvalidInputException: a record does not split into the header's columns.
    """
    known = {*dataset.column_names, "_line", "_lines"}
    # An extra column may have any name, or none: only its place matters.
    cells = [name if name in known else f"_extra{i}" for i, name in enumerate(header)]
    cleaned = [f"nullif({trim.format(name)}, '') AS {name}_text" for name in dataset.column_names]
    if "_line" in cells:
        place = "_line::BIGINT AS _line, _lines::INTEGER AS _lines"
        longest = 4 * datasets.MAX_ROW_BYTES  # checked before; quotes are doubled since
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
        """  # noqa: S608  # every name in it is one of datasets.py's
    inserted = cursor.execute(statement, {"path": str(path)}).fetchall()
    return int(inserted[0][0])


_TRIM_SPACES: Final = "trim({})"
_TRIM_ANY: Final = r"trim({}, E' \t\r\n')"


def _fault(column: datasets.Column) -> str:
    """Return the SQL of the reason why a column can't be read, NULL if it can."""
    if column.sql_type == "VARCHAR" and not column.required:
        return "NULL"
    missing = f"CASE WHEN {column.name}_text IS NULL THEN '{column.missing}'"
    return f"{missing} WHEN {column.name} IS NULL THEN '{column.bad}' END"


def _value(column: datasets.Column) -> str:
    """Return the SQL that turns a column's cleaned text into its value, NULL if it can't."""
    text = f"{column.name}_text"
    if column.name == "status":
        value = f"CASE lower({text}) WHEN 'canceled' THEN 'cancelled' ELSE lower({text}) END"
    elif column.sql_type == "VARCHAR":
        value = text
    elif column.sql_type == "DATE":
        # A timestamp's date is the one that is written, whatever its offset. DuckDB also reads
        # words ('epoch', 'infinity') and years that Spark and Python have no date for.
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


def _rewrite(path: Path, header: Sequence[str], dataset: Dataset, plain: Path, bad: Path) -> int:
    """Write a file's records as plain CSV with their lines; return how many could not be split."""
    places = [header.index(name) for name in dataset.column_names]
    unreadable = 0
    with (
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source,
        plain.open("w", encoding="utf-8", newline="") as plain_file,
        bad.open("w", encoding="utf-8", newline="") as bad_file,
    ):
        rows = csv.writer(plain_file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerow([*dataset.column_names, "_line", "_lines"])
        faults = csv.writer(bad_file, lineterminator="\n")
        for line, lines, record in _records(source, len(header)):
            if isinstance(record, str):
                faults.writerow([line, lines, record])
                unreadable += 1
            else:
                rows.writerow([*(record[place] for place in places), line, lines])
    return unreadable


def _records(source: Iterable[str], width: int) -> Iterator[tuple[int, int, list[str] | str]]:
    """Yield (first line, number of lines, fields or the reason why there are none).

    A record that can't be parsed costs its first physical line only: a stray quote must not
    take the good rows after it along.
    """
    lines = _Lines(source)
    next(csv.reader(lines, skipinitialspace=True))  # the header, already looked at
    while lines.begin():
        start = lines.number + 1
        try:
            record = next(csv.reader(lines, strict=True, skipinitialspace=True))
        except StopIteration:
            return
        except csv.Error:
            too_long = lines.put_back_all_but_first()
            reason = datasets.ROW_TOO_LONG if too_long else datasets.MALFORMED_QUOTING
            yield start, 1, reason
            continue
        if not record:
            continue
        if len(record) == width + 1 and not record[-1]:
            record.pop()  # DuckDB, too, takes a comma at the end of a line for nothing
        taken = lines.number + 1 - start
        if len(record) != width:
            yield start, taken, datasets.WRONG_FIELD_COUNT
        elif any(
            "\udc80" <= char <= "\udcff"
            for field in record
            if not field.isascii()
            for char in field
        ):
            yield start, taken, datasets.INVALID_ENCODING
        else:
            yield start, taken, record


class _Lines(Iterator[str]):
    """Physical lines with their number, and a way back for those a record took wrongly."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._again: list[str] = []  # to be read next, the last one first
        self._record: list[str] = []
        self._size = 0
        self.number = 0

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._source)
        self.number += 1
        self._record.append(line)
        self._size += len(line)
        if self._size > datasets.MAX_ROW_BYTES:
            raise csv.Error(f"a record of more than {datasets.MAX_ROW_BYTES} bytes")
        return line

    def begin(self) -> bool:
        """Start a record; False when there is no line left."""
        self._record, self._size = [], 0
        if not self._again:
            line = next(self._source, None)
            if line is None:
                return False
            self._again.append(line)
        return True

    def put_back_all_but_first(self) -> bool:
        """Give back what a broken record took; True when its first line alone is too long."""
        self._again.extend(reversed(self._record[1:]))
        self.number -= len(self._record) - 1
        return len(self._record[0]) > datasets.MAX_ROW_BYTES


# A field may be as long as a row: csv's own limit is 128 KiB.
csv.field_size_limit(datasets.MAX_ROW_BYTES)
