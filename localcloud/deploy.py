"""``chalice deploy``, run against the embedded AWS.

The app that is deployed is a copy of chalice_app/ whose configuration has the stack's
values, as infra/ writes them for AWS; Chalice keeps its own notes in the copy.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .ecs_processes import PROJECT_ROOT

APP_NAME: Final = "ecommerce-kpi"
# The chalice command, whether or not the virtual environment is active.
_CHALICE: Final = "import sys; from chalice.cli import main; sys.exit(main())"


class DeployError(RuntimeError):
    """Chalice has failed; the message holds the end of its output."""


def deploy(
    folder: Path, *, stage: str, variables: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Deploy the app from ``folder`` and return the functions' ARNs by their Chalice names.

    ``variables`` are the functions' own; ``environment`` is how boto3 finds the AWS.
    """
    shutil.copytree(
        PROJECT_ROOT / "chalice_app",
        folder,
        # Chalice would ship compiled files with the rest.
        ignore=shutil.ignore_patterns("__pycache__", "deployed", "deployments"),
    )
    configuration = folder / ".chalice" / "config.json"
    document = json.loads(configuration.read_text(encoding="utf-8"))
    document["environment_variables"].update(variables)
    configuration.write_text(json.dumps(document), encoding="utf-8")
    deployed = run_chalice(folder, stage=stage, environment=environment)
    return {
        resource["lambda_arn"].rsplit(":", 1)[-1].removeprefix(f"{APP_NAME}-{stage}-"): resource[
            "lambda_arn"
        ]
        for resource in deployed
        if resource["resource_type"] == "lambda_function"
    }


def run_chalice(
    folder: Path, *, stage: str, environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Deploy the Chalice project in ``folder`` and return what Chalice says it has made."""
    result = subprocess.run(  # noqa: S603 - Chalice's own command line
        [sys.executable, "-c", _CHALICE, "deploy", "--stage", stage],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise DeployError(
            f"chalice deploy has failed (exit code {result.returncode}): {result.stderr[-2000:]}"
        )
    notes = folder / ".chalice/deployed" / f"{stage}.json"
    resources: list[dict[str, Any]] = json.loads(notes.read_text("utf-8"))["resources"]
    return resources


def package(folder: Path) -> Path:
    """Return the deployment package that Chalice has made in ``folder``."""
    return next((folder / ".chalice/deployments").glob("*.zip"))
