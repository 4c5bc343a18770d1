"""The files of a delivery: which ones are in a folder, their order, and which are duplicates."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract.keys import DatasetName, dataset_of


class DeliveryError(ValueError):
    """There is nothing to read; the message names the place and the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedFile:
    """A file to read: its name as delivered and the local copy of its bytes.

    ``landed_at`` and ``sha256`` (of the bytes, in hex) are None for a file of a folder. Where
    several versions of a name are read, ``name`` is the key of one and ``version_of`` their name.
    ``mapping`` is the id of the mapping that a manifest gives it.
    """

    name: str
    path: Path
    dataset: DatasetName
    landed_at: datetime | None = None
    sha256: str | None = None
    version_of: str | None = None
    mapping: str | None = None

    @property
    def delivered_name(self) -> str:
        return self.version_of or self.name


def files_in(
    folder: Path, dataset_of: Callable[[str], DatasetName | None] = dataset_of
) -> list[LandedFile]:
    """List the CSV files of a folder and its folders that are of a dataset, sorted by name.

    A file's name is its path within the folder. ``dataset_of`` returns the dataset of a file name;
    a mapping has its own.

    Raises:
        DeliveryError: the folder does not exist or has no files.
    """
    if not folder.is_dir():
        raise DeliveryError(f"{folder}: no such folder; --input takes a folder of CSV files")
    names = names_in(folder)
    if not names:
        raise DeliveryError(
            f"{folder}: no orders_*.csv, order_items_*.csv or products.csv in it; "
            "give the folder that holds the delivery"
        )
    return [
        LandedFile(name=name, path=folder / name, dataset=dataset)
        for name in names
        if (dataset := dataset_of(name)) is not None
    ]


def names_in(folder: Path) -> list[str]:
    """Return the paths of the files in a folder and its folders, without hidden ones, sorted."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)
    )


def not_recognised_in(folder: Path, files: Iterable[LandedFile]) -> list[str]:
    """Return the names in a folder that are not among the files that were listed."""
    known = {file.name for file in files}
    return [name for name in names_in(folder) if name not in known]


def in_order_of_landing(file: LandedFile) -> tuple[datetime, str]:
    """Return the sort key of files: landing time, then name."""
    return file.landed_at or datetime.min.replace(tzinfo=UTC), file.delivered_name


def duplicates(files: Sequence[LandedFile]) -> dict[int, int]:
    """Map the index of each file that counts no second time to that of the first with its bytes.

    ``files`` are in the order of landing. Bytes belong to the name under which they landed first:
    under another name they are a duplicate. Under their own name they are one only while they are
    its current version, so that a correction that is undone (A, then B, then A) ends as A. Only
    files of one dataset and of equal size are hashed and compared.
    """
    sizes = Counter((file.dataset, file.path.stat().st_size) for file in files)
    first: dict[tuple[DatasetName, int, str], int] = {}
    current: dict[str, tuple[DatasetName, int, str]] = {}
    repeated: dict[int, int] = {}
    for index, file in enumerate(files):
        size = file.path.stat().st_size
        digest = _digest(file) if sizes[file.dataset, size] > 1 else ""
        content = file.dataset, size, digest
        original = first.setdefault(content, index)
        name = file.delivered_name
        is_own = files[original].delivered_name == name
        if original != index and (not is_own or current[name] == content):
            repeated[index] = original
        current[name] = content
    return repeated


def _digest(file: LandedFile) -> str:
    if file.sha256 is not None:
        return file.sha256
    with file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
