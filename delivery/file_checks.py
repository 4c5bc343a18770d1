"""Checks of a whole file: whether it is UTF-8 text with the columns of its dataset."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import datasets
from .datasets import Dataset

_CHUNK: Final = 4 * 1024 * 1024
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_ARCHIVES: Final = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd", b"PAR1")


@dataclass(frozen=True, slots=True)
class FileFault:
    """Why a file is rejected: ``reason`` is a name of :mod:`delivery.datasets`."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShape:
    """The physical lines of a file, the header included, and the characters that slow parsing."""

    lines: int
    lone_carriage_returns: bool
    tabs: bool


def check_bytes(path: Path) -> FileShape | FileFault:
    """Read every byte of a file once."""
    newlines = carriage_returns = line_ends = 0
    blank, tabs, last, first = True, False, b"", True
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            if first:
                if fault := _wrong_start(chunk):
                    return fault
                chunk = chunk.removeprefix(_UTF8_BOM)
            if (at := chunk.find(b"\0")) >= 0:
                line = newlines + chunk.count(b"\n", 0, at) + 1
                return FileFault(
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
        return FileFault(datasets.EMPTY_FILE, "is empty; its first line must name the columns")
    return FileShape(
        lines=newlines + (last != b"\n"),
        lone_carriage_returns=carriage_returns != line_ends
        or (line_ends > 0 and line_ends != newlines),
        tabs=tabs,
    )


def _wrong_start(chunk: bytes) -> FileFault | None:
    if chunk.startswith(_OTHER_BOMS):
        return FileFault(datasets.NOT_UTF8, "starts with a UTF-16 or UTF-32 mark; save it as UTF-8")
    if chunk.startswith(_ARCHIVES):
        return FileFault(
            datasets.NOT_CSV, "starts like a zip, gzip or Parquet file; deliver plain CSV text"
        )
    return None


def check_header(written: Sequence[str], dataset: Dataset) -> FileFault | None:
    """Check the names of a file's columns, which are compared without regard to case."""
    header = [name.lower() for name in written]
    found = {column.name: column.find(header) for column in dataset.columns if column.is_delivered}
    missing = [name for name in found if found[name] is None]
    if missing:
        shown = ",".join(written)[:200]
        hint = f"its first line is '{shown}'"
        if any(delimiter in shown for delimiter in ";\t|") and len(header) == 1:
            hint += "; columns are separated by commas"
        return FileFault(
            datasets.MISSING_COLUMN,
            f"line 1: no column {', '.join(missing)}: {hint}; name the columns as "
            f"{','.join(dataset.column_names)}, or add to mapping.toml under [{dataset.name}]: "
            + ", ".join(f'{name} = "ITS NAME IN THE FILE"' for name in missing),
        )
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        return FileFault(
            datasets.DUPLICATE_COLUMN,
            f"line 1: column {', '.join(repeated)} is named more than once; keep one of each",
        )
    return None
