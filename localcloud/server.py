"""The server process of the embedded AWS.

``python -m localcloud.server --home DIR --port N --time-scale X`` prints its address as
one line of JSON, serves until its standard input is closed, and then kills its tasks.
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from .containers import Containers

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# The services that the state machine and the functions call.
_SERVICES = ("s3", "stepfunctions", "lambda", "ecs", "sns", "cloudwatch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--time-scale", type=float, default=1.0)
    parser.add_argument("--containers", metavar="PROGRAM", help="docker or podman: run the images")
    parser.add_argument("--registry", metavar="HOST:PORT", help="the image registry behind its ECR")
    arguments = parser.parse_args()
    arguments.home.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=arguments.home / "server.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # One line per request and per client would be most of the log.
    for name in ("werkzeug", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    serve(
        arguments.home.resolve(),
        arguments.port,
        arguments.region,
        arguments.time_scale,
        Containers(arguments.containers) if arguments.containers else None,
        arguments.registry,
    )


def serve(
    home: Path,
    port: int,
    region: str,
    time_scale: float,
    containers: Containers | None = None,
    registry_address: str | None = None,
) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    os.environ.update(
        CREDENTIALS,
        AWS_ENDPOINT_URL=endpoint,
        AWS_DEFAULT_REGION=region,
        AWS_REGION=region,
        # moto's Step Functions calls the other services through this port.
        MOTO_PORT=str(port),
    )
    # moto reads its settings at import.
    from moto.core.config import default_user_config
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    from . import (
        access,
        clock,
        ecs_processes,
        events,
        lambda_functions,
        log_groups,
        moto_patches,
        registry,
    )

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    log_groups.install()
    ecs_processes.install(home, containers)
    lambda_functions.install(home)
    events.install(home)
    moto_patches.install()
    if registry_address:
        registry.install(registry_address)
    clock.install(time_scale)
    access.install(home)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    _connect(region)
    stop = threading.Event()
    schedules = threading.Thread(
        target=events.run_schedules, args=(time_scale, home, stop), daemon=True
    )
    schedules.start()
    print(json.dumps({"endpoint": endpoint, "region": region}), flush=True)
    _wait_for_end()
    stop.set()
    ecs_processes.stop_all()
    # Threads of executions and functions would keep the interpreter alive.
    os._exit(0)


def _wait_for_end() -> None:
    """Return when standard input is closed, or a signal has closed it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.stdin.close())
    with contextlib.suppress(ValueError):
        sys.stdin.read()


def _connect(region: str) -> None:
    """Load the services' models before two threads need the same one at the same time."""
    from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

    for service in _SERVICES:
        boto_client_for(region=region, service=service)


if __name__ == "__main__":
    main()
