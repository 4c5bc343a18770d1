"""The REST API on 127.0.0.1: Chalice's own local server, with the app that is deployed.

``python -m localcloud.api --app DIR --port N`` prints its address as one line of JSON and serves
until its standard input is closed. It does not look at signatures: API Gateway does that.
"""

import argparse
import importlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
# Not that of ecs_processes, which loads moto: 8 of the 9 s that this server started in.
_PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent


class ApiError(RuntimeError):
    """The API did not come up; the message names its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalApi:
    """A running API. Leaving the context stops it."""

    url: str
    _process: subprocess.Popen[str]

    @classmethod
    def start(
        cls, app: Path, *, environment: Mapping[str, str], log_file: Path, port: int = 0
    ) -> Self:
        """Serve the Chalice project ``app`` on ``port`` (0: any free one).

        ``environment`` has the functions' settings and says where AWS is.
        """
        with log_file.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(  # noqa: S603 - this package's own server
                [sys.executable, "-m", __name__, "--app", str(app), "--port", str(port)],
                cwd=_PROJECT_ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        if process.stdout is None or not (line := process.stdout.readline()):
            process.wait()
            raise ApiError(
                f"the API did not start (exit code {process.returncode}): see {log_file}; "
                "if its port is taken, give another one with --api-port"
            )
        return cls(url=json.loads(line)["url"], _process=process)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Chalice says on each request that it lets everybody in.
    warnings.filterwarnings("ignore", message="IAMAuthorizer is not a supported in local mode")
    server = _server(options.app, options.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{HOST}:{server.server_address[1]}"
    # The first request opens the connections to AWS, which two threads must not do at a time.
    with urllib.request.urlopen(f"{url}/kpis/daily"):  # noqa: S310 - this very server
        pass
    print(json.dumps({"url": url}), flush=True)
    sys.stdin.read()
    os._exit(0)


def _server(app: Path, port: int) -> Any:
    from chalice.config import Config
    from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer, create_local_server

    class Handler(ChaliceRequestHandler):
        # Header and body go out in two pieces; with Nagle's algorithm the second one waits
        # 40 ms for the client to acknowledge the first.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            log.info(format, *args)

    class Server(ThreadedHTTPServer):
        # More readers than five may come at the same moment.
        request_queue_size = socket.SOMAXCONN

    sys.path.insert(0, str(app.resolve()))
    project = importlib.import_module("app").app
    local = create_local_server(project, Config.create(lambda_timeout=60), HOST, port)
    wrapped = local._wrapped_handler
    local.server.server_close()
    return Server((HOST, port), lambda *args: Handler(*args, **wrapped.keywords))


if __name__ == "__main__":
    main()
