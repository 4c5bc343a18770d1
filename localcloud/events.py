"""EventBridge rules that call functions: on a schedule, and at the end of an execution.

moto sends events to queues and log groups only, sends no event when an execution ends, and has no
schedules. Rules and their targets are the deployed ones.
"""

import logging
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from moto.awslambda.models import lambda_backends
from moto.events.models import Rule, events_backends
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from . import access, iam_requests, lambda_functions

log = logging.getLogger(__name__)

_UNIT_SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86400}


def install(home: Path) -> None:
    _send_to_functions(home)
    _send_execution_ends()
    _name_executions()


def run_schedules(time_scale: float, home: Path, stop: threading.Event) -> None:
    """Send the events of every enabled schedule, each after its scaled period, until stopped.

    A daily schedule fires a scaled day after the start; its hour is ignored.
    """
    elapsed: dict[str, float] = {}
    step = 0.1
    while not stop.wait(step):
        for rule in list(_rules()):
            period = _period_seconds(rule)
            if period is None or rule.state != "ENABLED":
                continue
            elapsed[rule.arn] = elapsed.get(rule.arn, 0.0) + step
            if elapsed[rule.arn] >= period * time_scale:
                elapsed[rule.arn] = 0.0
                _deliver(rule, _event("aws.events", "Scheduled Event", {}, [rule.arn]), home)


def _rules() -> Iterator[Rule]:
    for regions in list(events_backends.values()):
        for backend in list(regions.values()):
            for bus in list(backend.event_buses.values()):
                yield from list(bus.rules.values())


def _period_seconds(rule: Rule) -> float | None:
    schedule = rule.scheduled_expression or ""
    if re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", schedule):
        return _UNIT_SECONDS["day"]
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule)
    return None if match is None else int(match[1]) * _UNIT_SECONDS[match[2]]


def _deliver(rule: Rule, event: dict[str, Any], home: Path) -> None:
    for target in rule.targets:
        function = lambda_backends[rule.account_id][rule.region_name].get_function(target["Arn"])
        lambda_functions.enqueue(function, event, home)


def _send_to_functions(home: Path) -> None:
    send_to_others = Rule.send_to_targets

    def send_to_targets(self: Rule, original_event: Any, transform_input: bool = True) -> None:  # noqa: FBT001,FBT002 - moto's signature
        if self.state != "ENABLED":
            return
        if not any(":lambda:" in target["Arn"] for target in self.targets):
            send_to_others(self, original_event, transform_input)
        elif self.event_pattern.matches_event(original_event):
            _deliver(self, dict(original_event), home)

    Rule.send_to_targets = send_to_targets  # type: ignore[method-assign]


def _send_execution_ends() -> None:
    reflect_status = BaseExecutionWorkerCommunication.terminated

    def terminated(self: BaseExecutionWorkerCommunication) -> None:
        reflect_status(self)
        execution = self.execution
        event: Any = _event(
            "aws.states",
            "Step Functions Execution Status Change",
            {
                "executionArn": execution.exec_arn,
                "stateMachineArn": execution.state_machine.arn,
                "name": execution.name,
                "status": execution.status,
            },
            [execution.exec_arn],
        )
        for rule in list(_rules()):
            if rule.targets and rule.scheduled_expression is None:
                rule.send_to_targets(event, transform_input=False)

    BaseExecutionWorkerCommunication.terminated = terminated  # type: ignore[method-assign]


def _name_executions() -> None:
    """Give a name to an execution that has none, as AWS does; moto names each of them "None"."""
    start = StepFunctionsParserBackend.start_execution

    def start_execution(
        self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        role = self.describe_state_machine(state_machine_arn).roleArn
        if access.credentials(role):
            for check in iam_requests.execution_start_checks():
                access.require(role, check)
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *args, **kwargs)

    StepFunctionsParserBackend.start_execution = start_execution  # type: ignore[method-assign]


def _event(source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": source,
        "account": "123456789012",
        "detail-type": kind,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "eu-north-1",
        "resources": resources,
        "detail": detail,
    }
