"""Starting and stopping the embedded AWS, from the process that uses it."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import boto3

from .containers import Containers
from .ecs_processes import PROJECT_ROOT
from .server import CREDENTIALS

REGION: Final = "eu-north-1"


class StartError(RuntimeError):
    """The server did not come up; the message names its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCloud:
    """A running server process. Leaving the context stops it and the tasks it runs."""

    endpoint: str
    region: str
    home: Path
    _process: subprocess.Popen[str]

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        time_scale: float = 1.0,
        port: int = 0,
        region: str = REGION,
        containers: Containers | None = None,
    ) -> Self:
        """Start the server on ``port`` (0: any free one); its log is ``home``/server.log.

        With ``containers`` its tasks are containers of their images, else processes.
        """
        home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "localcloud.server", "--home", str(home)]
        command += ["--port", str(port or _free_port()), "--region", region]
        command += ["--time-scale", str(time_scale)]
        if containers is not None:
            command += ["--containers", containers.program]
        with (home / "server.err").open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(  # noqa: S603 - this package's own server
                command,
                cwd=PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # A server that Ctrl-C stops before its client would take the client's
                # answers with it.
                start_new_session=True,
            )
        if process.stdout is None or not (line := process.stdout.readline()):
            process.wait()
            raise StartError(
                f"the embedded AWS did not start (exit code {process.returncode}): "
                f"see {home / 'server.err'}"
            )
        ready = json.loads(line)
        return cls(endpoint=ready["endpoint"], region=ready["region"], home=home, _process=process)

    @property
    def environment(self) -> dict[str, str]:
        """What boto3, the AWS CLI and the project's programs need to find this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            **CREDENTIALS,
        }

    def session(self) -> boto3.Session:
        """Return a session for this AWS. boto3 reads the endpoint from the environment."""
        os.environ.update(self.environment)
        return boto3.Session(region_name=self.region)

    @contextmanager
    def announced(self) -> Iterator[Path]:
        """Leave ``home``/environment while this goes on: for ``source`` and ``shopkpi --local``."""
        path = self.home / "environment"
        variables = {**self.environment, "LOCALCLOUD_HOME": str(self.home.resolve())}
        path.write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()),
            encoding="utf-8",
        )
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def wait(self) -> None:
        """Return when the server has ended by itself."""
        self._process.wait()

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
