"""Runs a server of this package as a child process, which ends with its parent."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Not the constant of ecs_processes, which imports moto: 8 of the 9 s of a server's start.
_PROJECT_ROOT = Path(__file__).resolve().parent.parent
_SECONDS_TO_END = 10


class StartError(RuntimeError):
    """A server did not start; the message names its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A server that runs until its standard input is closed.

    ``ready`` is the line of JSON that it prints when it accepts requests.
    """

    ready: Mapping[str, Any]
    _process: subprocess.Popen[str]

    @classmethod
    def start(
        cls,
        module: str,
        arguments: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str],
    ) -> Self:
        """Run ``python -m module`` and wait until it is ready.

        ``environment`` is added to this process's own.

        Raises:
            StartError: it ended instead.
        """
        with log_file.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(  # noqa: S603 - this package's own servers
                [sys.executable, "-m", module, *arguments],
                cwd=_PROJECT_ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C must not stop the server before its client has its responses.
                start_new_session=True,
            )
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            process.communicate()
            raise StartError(
                f"{module} did not start (exit code {process.returncode}): see {log_file}; "
                "if its port is taken, give another one (--port, --api-port)"
            )
        return cls(ready=json.loads(line), _process=process)

    def wait(self) -> None:
        """Return when the server has ended."""
        self._process.wait()

    def stop(self) -> None:
        try:
            self._process.communicate(timeout=_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


class ServerContext:
    """A context that stops its server at the end."""

    __slots__ = ()
    _server: Child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop()
