"""The log of a container: JSON lines in the pipeline, text for a person."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from rich.console import Console

from contract.json_log import JsonLines

log = logging.getLogger(__name__)

_OURS: Final = ("dashboard", "delivery", "expectations", "spark_jobs")


@contextmanager
def container_log(*, errors_as: str, manifest: str | None = None) -> Iterator[None]:
    """Send what is logged inside the block to standard error.

    With a run's ``manifest`` as JSON lines that have its run_id, Python's warnings included.
    Otherwise as text, where errors begin with ``errors_as``.
    """
    handler = _Text(errors_as) if manifest is None else _json(run_of(manifest))
    handler.addFilter(_is_logged)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(manifest is not None)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        logging.captureWarnings(capture=False)


def run_of(manifest: str) -> str:
    """Return the run id in a manifest's address; the manifest need not exist.

    >>> run_of("s3://shop/runs/20250301T000000Z-0123456789abcdef/manifest.json")
    '20250301T000000Z-0123456789abcdef'
    """
    return PurePosixPath(manifest).parent.name


def _is_logged(record: logging.LogRecord) -> bool:
    """Return whether a record is logged: of other packages, only warnings and errors are."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in _OURS


def one_line(error: object) -> str:
    """Return a message without line breaks: a log has one line per error."""
    return " ".join(str(error).split())


def _json(run_id: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(run_id=run_id))
    return handler


class _Text(logging.Handler):
    """The message only; the traceback of a crash is in the pipeline's log."""

    def __init__(self, errors_as: str) -> None:
        super().__init__()
        self._errors_as = errors_as
        self._console = Console(stderr=True, highlight=False, markup=False)

    def emit(self, record: logging.LogRecord) -> None:
        failed = record.levelno >= logging.ERROR
        text = f"{self._errors_as}: {record.getMessage()}" if failed else record.getMessage()
        self._console.print(text, style="red" if failed else None, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Phases:
    """The seconds of each phase of a container's work, logged at its end."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        took = time.monotonic() - start
        self.seconds[name] = round(self.seconds.get(name, 0) + took, 3)
        log.info("%(phase)s: %(seconds).1f s", {"phase": name, "seconds": round(took, 3)})
