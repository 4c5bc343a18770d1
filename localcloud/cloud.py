"""Starts and stops the embedded AWS from the process that uses it."""

import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import boto3

from .child import Child, ServerContext
from .containers import Containers
from .server import CREDENTIALS

REGION: Final = "eu-north-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCloud(ServerContext):
    """A running server process. Leaving the context stops it and the tasks it runs."""

    endpoint: str
    region: str
    home: Path
    _server: Child

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        time_scale: float = 1.0,
        port: int = 0,
        region: str = REGION,
        containers: Containers | None = None,
        registry: str = "",
    ) -> Self:
        """Start the server on ``port`` (0: any free one); its log is ``home``/server.log.

        With ``containers`` tasks are containers of their images, otherwise processes. ``registry``
        is host:port of the image registry behind its ECR.
        """
        home.mkdir(parents=True, exist_ok=True)
        arguments = ["--home", str(home), "--region", region, "--time-scale", str(time_scale)]
        arguments += ["--port", str(port or _free_port())]
        if containers is not None:
            arguments += ["--containers", containers.program]
        if registry:
            arguments += ["--registry", registry]
        server = Child.start(
            "localcloud.server", arguments, log_file=home / "server.err", environment={}
        )
        return cls(
            endpoint=server.ready["endpoint"],
            region=server.ready["region"],
            home=home,
            _server=server,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which boto3 and the AWS CLI call this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            **CREDENTIALS,
        }

    def session(self) -> boto3.Session:
        """Return a session whose clients call this AWS, independent of the environment."""
        return _Session(
            self.endpoint,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )

    @contextmanager
    def announced(self) -> Iterator[Path]:
        """Keep the file ``home``/environment during the context: for ``source`` and ``--local``."""
        with exported(self.home / "environment", self.environment) as path:
            yield path

    def wait(self) -> None:
        """Return when the server has ended."""
        self._server.wait()


@contextmanager
def exported(path: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Keep a file for ``source`` with the variables of ``environment`` during the context."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    path.write_text("".join(lines), encoding="utf-8")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class _Session(boto3.Session):
    """boto3 takes an endpoint for one client, or for all clients from the environment."""

    def __init__(self, endpoint: str, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = endpoint

    def client(self, *args: Any, **options: Any) -> Any:
        return super().client(*args, **{"endpoint_url": self._endpoint, **options})

    def resource(self, *args: Any, **options: Any) -> Any:
        return super().resource(*args, **{"endpoint_url": self._endpoint, **options})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
