"""``chalice deploy`` on top of the stack: the functions, and what calls them.

What is deployed is a copy of chalice_app/ whose stage has the stack's values: the functions'
environment, and for each function the role that the template has made for it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import chalice_record
from .template import PROJECT_ROOT

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# The functions' environment, by the outputs of the stack.
ENVIRONMENT: Final = {
    "S3_BUCKET": "BucketName",
    "STEP_FUNCTION_ARN": "StateMachineArn",
    "RUNS_TABLE": "RunsTable",
    "CATEGORY_KPIS_TABLE": "CategoryKpisTable",
    "ORDER_KPIS_TABLE": "OrderKpisTable",
    "VALIDATOR_TASK_SIZE": "ValidatorTaskSize",
    "TRANSFORMER_TASK_SIZE": "TransformerTaskSize",
    "STAGE": "StageName",
    "TOPIC_ARN": "TopicArn",
    "SILENCED_WARNINGS": "SilencedWarnings",
    "MIN_HISTORY_WEEKS": "MinHistoryWeeks",
    "DAY_COMPLETE_HOUR": "DayCompleteHour",
}
_ROLE_OF: Final = "RoleOf"
# An output's name takes no underscore.
_API: Final = {"Api": chalice_record.API_HANDLER}
# What is called asynchronously and so has nobody to report its failure to.
ASYNCHRONOUS: Final = (
    "CheckFileThreshold",
    "CheckOnGzipCreated",
    "CheckOnObjectCreated",
    "CheckOnSchedule",
    "CheckYesterday",
    "OnExecutionEnded",
)
# The schedule checks the bucket every five minutes: an older event adds nothing.
_MAX_EVENT_AGE_SECONDS: Final = 3600
# The chalice command, whether or not the virtual environment is active.
_CHALICE: Final = "import sys; from chalice.cli import main; sys.exit(main())"


class ChaliceError(RuntimeError):
    """Chalice has failed; the message holds the end of its output."""


def write_app(
    folder: Path, *, stage: str, outputs: Mapping[str, str], variables: Mapping[str, str]
) -> None:
    """Copy chalice_app/ into ``folder``, configured for ``stage``.

    ``variables`` are the functions' own, on top of those that the outputs give.
    """
    shutil.copytree(
        PROJECT_ROOT / "chalice_app",
        folder,
        # Chalice would ship compiled files with the rest.
        ignore=shutil.ignore_patterns("__pycache__", "deployed", "deployments"),
    )
    path = folder / ".chalice" / "config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["environment_variables"] |= {
        **{name: outputs[output] for name, output in ENVIRONMENT.items()},
        **variables,
    }
    document["stages"].setdefault(stage, {})["lambda_functions"] = {
        function: {"manage_iam_role": False, "iam_role_arn": arn}
        for function, arn in with_roles(outputs).items()
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def with_roles(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the ARN of each function's role, by Chalice's name of the function."""
    roles = {
        output.removeprefix(_ROLE_OF): arn
        for output, arn in outputs.items()
        if output.startswith(_ROLE_OF)
    }
    return {_API.get(name, name): arn for name, arn in roles.items()}


def deploy(folder: Path, *, stage: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Deploy the Chalice project in ``folder`` and return what Chalice says it has made.

    ``environment`` is how boto3 finds the AWS.
    """
    _chalice(folder, "deploy", stage, environment)
    record = json.loads(chalice_record.path(folder, stage).read_text("utf-8"))
    resources: list[dict[str, Any]] = record["resources"]
    return resources


def delete(folder: Path, *, stage: str, environment: Mapping[str, str]) -> None:
    _chalice(folder, "delete", stage, environment)


def keep_what_fails(functions: "LambdaClient", *, stage: str, queue_arn: str) -> None:
    """Send events that a function has failed on three times to the queue of dead letters.

    Chalice has no setting for it.
    """
    for name in ASYNCHRONOUS:
        functions.put_function_event_invoke_config(
            FunctionName=chalice_record.function_name(stage, name),
            MaximumRetryAttempts=2,
            MaximumEventAgeInSeconds=_MAX_EVENT_AGE_SECONDS,
            DestinationConfig={"OnFailure": {"Destination": queue_arn}},
        )


def _chalice(folder: Path, command: str, stage: str, environment: Mapping[str, str]) -> None:
    result = subprocess.run(  # noqa: S603 - Chalice's own command line
        [sys.executable, "-c", _CHALICE, command, "--stage", stage],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ChaliceError(
            f"chalice {command} has failed (exit code {result.returncode}): {result.stderr[-2000:]}"
        )
