"""Write the second half of docs/shopkpi.md: the help of every command.

    python -m shopkpi.reference

A test compares the document with the help.
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer.main

from .app import app
from .pipeline import PROJECT

DOCUMENT: Final = PROJECT / "docs/shopkpi.md"
# Everything after this heading is generated.
MARK: Final = "## Reference\n"
_WIDTH: Final = 90


def main() -> int:
    written = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
    DOCUMENT.write_text(written + render(), encoding="utf-8")
    return 0


def render() -> str:
    group: Any = typer.main.get_command(app)
    parts = [MARK, _help(group, "shopkpi", None)]
    for name, command in group.commands.items():
        parts += [f"\n### {name}\n", _help(command, name, group)]
    return "\n".join(parts) + "\n"


def _help(command: Any, name: str, group: Any) -> str:
    given = {"resilient_parsing": True, "terminal_width": _WIDTH}
    parent = None if group is None else group.make_context("shopkpi", [], **given)
    context = command.make_context(name, [], parent=parent, **given)
    return "\n".join(["```", *_stripped(context.get_help()), "```"])


def _stripped(text: str) -> Iterator[str]:
    yield from (line.rstrip() for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
