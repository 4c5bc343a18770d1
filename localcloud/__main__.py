"""The pipeline on a laptop.

python -m localcloud demo    process a delivery and show the KPIs
python -m localcloud serve   keep the embedded AWS running for boto3 or the AWS CLI
"""

import argparse
import re
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from contract.keys import INCOMING
from delivery.mapping import MappingError
from infra.functions import ChaliceError
from infra.stack import StackError

from . import demo
from .api import LocalApi
from .child import StartError
from .cloud import LocalCloud, exported
from .containers import Containers, RuntimeMissingError
from .ecs_processes import PROJECT_ROOT
from .provision import BUCKET, CLUSTER, Stack, provision


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        containers = None
        if options.runtime == "containers":
            containers = Containers.find()
            containers.require(demo.plan(options.engine, options.time_scale).images.values())
        if options.command == "serve":
            return _serve(options, containers)
        return demo.run(
            options.delivery,
            engine=options.engine,
            fail=options.fail,
            time_scale=options.time_scale,
            home=options.home,
            containers=containers,
            mapping=options.mapping,
        )
    except (
        demo.DemoError,
        ChaliceError,
        MappingError,
        RuntimeMissingError,
        StackError,
        StartError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _serve(options: argparse.Namespace, containers: Containers | None) -> int:
    home = options.home
    shutil.rmtree(home, ignore_errors=True)
    with ExitStack() as running:
        cloud = running.enter_context(
            LocalCloud.start(
                home, time_scale=options.time_scale, port=options.port, containers=containers
            )
        )
        plan = replace(demo.plan(options.engine, options.time_scale), bucket=options.bucket)
        stack = provision(plan, cloud)
        environment = {**stack.environment, **cloud.environment}
        api = running.enter_context(
            LocalApi.start(
                home / "chalice_app",
                environment=environment,
                log_file=home / "api.log",
                port=options.api_port,
            )
        )
        functions = running.enter_context(exported(home / "functions.environment", environment))
        announced = running.enter_context(cloud.announced())
        _print_instructions(cloud, stack, api, announced, functions)
        cloud.wait()
    return 0


def _print_instructions(
    cloud: LocalCloud, stack: Stack, api: LocalApi, environment: Path, functions: Path
) -> None:
    for name, value in cloud.environment.items():
        print(f"export {name}={value}")
    print(
        f"""
# In a shell with these variables (source {environment}):
aws s3 cp samples/incoming s3://{stack.bucket}/{INCOMING} --recursive
aws stepfunctions list-executions --state-machine-arn {stack.state_machine_arn}
aws dynamodb scan --table-name OrderKPIs
aws ecs list-tasks --cluster {CLUSTER}
aws sqs receive-message --queue-url {stack.messages_url}
aws lambda invoke --function-name CheckFileThreshold --payload '{{}}' \\
  --cli-binary-format raw-in-base64-out /dev/stdout

# In any shell: shopkpi status --local
# Chalice: . {functions} && cd chalice_app && chalice local --port 8001
# The REST API: curl '{api.url}/kpis/daily?from=2025-03-01&to=2025-03-31'
# Logs: aws logs tail /aws/lambda/ecommerce-kpi-dev-CheckFileThreshold, or {cloud.home}/server.log
# and api.log. Ctrl-C stops it.""",
        flush=True,
    )


def _bucket(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no bucket name: give 3 to 63 lower-case letters, digits, dots and hyphens"
        )
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--engine", choices=("auto", "spark", "sail"), default="auto")
    shared.add_argument(
        "--runtime",
        choices=("processes", "containers"),
        default="processes",
        help="run tasks as processes, or as containers of their images (make images)",
    )
    shared.add_argument(
        "--time-scale",
        type=float,
        default=demo.TIME_SCALE,
        help="factor of all waits; 1 is the time of AWS (default: 1/60)",
    )
    shared.add_argument(
        "--home",
        type=Path,
        default=demo.HOME,
        help="folder for logs and Data Docs, emptied at each start (default: .localcloud)",
    )
    show = commands.add_parser("demo", parents=[shared], help="process one delivery")
    show.add_argument("--delivery", type=Path, default=PROJECT_ROOT / "samples/incoming")
    show.add_argument(
        "--mapping", type=Path, metavar="FILE", help="mapping.toml of the delivery, put into S3"
    )
    show.add_argument("--fail", action="store_true", help="add an orders file without its header")
    serve = commands.add_parser("serve", parents=[shared], help="keep the embedded AWS running")
    serve.add_argument("--port", type=int, default=4566)
    serve.add_argument(
        "--bucket",
        type=_bucket,
        default=BUCKET,
        help=f"name of the bucket (default: {BUCKET})",
    )
    serve.add_argument(
        "--api-port", type=int, default=8000, help="for the REST API (default: 8000)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
