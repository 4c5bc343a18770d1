"""The state machine's executions, seen from the trigger."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ..settings import Settings
from .causes import readable
from .client_errors import error_code
from .execution_history import History, read_history

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What Step Functions says about a run. ``cause`` is a failed one's, in readable form."""

    status: str
    started_at: datetime
    ended_at: datetime | None
    cause: str | None


class Executions:
    """Executions of one state machine. A run's id is its execution's name."""

    def __init__(self, sfn: "SFNClient", settings: Settings) -> None:
        self._sfn = sfn
        self._settings = settings

    def status(self, execution_arn: str) -> str | None:
        """Return RUNNING, SUCCEEDED, FAILED, … or None if there is no such execution."""
        answer = self._describe(execution_arn)
        return None if answer is None else answer["status"]

    def find(self, run_id: str) -> Execution | None:
        """Return a run's execution, or None if it was never started."""
        answer = self._describe(self._settings.execution_arn(run_id))
        if answer is None:
            return None
        stopped = answer.get("stopDate")
        return Execution(
            status=answer["status"],
            started_at=answer["startDate"].astimezone(UTC),
            ended_at=None if stopped is None else stopped.astimezone(UTC),
            cause=readable(answer.get("cause") or answer.get("error") or "") or None,
        )

    def history(self, run_id: str, *, with_data: bool = False) -> History:
        """Return a run's history; ``with_data``: with what its tasks were given and answered."""
        arn = self._settings.execution_arn(run_id)
        return read_history(self._sfn, arn, with_data=with_data)

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

    def _describe(self, execution_arn: str) -> Any:
        if not execution_arn:
            return None
        try:
            return self._sfn.describe_execution(executionArn=execution_arn)
        except ClientError as error:
            # InvalidArn: the lock was written by hand; no execution has that name.
            if error_code(error) in {"ExecutionDoesNotExist", "InvalidArn"}:
                return None
            raise
