"""The file ``mapping.toml``: how a shop's files are named, and what their columns mean.

It changes names and words, not values: there are no expressions, and nothing is guessed.
``docs/mapping.md`` describes the file.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, get_args

from contract.file_names import FileNames, PatternError
from contract.keys import DatasetName

from .datasets import DATASETS, Column, Dataset
from .landed_files import DeliveryError
from .words import NULL_WORDS, STATUS_WORDS, STATUSES, null_words

LINE_ID: Final = "line_id"
_LINE_ID_COLUMN: Final = Column(LINE_ID, "VARCHAR", "the shop's id of the line", required=False)
_DATASET_NAMES: Final[tuple[DatasetName, ...]] = get_args(DatasetName)


class MappingError(DeliveryError):
    """A mapping can't be used; the message names the file, the table and the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """How files are read: the datasets' columns, and the patterns of file names.

    ``null_words``, in lower case, are missing values in ids, categories and statuses.
    """

    datasets: Mapping[DatasetName, Dataset] = field(default_factory=lambda: DATASETS)
    names: FileNames = field(default_factory=FileNames)
    null_words: tuple[str, ...] = NULL_WORDS

    @classmethod
    def from_settings(cls, path: Path | None, env: Mapping[str, str]) -> Self:
        """Read a mapping file, if there is one, and the setting NULL_WORDS.

        Raises:
            MappingError: the file can't be used.
        """
        return replace(cls.read(path) if path else cls(), null_words=null_words(env))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a mapping file.

        Raises:
            MappingError: there is no such file, it is not TOML, or a key or value is unknown.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise MappingError(f"{path}: {error.strerror}; check MAPPING or --mapping") from error
        except UnicodeDecodeError as error:
            raise MappingError(f"{path}: not TOML: {error}; correct that line") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Read the text of a mapping file; ``place`` is where it is from.

        Raises:
            MappingError: it is not TOML, or a key or value is unknown.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise MappingError(f"{place}: not TOML: {error}; correct that line") from error
        return cls._from_tables(_Table(document, place))

    @classmethod
    def _from_tables(cls, document: "_Table") -> Self:
        document.require_known(("files", "statuses", *_DATASET_NAMES))
        words = _statuses(document.table("statuses"))
        datasets = {
            name: _dataset(DATASETS[name], document.table(name), words) for name in _DATASET_NAMES
        }
        try:
            names = FileNames.of_document(document.values)
        except PatternError as error:
            raise MappingError(f"{document.place}: {error}") from error
        return cls(datasets=datasets, names=names)

    def dataset_of(self, name: str) -> DatasetName | None:
        """Return the dataset of a file by its name."""
        return self.names.dataset_of(name)

    @property
    def has_line_ids(self) -> bool:
        return LINE_ID in self.datasets["order_items"].column_names

    def with_line_ids(self) -> Self:
        """Return the mapping with a column of line ids, which is empty where it had none."""
        if self.has_line_ids:
            return self
        lines = self.datasets["order_items"]
        column = replace(_LINE_ID_COLUMN, from_lines=True)
        with_ids = replace(lines, columns=(*lines.columns, column))
        return replace(self, datasets={**self.datasets, "order_items": with_ids})


STANDARD: Final = FileMapping()


def mapping_of(env: Mapping[str, str]) -> Path | None:
    """Return the file that the setting MAPPING names; None when it is not set or empty."""
    return Path(env["MAPPING"]) if env.get("MAPPING") else None


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table, and where it is for messages: the file and the table's name."""

    values: Mapping[str, Any]
    place: str

    def error(self, key: str, fact: str) -> MappingError:
        return MappingError(f"{self.place} {key}: {fact}")

    def require_known(self, known: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in known:
                raise self.error(key, f"an unknown key; use {', '.join(known)}")

    def table(self, key: str) -> "_Table":
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"not a table; write [{key}] on a line before its keys")
        return _Table(value, f"{self.place}: [{key}]")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text, or a list of them, as a tuple."""
        value = self.values[key]
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(text, str) and text.strip() for text in found):
            raise self.error(key, f'is {value!r}; write "NAME" or ["NAME", "OTHER NAME"]')
        return tuple(text.strip() for text in found)


def _statuses(table: _Table) -> tuple[tuple[str, str], ...]:
    for word, status in table.values.items():
        if status not in STATUS_WORDS:
            raise table.error(word, f"is {status!r}; use one of {', '.join(STATUSES)}")
    return tuple(
        (word.strip().lower(), STATUS_WORDS[status]) for word, status in table.values.items()
    )


def _dataset(dataset: Dataset, table: _Table, words: tuple[tuple[str, str], ...]) -> Dataset:
    columns = dataset.columns
    if dataset.name == "order_items":
        table.require_known((*dataset.column_names, LINE_ID))
        if LINE_ID in table.values:
            columns = (*columns, _LINE_ID_COLUMN)
    else:
        table.require_known(dataset.column_names)
    mapped = [_column(column, table) for column in columns]
    return replace(
        dataset,
        columns=tuple(
            replace(column, words=words) if column.name == "status" else column for column in mapped
        ),
    )


def _column(column: Column, table: _Table) -> Column:
    value = table.values.get(column.name)
    if value is None:
        return column
    if isinstance(value, (str, list)):
        return replace(column, names=tuple(name.lower() for name in table.texts(column.name)))
    match value:
        case {"constant": str(text), **others} if not others:
            return replace(column, constant=text)
        case {"from": "lines", **others} if column.name == "total_amount" and not others:
            return replace(column, from_lines=True, required=False)
    lines = ' or { from = "lines" }' if column.name == "total_amount" else ""
    raise table.error(
        column.name,
        f'is {value!r}; write "NAME", ["NAME", "OTHER NAME"], {{ constant = "TEXT" }}{lines}',
    )
