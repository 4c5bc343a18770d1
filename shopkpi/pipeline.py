"""The deployment that a command talks to: found once, connected when something is asked of it.

Names come from the stack ``ecommerce-kpi-STAGE`` that infra/template.yaml makes, or from the
environment (S3_BUCKET, STEP_FUNCTION_ARN, …) as the functions have them. boto3 is imported at
the first question: ``--help`` and completion of commands do without.
"""

import difflib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import NotDeployedError, UsageError

if TYPE_CHECKING:
    import boto3

    from chalice_app.chalicelib.aws.documents import Documents
    from chalice_app.chalicelib.aws.executions import Executions
    from chalice_app.chalicelib.aws.landing_folder import Incoming
    from chalice_app.chalicelib.aws.run_lock import RunLock
    from chalice_app.chalicelib.aws.run_table import RunTable
    from chalice_app.chalicelib.settings import Settings

# What every client needs of it.
_NEEDED: Final = frozenset(
    {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
)
DEFAULT_STAGE: Final = "dev"
DEFAULT_REGION: Final = "eu-north-1"
APP_NAME: Final = "ecommerce-kpi"
PROJECT: Final = Path(__file__).resolve().parents[1]
# What `make localcloud` writes once it is ready, and removes when it ends.
ENVIRONMENT_FILE: Final = Path(".localcloud/environment")
# infra/template.yaml takes no other name.
_STAGE: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")
# The functions' variables, by the stack's outputs that hold their values.
_OUTPUTS: Final = {
    "S3_BUCKET": "BucketName",
    "STEP_FUNCTION_ARN": "StateMachineArn",
    "RUNS_TABLE": "RunsTable",
    "CATEGORY_KPIS_TABLE": "CategoryKpisTable",
    "ORDER_KPIS_TABLE": "OrderKpisTable",
}
# An upload may start a run at any time; this one looks every five minutes and knows all settings.
_KNOWS_SETTINGS: Final = "CheckOnSchedule"
FUNCTIONS: Final = (
    "CheckFileThreshold",
    "CheckOnObjectCreated",
    "CheckOnSchedule",
    "CheckYesterday",
    "OnExecutionEnded",
    "RecountFiles",
    "ReadVerdict",
    "FinishRun",
    "DescribeRun",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look, as it was typed. ``environment`` is the shell's, or localcloud's own."""

    stage: str
    chosen_stage: bool
    profile: str | None
    region: str | None
    environment: Mapping[str, str]
    local: bool

    @classmethod
    def of(
        cls,
        *,
        stage: str | None,
        profile: str | None,
        region: str | None,
        local: bool,
        environment: Mapping[str, str],
        folder: Path,
    ) -> "Place":
        """Raise UsageError or NotDeployedError when that cannot be meant."""
        named = stage or environment.get("SHOPKPI_STAGE") or DEFAULT_STAGE
        if not _STAGE.fullmatch(named):
            raise UsageError(
                f"--stage {named}: a stage is lower-case letters, digits and dashes, such as dev"
            )
        if local:
            if profile:
                raise UsageError("--local has its own credentials: leave --profile out")
            environment = _exports(_environment_file(folder))
        return cls(
            stage=named,
            chosen_stage=stage is not None,
            profile=profile,
            region=region,
            environment=environment,
            local=local,
        )


class Pipeline:
    """One deployed pipeline, seen from outside."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._clients: dict[str, Any] = {}

    @property
    def stage(self) -> str:
        return self.place.stage

    def now(self) -> datetime:
        return datetime.now(UTC)

    @cached_property
    def session(self) -> "boto3.Session":
        import boto3

        given, own = self.place.environment, dict[str, Any]()
        if self.place.local:
            own = {
                "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
            }
        elif self.place.profile:
            own = {"profile_name": self.place.profile}
        region = self.place.region or (given["AWS_REGION"] if self.place.local else None)
        session = boto3.Session(region_name=region, **own)
        return session if session.region_name else boto3.Session(region_name=DEFAULT_REGION, **own)

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @property
    def where(self) -> str:
        """What is talked to, for messages."""
        endpoint = self.place.environment.get("AWS_ENDPOINT_URL")
        profile = f", profile {self.place.profile}" if self.place.profile else ""
        return endpoint or f"AWS {self.place.region or self._region_or_default()}{profile}"

    def client(self, service: str) -> Any:
        """Return the service's client. A person waits: it gives up after seconds, not minutes."""
        if service not in self._clients:
            from botocore.config import Config

            endpoint = self.place.environment["AWS_ENDPOINT_URL"] if self.place.local else None
            self._clients[service] = self.session.client(
                service,  # type: ignore[call-overload]
                endpoint_url=endpoint,
                config=Config(
                    connect_timeout=5,
                    read_timeout=30,
                    max_pool_connections=20,
                    retries={"mode": "standard", "max_attempts": 3},
                ),
            )
        return self._clients[service]

    @property
    def from_environment(self) -> bool:
        """Whether names come from the environment: a stage that was typed comes first."""
        given = self.place.environment
        return not self.place.chosen_stage and bool(
            given.get("S3_BUCKET") and given.get("STEP_FUNCTION_ARN")
        )

    @cached_property
    def settings(self) -> "Settings":
        """The names of what is deployed; thresholds are the defaults, see trigger_settings.

        Raises NotDeployedError when there is nothing of that name.
        """
        return _settings(self._variables)

    @cached_property
    def trigger_settings(self) -> "Settings":
        """The settings as the deployed functions have them, thresholds and all."""
        if self.from_environment:
            return self.settings
        return _settings({**self._variables, **self.function_variables(_KNOWS_SETTINGS)})

    def function_name(self, function: str) -> str:
        return f"{APP_NAME}-{self.stage}-{function}"

    def function_variables(self, function: str) -> dict[str, str]:
        found = self.client("lambda").get_function_configuration(
            FunctionName=self.function_name(function)
        )
        variables: dict[str, str] = found.get("Environment", {}).get("Variables", {})
        return variables

    @cached_property
    def stack_name(self) -> str:
        return f"{APP_NAME}-{self.stage}"

    @property
    def dead_letters_name(self) -> str:
        return f"{APP_NAME}-{self.stage}-dead-letters"

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs; raise NotDeployedError when there is no such stack."""
        from botocore.exceptions import ClientError

        try:
            [stack] = self.client("cloudformation").describe_stacks(StackName=self.stack_name)[
                "Stacks"
            ]
        except ClientError as error:
            # The only way in which CloudFormation says that a stack does not exist.
            if "does not exist" not in str(error):
                raise
            raise NotDeployedError(self._nothing_here()) from error
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    @cached_property
    def records(self) -> "RunTable":
        from chalice_app.chalicelib.aws.run_table import RunTable

        return RunTable(self.client("dynamodb"), self.settings.runs_table)

    @cached_property
    def documents(self) -> "Documents":
        from chalice_app.chalicelib.aws.documents import Documents

        return Documents(self.client("s3"), self.settings.bucket)

    @cached_property
    def incoming(self) -> "Incoming":
        from chalice_app.chalicelib.aws.landing_folder import Incoming

        return Incoming(self.client("s3"), self.settings)

    @cached_property
    def executions(self) -> "Executions":
        from chalice_app.chalicelib.aws.executions import Executions

        return Executions(self.client("stepfunctions"), self.settings)

    @cached_property
    def lock(self) -> "RunLock":
        from chalice_app.chalicelib.aws.run_lock import RunLock

        return RunLock(self.client("s3"), self.executions, self.settings)

    @cached_property
    def _variables(self) -> dict[str, str]:
        if self.from_environment:
            return dict(self.place.environment)
        missing = [output for output in _OUTPUTS.values() if not self.outputs.get(output)]
        if missing:
            raise NotDeployedError(
                f"stack {self.stack_name} in {self.region} has no output {missing[0]}: its last "
                f"deployment has failed or is older; deploy again (make deploy STAGE={self.stage})"
            )
        return {name: self.outputs[output] for name, output in _OUTPUTS.items()}

    def _nothing_here(self) -> str:
        """Say what stages there are instead of the one that was asked for."""
        from botocore.exceptions import BotoCoreError, ClientError

        stages: list[str] = []
        try:
            pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
            names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
            prefix = f"{APP_NAME}-"
            stages = sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix))
        except (BotoCoreError, ClientError):
            pass  # who may not list them still learns that this one is not there
        found = f"there is no stack {self.stack_name} in {self.where}"
        if not stages:
            return f"{found}: deploy it (make deploy STAGE={self.stage}), or choose --region"
        near = difflib.get_close_matches(self.stage, stages, n=1) or stages[:1]
        return f"{found}; stages there: {', '.join(stages)}; try --stage {near[0]}"

    def _region_or_default(self) -> str:
        given = self.place.environment
        return given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def _settings(variables: Mapping[str, str]) -> "Settings":
    from chalice_app.chalicelib.settings import Settings, SettingsError

    try:
        return Settings.from_env(variables)
    except SettingsError as error:
        raise NotDeployedError(str(error)) from error


def _environment_file(folder: Path) -> Path:
    """Find what localcloud has written, here, in a folder above, or in the project."""
    for place in (folder, *folder.parents, PROJECT):
        if (place / ENVIRONMENT_FILE).is_file():
            return place / ENVIRONMENT_FILE
    raise NotDeployedError(
        f"--local: there is no {ENVIRONMENT_FILE} in {folder} or above it: start `make localcloud`"
    )


def _exports(file: Path) -> dict[str, str]:
    """Read lines of ``export NAME=value``."""
    lines = file.read_text(encoding="utf-8").splitlines()
    exports = (line.removeprefix("export ") for line in lines if line.startswith("export "))
    found = {
        name: "".join(shlex.split(value))
        for name, _, value in (export.partition("=") for export in exports)
    }
    if missing := _NEEDED - set(found):
        raise NotDeployedError(
            f"{file}: {sorted(missing)[0]} is not in it: start `make localcloud` again"
        )
    return found
