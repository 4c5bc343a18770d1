"""Checks of a whole file: whether it is UTF-8 text with the columns of its dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import datasets
from .datasets import Dataset
from .records import Header

# Fits into a core's cache: the scans take half the time that they take on 4 MiB.
_CHUNK: Final = 256 * 1024
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_CONTROL: Final = bytes(byte for byte in (*range(32), 127) if byte not in b"\r\n")
# How the characters of words.WHITE_SPACE and the control characters beyond ASCII begin in UTF-8.
_UNUSUAL: Final = (
    b"\xc2", b"\xe1\x9a", b"\xe1\xa0", b"\xe2\x80", b"\xe2\x81", b"\xe3\x80", b"\xef\xbb",
)  # fmt: skip
_OPEN_ENDS: Final = (b",\n", b",\r\n", b'""\n', b'""\r\n')
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_ARCHIVES: Final = (b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd", b"PAR1")


@dataclass(frozen=True, slots=True)
class FileFault:
    """Why a file is rejected: ``reason`` is a name of :mod:`delivery.datasets`."""

    reason: str
    detail: str


NO_HEADER: Final = FileFault(datasets.EMPTY_FILE, "is empty; its first line must name the columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShape:
    """What the bytes of a file say about its parsing.

    ``lines`` counts the physical lines, the header included, and ``commas`` all commas.
    ``irregular``: DuckDB may split it into other records than :mod:`delivery.records`.
    ``quoted``: it has quotes; only then ``open_ends`` says whether a line may end with an empty
    field.
    ``unusual``: it has control characters or white space other than spaces and line ends.
    ``exponents``: it may have a number such as 4.5E+15.
    """

    lines: int
    commas: int
    irregular: bool
    quoted: bool
    open_ends: bool
    unusual: bool
    exponents: bool


def check_bytes(path: Path) -> FileShape | FileFault:
    """Read every byte of a file once."""
    lines = commas = crlf = 0
    first, blank, ends = True, True, b"\n"
    quoted = spaced = lone = open_ends = unusual = exponents = False
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            # Up to the next line end: no sequence of bytes that is looked for is cut in two.
            chunk += source.readline(datasets.MAX_ROW_BYTES)
            if first:
                if fault := _wrong_start(chunk):
                    return fault
                chunk = chunk.removeprefix(_UTF8_BOM)
                first = False
            if len(chunk.translate(None, _CONTROL)) != len(chunk):
                unusual = True
                if (at := chunk.find(b"\0")) >= 0:
                    line = lines + chunk.count(b"\n", 0, at) + 1
                    return FileFault(
                        datasets.NOT_CSV, f"line {line} has a NUL byte; deliver plain CSV text"
                    )
            lines += chunk.count(b"\n")
            commas += chunk.count(b",")
            if b"\r" in chunk:
                ended = chunk.count(b"\r\n")
                crlf += ended
                lone = lone or ended != chunk.count(b"\r")
            if b'"' in chunk:
                quoted = True
                # DuckDB reads '"a" "b"' as the one value 'a b'.
                spaced = spaced or b'" ' in chunk
                open_ends = open_ends or any(end in chunk for end in _OPEN_ENDS)
            unusual = unusual or (not chunk.isascii() and any(part in chunk for part in _UNUSUAL))
            exponents = exponents or (b"+" in chunk and (b"E+" in chunk or b"e+" in chunk))
            blank = blank and not chunk.strip()
            ends = chunk[-2:] or ends
    if blank:
        return NO_HEADER
    return FileShape(
        lines=lines + (not ends.endswith(b"\n")),
        commas=commas,
        irregular=lone or spaced or crlf not in (0, lines),
        quoted=quoted,
        open_ends=open_ends or ends.endswith((b",", b'""')),
        unusual=unusual,
        exponents=exponents,
    )


def _wrong_start(chunk: bytes) -> FileFault | None:
    if chunk.startswith(_OTHER_BOMS):
        return FileFault(datasets.NOT_UTF8, "starts with a UTF-16 or UTF-32 mark; save it as UTF-8")
    if chunk.startswith(_ARCHIVES):
        return FileFault(
            datasets.NOT_CSV,
            "starts like an archive or a Parquet file; deliver CSV, plain or gzip",
        )
    return None


def check_header(header: Header, dataset: Dataset) -> FileFault | None:
    """Check the names of a file's columns; those that no dataset needs may have any name."""
    found = {
        column.name: column.find(header.columns)
        for column in dataset.columns
        if column.is_delivered
    }
    missing = [name for name in found if found[name] is None]
    if missing:
        shown = ",".join(header.written)[:200]
        hint = f"its first line is '{shown}'"
        if any(delimiter in shown for delimiter in ";\t|") and len(header.written) == 1:
            hint += "; columns are separated by commas"
        return FileFault(
            datasets.MISSING_COLUMN,
            f"line {header.line}: no column {', '.join(missing)}: {hint}; name the columns as "
            f"{','.join(dataset.column_names)}, or add to mapping.toml under [{dataset.name}]: "
            + ", ".join(f'{name} = "ITS NAME IN THE FILE"' for name in missing),
        )
    repeated = [name for name in found.values() if name and header.columns.count(name) > 1]
    if repeated:
        return FileFault(
            datasets.DUPLICATE_COLUMN,
            f"line {header.line}: column {', '.join(repeated)} is named more than once;"
            " keep one of each",
        )
    return None
