"""Structured logs: one JSON object a line, every field of ``extra`` in it.

A message may take its values by name from a mapping; they are fields then as well:
``log.info("read %(rows)d rows", {"rows": 7})`` reads well and can be queried.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

# What a LogRecord always has; everything else came in through ``extra``.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """``always`` is in every line, such as the run that a process works for."""

    def __init__(self, **always: str) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        named = record.args if isinstance(record.args, Mapping) else {}
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._always,
            **named,
            **fields,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(logger: logging.Logger) -> None:
    """Let ``logger`` write JSON lines to standard error: each once, however often this is called.

    Where functions share a process, each brings a copy of this module and configures the same
    logger.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
