"""Output: data goes to standard output, everything else to standard error."""

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

# Rich assumes 80 columns for a pipe and cuts wider tables.
_PIPE_WIDTH = 160


class Screen:
    """``as_json``: one JSON document instead of tables."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, data: Any, *rendered: "RenderableType") -> None:
        """Print ``data`` as JSON, or else its rendered form."""
        if self.as_json:
            self.show_json(data)
            return
        from rich.text import Text

        console = self.out()
        for part in rendered:
            # Text is not wrapped: people copy commands from it.
            console.print(part, soft_wrap=isinstance(part, (str, Text)), markup=False)

    def show_json(self, data: Any) -> None:
        print(to_json(data))

    def show_csv(self, text: str) -> None:
        """Print CSV with the line ends of the terminal, not those of the format."""
        print(text.replace("\r\n", "\n"), end="")

    def note(self, text: str) -> None:
        """Print something that is not data."""
        self.err().print(text, soft_wrap=True, markup=False, highlight=False)

    def out(self) -> "Console":
        from rich.console import Console

        return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)

    def err(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show a spinner during an operation."""
        console = self.err()
        if not console.is_terminal:
            yield
            return
        with console.status(text):
            yield

    def progress(self, *, of_bytes: bool = False) -> "Progress":
        """Return progress bars, which count bytes or items."""
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
            # In a log it would only print an empty line.
            disable=not console.is_terminal,
        )


def to_json(data: Any) -> str:
    return json.dumps(data, default=_plain, indent=1, ensure_ascii=False)


def _plain(value: object) -> Any:
    """Write decimals as text: most programs read a JSON number as a float."""
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
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def table(title: str, columns: Mapping[str, str], rows: Any, *, caption: str | None = None) -> Any:
    """Return a table of text; ``columns`` gives the alignment of each heading, left or right."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for heading, side in columns.items():
        shown.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return shown
