"""File-name patterns of a ``mapping.toml``: which dataset a file is of, whatever its name.

The trigger needs this part of a mapping, to count files; :mod:`delivery.mapping` reads all of it.
"""

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, get_args

from .keys import DatasetName, dataset_of, is_too_long

_DATASETS: Final[tuple[DatasetName, ...]] = get_args(DatasetName)


class PatternError(ValueError):
    """A mapping is not TOML, or its patterns cannot be used; the message says where."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """Glob patterns in lower case, each with its dataset."""

    patterns: tuple[tuple[str, DatasetName], ...] = ()

    @classmethod
    def of_mapping(cls, text: str) -> Self:
        """Return the patterns of a mapping file's text.

        Raises:
            PatternError: the text is not TOML, or ``[files]`` is not a table of patterns.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PatternError(f"not TOML: {error}; correct that line") from error
        return cls.of_document(document)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the patterns of a parsed mapping.

        Raises:
            PatternError: ``[files]`` is not a table of patterns.
        """
        table = document.get("files", {})
        if not isinstance(table, Mapping):
            raise PatternError("files: not a table; write [files] on a line before its keys")
        if unknown := [key for key in table if key not in _DATASETS]:
            raise PatternError(f"[files] {unknown[0]}: an unknown key; use {', '.join(_DATASETS)}")
        return cls(
            tuple(
                (pattern.strip().lower(), dataset)
                for dataset in _DATASETS
                if dataset in table
                for pattern in _texts(dataset, table[dataset])
            )
        )

    def dataset_of(self, name: str) -> DatasetName | None:
        """Return the dataset of a file: the first pattern that matches, or else the usual names."""
        base = name.rsplit("/", 1)[-1].lower()
        for pattern, dataset in self.patterns:
            if fnmatch.fnmatchcase(base, pattern):
                return dataset
        return dataset_of(name)

    def recognise(self, name: str) -> DatasetName | None:
        """Return the dataset of a file that a run may claim, by its path in the landing folder."""
        return None if is_too_long(name) else self.dataset_of(name)


def _texts(key: str, value: object) -> list[str]:
    found: list[Any] = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(text, str) and text.strip() for text in found):
        raise PatternError(f'[files] {key}: is {value!r}; write "NAME" or ["NAME", "OTHER NAME"]')
    return found
