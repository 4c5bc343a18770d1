"""The REST API on 127.0.0.1: Chalice's local server with the deployed app.

``python -m localcloud.api --app DIR --port N`` prints its address as one line of JSON and serves
until its standard input is closed. It does not check signatures, which API Gateway does in AWS.
"""

import argparse
import importlib
import json
import logging
import os
import socket
import sys
import threading
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from .child import Child, ServerContext

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalApi(ServerContext):
    """A running API. Leaving the context stops it."""

    url: str
    _server: Child

    @classmethod
    def start(
        cls, app: Path, *, environment: Mapping[str, str], log_file: Path, port: int = 0
    ) -> Self:
        """Serve the Chalice project ``app`` on ``port`` (0: any free one).

        ``environment`` has the functions' settings and says where AWS is.
        """
        server = Child.start(
            __name__,
            ["--app", str(app), "--port", str(port)],
            log_file=log_file,
            environment=environment,
        )
        return cls(url=server.ready["url"], _server=server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Chalice warns on each request that it does not check signatures.
    warnings.filterwarnings("ignore", message="IAMAuthorizer is not a supported in local mode")
    server = _server(options.app, options.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{HOST}:{server.server_address[1]}"
    # The first request creates the AWS clients, which two threads must not do at the same time.
    with urllib.request.urlopen(f"{url}/kpis/daily"):  # noqa: S310 - this server
        pass
    print(json.dumps({"url": url}), flush=True)
    sys.stdin.read()
    os._exit(0)


def _server(app: Path, port: int) -> Any:
    from chalice.config import Config
    from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer, create_local_server

    class Handler(ChaliceRequestHandler):
        # Header and body are two packets. With Nagle's algorithm the second one waits 40 ms for
        # the acknowledgement of the first.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            log.info(format, *args)

    class Server(ThreadedHTTPServer):
        # The default queue has room for five connections.
        request_queue_size = socket.SOMAXCONN

    sys.path.insert(0, str(app.resolve()))
    project = importlib.import_module("app").app
    local = create_local_server(project, Config.create(lambda_timeout=60), HOST, port)
    wrapped = local._wrapped_handler
    local.server.server_close()
    return Server((HOST, port), lambda *args: Handler(*args, **wrapped.keywords))


if __name__ == "__main__":
    main()
