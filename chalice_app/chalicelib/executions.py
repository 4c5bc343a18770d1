"""The state machine's executions, seen from the trigger."""

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from .settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# What a conditional write to S3 answers when its condition does not hold; 409 while another
# conditional write to the same key is under way.
LOST_THE_RACE: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class Executions:
    """Executions of one state machine. A run's id is its execution's name."""

    def __init__(self, sfn: "SFNClient", settings: Settings) -> None:
        self._sfn = sfn
        self._settings = settings

    def status(self, execution_arn: str) -> str | None:
        """Return RUNNING, SUCCEEDED, FAILED, … or None if there is no such execution."""
        if not execution_arn:
            return None
        try:
            return self._sfn.describe_execution(executionArn=execution_arn)["status"]
        except ClientError as error:
            # InvalidArn: somebody wrote the lock by hand; nothing runs under that name.
            if error_code(error) in {"ExecutionDoesNotExist", "InvalidArn"}:
                return None
            raise

    def start(self, run_id: str, document: dict[str, Any]) -> bool:
        """Start the run; False if an execution of that name has already been started."""
        try:
            self._sfn.start_execution(
                stateMachineArn=self._settings.state_machine_arn,
                name=run_id,
                input=json.dumps(document, separators=(",", ":")),
            )
        except ClientError as error:
            if error_code(error) == "ExecutionAlreadyExists":
                return False
            raise
        return True


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
