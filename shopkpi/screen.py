"""Data goes to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

# Wider than a pipe's 80 columns: a table that goes into a file is not to lose its columns.
_PIPE_WIDTH = 160


class Screen:
    """``as_json``: one JSON document instead of tables."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, data: Any, *pictures: "RenderableType") -> None:
        """Print the data, or what was drawn of it."""
        if self.as_json:
            self.show_json(data)
            return
        from rich.text import Text

        console = self.out()
        for picture in pictures:
            # What is no table is not cut into lines: people copy commands from it.
            console.print(picture, soft_wrap=isinstance(picture, (str, Text)), markup=False)

    def show_json(self, data: Any) -> None:
        print(to_json(data))

    def note(self, text: str) -> None:
        """Say something that is not data."""
        self.err().print(text, soft_wrap=True, markup=False, highlight=False)

    def out(self) -> "Console":
        from rich.console import Console

        return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)

    def err(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Turn a spinner while something takes its time."""
        console = self.err()
        if not console.is_terminal:
            yield
            return
        with console.status(text):
            yield

    def progress(self, *, of_bytes: bool = False) -> "Progress":
        """Return bars for work whose size is known, in bytes or in pieces."""
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
        )

        console = self.err()
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if of_bytes else MofNCompleteColumn(),
            console=console,
            transient=True,
            # Into a log it would only put an empty line.
            disable=not console.is_terminal,
        )


def to_json(data: Any) -> str:
    return json.dumps(data, default=_plain, indent=1, ensure_ascii=False)


def _plain(value: object) -> Any:
    """Decimals are written as text: a JSON number would be read as a float."""
    match value:
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case date():
            return value.isoformat()
        case Enum():
            return value.value
        case Path():
            return str(value)
        case set() | frozenset() | tuple():
            return sorted(value) if not isinstance(value, tuple) else list(value)
        case Mapping():
            return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def table(title: str, columns: Mapping[str, str], rows: Any, *, caption: str | None = None) -> Any:
    """Draw rows of text; ``columns`` says of each heading whether it goes left or right."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for heading, side in columns.items():
        drawn.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return drawn
