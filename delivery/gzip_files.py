"""Gzip files: recognised by their content, unpacked to disk in bounded memory and space."""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from . import datasets
from .file_checks import FileFault

_MAGIC: Final = b"\x1f\x8b"
_CHUNK: Final = 1024 * 1024
# CSV shrinks to a tenth, an export of one value everywhere to a hundredth; gzip's limit is 1,032.
_MAX_RATIO: Final = 200
_ALWAYS_ALLOWED: Final = 64 * 1024 * 1024


def is_gzip(path: Path) -> bool:
    with path.open("rb") as source:
        return source.read(len(_MAGIC)) == _MAGIC


def opened(path: Path) -> BinaryIO:
    """Open a file, packed or not, to read its content as bytes."""
    return gzip.open(path) if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def unpack(packed: Path, target: Path) -> FileFault | None:
    """Write the content of a gzip file to ``target``; the fault says why it can't be read."""
    limit = max(_ALWAYS_ALLOWED, _MAX_RATIO * packed.stat().st_size)
    size = 0
    try:
        with gzip.open(packed) as source, target.open("wb") as sink:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    return FileFault(
                        datasets.DAMAGED_GZIP,
                        f"unpacks to more than {limit:,} bytes, {_MAX_RATIO} times its size;"
                        " deliver it as plain CSV",
                    )
                sink.write(chunk)
    except EOFError:
        return FileFault(
            datasets.DAMAGED_GZIP,
            f"ends within its gzip data, after {size:,} bytes of content; deliver it again",
        )
    except (gzip.BadGzipFile, zlib.error) as error:
        return FileFault(
            datasets.DAMAGED_GZIP, f"its gzip data is damaged ({error}); deliver it again"
        )
    return None
