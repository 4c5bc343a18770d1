"""The deployment that a command talks to; clients are made when they are first used.

Names come from the stack ``ecommerce-kpi-STAGE`` that infra/template.yaml makes, or from the
environment (S3_BUCKET, STEP_FUNCTION_ARN, …), as in the functions. boto3 is imported with the
first client: ``--help`` and completion of commands do not need it.
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

from .errors import NotDeployedError, OperatorError, UsageError

if TYPE_CHECKING:
    import boto3

    from chalice_app.chalicelib.aws.documents import Documents
    from chalice_app.chalicelib.aws.executions import Executions
    from chalice_app.chalicelib.aws.landing_folder import LandingFolder, Listing
    from chalice_app.chalicelib.aws.run_lock import RunLock
    from chalice_app.chalicelib.aws.run_table import RunTable
    from chalice_app.chalicelib.settings import Settings

# The variables that every client needs.
_NEEDED: Final = frozenset(
    {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
)
DEFAULT_STAGE: Final = "dev"
DEFAULT_REGION: Final = "eu-north-1"
APP_NAME: Final = "ecommerce-kpi"
PROJECT: Final = Path(__file__).resolve().parents[1]
# `make localcloud` writes it when it is ready, and removes it when it ends.
ENVIRONMENT_FILE: Final = Path(".localcloud/environment")
# The pattern of the parameter Stage in infra/template.yaml.
_STAGE: Final = re.compile(r"[a-z][a-z0-9-]{0,15}")
# The functions' variables, and the outputs of the stack that have their values.
_OUTPUTS: Final = {
    "S3_BUCKET": "BucketName",
    "STEP_FUNCTION_ARN": "StateMachineArn",
    "RUNS_TABLE": "RunsTable",
    "CATEGORY_KPIS_TABLE": "CategoryKpisTable",
    "ORDER_KPIS_TABLE": "OrderKpisTable",
}
# This function starts late batches, so that it has the settings of all thresholds.
_KNOWS_SETTINGS: Final = "CheckOnSchedule"
FUNCTIONS: Final = (
    "CheckFileThreshold",
    "CheckOnGzipCreated",
    "CheckOnObjectCreated",
    "CheckOnSchedule",
    "CheckYesterday",
    "OnExecutionEnded",
    "ClaimFiles",
    "QuarantineRejected",
    "FinishRun",
    "NotifyRunEnd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The deployment that the command line names.

    ``environment`` is the shell's, or with ``local`` that of localcloud.
    """

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
    ) -> "Target":
        """Raises UsageError for invalid options, NotDeployedError without a localcloud."""
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
    """One deployed pipeline."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._clients: dict[str, Any] = {}

    @property
    def stage(self) -> str:
        return self.target.stage

    def now(self) -> datetime:
        return datetime.now(UTC)

    @cached_property
    def session(self) -> "boto3.Session":
        import boto3

        given, own = self.target.environment, dict[str, Any]()
        if self.target.local:
            own = {
                "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
            }
        elif self.target.profile:
            own = {"profile_name": self.target.profile}
        region = self.target.region or (given["AWS_REGION"] if self.target.local else None)
        session = boto3.Session(region_name=region, **own)
        return session if session.region_name else boto3.Session(region_name=DEFAULT_REGION, **own)

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @property
    def where(self) -> str:
        """The endpoint, or the region and profile, for messages."""
        endpoint = self.target.environment.get("AWS_ENDPOINT_URL")
        profile = f", profile {self.target.profile}" if self.target.profile else ""
        return endpoint or f"AWS {self.target.region or self._region_or_default()}{profile}"

    def client(self, service: str) -> Any:
        """Return the service's client. Its time-outs are short, because a person waits."""
        if service not in self._clients:
            from botocore.config import Config

            endpoint = self.target.environment["AWS_ENDPOINT_URL"] if self.target.local else None
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
        """Whether names come from the environment; --stage has precedence."""
        given = self.target.environment
        return not self.target.chosen_stage and bool(
            given.get("S3_BUCKET") and given.get("STEP_FUNCTION_ARN")
        )

    @cached_property
    def settings(self) -> "Settings":
        """The names of the deployed resources, and the default thresholds (see trigger_settings).

        Raises NotDeployedError when there is no such deployment.
        """
        return _settings(self._variables)

    @cached_property
    def trigger_settings(self) -> "Settings":
        """The settings of the deployed functions, thresholds included."""
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
            # CloudFormation has no error code of its own for a stack that does not exist.
            if "does not exist" not in str(error):
                raise
            raise NotDeployedError(self._no_stack()) from error
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
    def incoming(self) -> "LandingFolder":
        from chalice_app.chalicelib.aws.landing_folder import LandingFolder

        return LandingFolder(self.client("s3"), self.settings)

    def listing(self) -> "Listing":
        """List the landing folder. Raises OperatorError when the mapping cannot be used."""
        from chalice_app.chalicelib.settings import SettingsError

        try:
            return self.incoming.list()
        except SettingsError as error:
            raise OperatorError(str(error)) from error

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
            return dict(self.target.environment)
        missing = [output for output in _OUTPUTS.values() if not self.outputs.get(output)]
        if missing:
            raise NotDeployedError(
                f"stack {self.stack_name} in {self.region} has no output {missing[0]}: its last "
                f"deployment failed or is older; deploy again (make deploy STAGE={self.stage})"
            )
        return {name: self.outputs[output] for name, output in _OUTPUTS.items()}

    def _no_stack(self) -> str:
        """Name the stages that exist."""
        from botocore.exceptions import BotoCoreError, ClientError

        stages: list[str] = []
        try:
            pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
            names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
            prefix = f"{APP_NAME}-"
            stages = sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix))
        except (BotoCoreError, ClientError):
            pass  # without the permission to list stacks, the message names no other stages
        found = f"there is no stack {self.stack_name} in {self.where}"
        if not stages:
            return f"{found}: deploy it (make deploy STAGE={self.stage}), or choose --region"
        near = difflib.get_close_matches(self.stage, stages, n=1) or stages[:1]
        return f"{found}; stages there: {', '.join(stages)}; try --stage {near[0]}"

    def _region_or_default(self) -> str:
        given = self.target.environment
        return given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def _settings(variables: Mapping[str, str]) -> "Settings":
    from chalice_app.chalicelib.settings import Settings, SettingsError

    try:
        return Settings.from_env(variables)
    except SettingsError as error:
        raise NotDeployedError(str(error)) from error


def _environment_file(folder: Path) -> Path:
    """Return the file of a running localcloud: in this folder, one above, or the project."""
    for parent in (folder, *folder.parents, PROJECT):
        if (parent / ENVIRONMENT_FILE).is_file():
            return parent / ENVIRONMENT_FILE
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
            f"{file}: {sorted(missing)[0]} is missing: start `make localcloud` again"
        )
    return found
