"""ECS tasks that are processes, or containers of their images.

A task of moto is a record whose state changes without any work. Here a task is a process: it has
the command and environment of its task definition and overrides, has an exit code, and gets SIGTERM
and then SIGKILL on StopTask. With docker or podman the process is their client, which passes
signals on and has the exit code of the container. ``ecs:runTask.sync``, which fails in moto 5.2.5
(KeyError 'Cluster'), waits for the process, fails on a non-zero exit code, and stops the task when
the state times out or the execution is aborted.

This patches private names of moto. So moto is pinned, and tests/localcloud checks what an upgrade
has to keep.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import moto.ecs.models as ecs
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (  # noqa: E501 - the module's own name
    _SUPPORTED_API_PARAM_BINDINGS,
    StateTaskServiceEcs,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from . import access, iam_requests, log_groups
from .containers import AWS_VARIABLES, Containers

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
# ECS gives a container 30 s between SIGTERM and SIGKILL.
STOP_TIMEOUT_SECONDS: Final = 30.0
# How long one check of a running task blocks; an abort is noticed at the next check.
_POLL_SECONDS: Final = 0.25
# How long the last lines of a task that has ended may take.
_LOG_SECONDS: Final = 1.0

_processes: dict[str, "Process"] = {}


class Process(subprocess.Popen[bytes]):
    """The leader of a process group; ``containers`` is set when it is a container's client."""

    containers: Containers | None = None
    container_name = ""

    def kill_all(self) -> None:
        """Kill the process and all its children."""
        os.killpg(self.pid, signal.SIGKILL)
        if self.containers is not None:
            self.containers.remove(self.container_name)
        self.wait()


def install(home: Path, containers: Containers | None = None) -> None:
    """Patch moto; ``home``/tasks has <task id>.log and <task id>.pid of every task."""
    logs = home / "tasks"
    logs.mkdir(parents=True, exist_ok=True)
    ecs.Task = _process_task(logs, containers)  # type: ignore[misc]
    _convert_parameter_names()
    _wait_for_processes()


def stop_all() -> None:
    """Kill every running task, at the end of the server."""
    for process in _processes.values():
        if process.poll() is None:
            process.kill_all()


def start(
    container: Mapping[str, Any],
    override: Mapping[str, Any],
    task_arn: str,
    folder: Path,
    containers: Containers | None = None,
) -> Process:
    """Start the image of a container definition, or without ``containers`` only its command.

    The caller reads the output. A container's client runs in ``folder``. Without containers
    ``python`` is the interpreter of this server, and the working directory is the project's root,
    as in the images.
    """
    environment = {
        item["name"]: item["value"]
        for source in (container, override)
        for item in source.get("environment") or []
    }
    environment["ECS_TASK_ARN"] = task_arn
    command = list(override.get("command") or container.get("command") or [])
    name = f"ecs-{task_arn.rpartition('/')[2]}"
    if containers is not None:
        command = containers.run(name, container, command, environment)
    elif command and command[0] == "python":
        command[0] = sys.executable
    process = Process(
        command,
        # podman writes a file named oom when a container runs out of memory.
        cwd=PROJECT_ROOT if containers is None else folder,
        env={**_given(os.environ), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    process.containers, process.container_name = containers, name
    return process


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a task has besides its definition: of AWS's variables as many as in AWS.

    The region is for the definition to give: the one of this process would hide that it is missing.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("AWS_") or name in AWS_VARIABLES
    }


def stop(process: Process) -> None:
    """SIGTERM, then SIGKILL, to the whole process group."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill_all()


def exit_code(returncode: int) -> int:
    """Return what ECS reports: 137 for a process that SIGKILL ended (returncode -9)."""
    return returncode if returncode >= 0 else 128 - returncode


def _process_task(logs: Path, containers: Containers | None) -> type[ecs.Task]:
    class ProcessTask(ecs.Task):
        # moto's registry of instances takes its keys from the module's name.
        __module__ = "moto.ecs.models"

        def __init__(self, cluster: Any, task_definition: Any, *args: Any, **kwargs: Any) -> None:
            self._process: Process | None = None
            super().__init__(cluster, task_definition, *args, **kwargs)
            container = _with_its_role(task_definition)
            overrides = {
                override.get("name"): override
                for override in self.overrides.get("containerOverrides", [])
            }
            self._process = start(
                container,
                overrides.get(container["name"], {}),
                self.task_arn,
                logs,
                containers,
            )
            self._log = _keep_output(self._process, container, self.id, logs / f"{self.id}.log")
            (logs / f"{self.id}.pid").write_text(str(self._process.pid), encoding="ascii")
            _processes[self.task_arn] = self._process
            self._reflect()

        def _reflect(self) -> None:
            if self._process is None:
                return
            returncode = self._process.poll()
            container = self.containers[0]
            state = "RUNNING" if returncode is None else "STOPPED"
            self.status = self.desired_status = container.last_status = state
            container.exitCode = None if returncode is None else exit_code(returncode)  # type: ignore[assignment]
            if returncode is not None:
                # Its children may keep the output open.
                self._log.join(_LOG_SECONDS)
            if returncode is not None and not self.stopped_reason:
                self.stopped_reason = "Essential container in task exited"

        def advance(self) -> None:
            """moto calls this once per DescribeTasks, before it writes the response."""
            self._reflect()

        @property
        def last_status(self) -> str:
            return str(self.status)

        @last_status.setter
        def last_status(self, value: str) -> None:
            if value == "STOPPED" and self._process is not None:
                stop(self._process)
            self._reflect()

    return ProcessTask


def _keep_output(
    process: Process, container: Mapping[str, Any], task_id: str, file: Path
) -> threading.Thread:
    """Write each line to the group's stream, as the log driver does, and to a file."""
    options = container["logConfiguration"]["options"]
    stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{task_id}"

    def pump() -> None:
        output = process.stdout
        if output is None:
            return
        with output, file.open("wb", buffering=0) as copy:
            for line in output:
                copy.write(line)
                text = line.decode(errors="replace").rstrip()
                log_groups.keep(options["awslogs-group"], stream, [(log_groups.now(), text)])

    thread = threading.Thread(target=pump, name=f"log of {task_id}", daemon=True)
    thread.start()
    return thread


def _with_its_role(task_definition: Any) -> dict[str, Any]:
    """Return the container with its role's credentials, after the checks of the execution role."""
    [container] = task_definition.container_definitions
    if task_definition.execution_role_arn:
        for check in iam_requests.task_start_checks(task_definition.family, container):
            access.require(task_definition.execution_role_arn, check)
    role = access.credentials(task_definition.task_role_arn or "")
    own = [{"name": name, "value": value} for name, value in role.items()]
    return {**container, "environment": [*(container.get("environment") or []), *own]}


def _convert_parameter_names() -> None:
    """Convert between PascalCase, as in a state machine, and the lowerCamelCase of ECS.

    moto does so for other services but not for ECS.
    """
    model = boto3.client(
        "ecs",
        region_name="eu-north-1",
        aws_access_key_id="-",
        aws_secret_access_key="-",  # noqa: S106 - no secret: only the service's model is read
    ).meta.service_model
    by_action = {
        name: model.operation_model(operation)
        for name, operation in (("run_task", "RunTask"), ("describe_tasks", "DescribeTasks"))
    }

    def normalise_parameters(
        self: Any, parameters: Any, boto_service_name: Any = None, service_action_name: Any = None
    ) -> None:
        del boto_service_name
        action = self._get_boto_service_action(service_action_name)
        self._to_boto_request(parameters, by_action[action].input_shape)

    def normalise_response(
        self: Any, response: Any, boto_service_name: Any = None, service_action_name: Any = None
    ) -> None:
        del boto_service_name
        action = self._get_boto_service_action(service_action_name)
        self._from_boto_response(response, by_action[action].output_shape)

    StateTaskServiceEcs._normalise_parameters = normalise_parameters  # type: ignore[method-assign]
    StateTaskServiceEcs._normalise_response = normalise_response  # type: ignore[method-assign]


def _wait_for_processes() -> None:
    """Let a .sync state end with its process, and stop the process when the state ends earlier."""
    build_resolver = StateTaskServiceEcs._build_sync_resolver
    wait_for_result = StateTaskServiceEcs._eval_sync

    def build_sync_resolver(self: Any, env: Any, **kwargs: Any) -> Callable[[], Any]:
        submitted = env.stack[-1]["Tasks"][0]
        process = _processes.get(submitted["TaskArn"])
        resolve = build_resolver(self, env=env, **kwargs)
        region = kwargs["resource_runtime_part"].region
        self._running_task = (region, submitted["ClusterArn"], submitted["TaskArn"])
        self._credentials = kwargs["state_credentials"]

        def resolver() -> Any:
            if process is not None:
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    return None
            task = resolve()  # type: ignore[misc]
            if task is not None and any(
                container.get("ExitCode") != 0 for container in task.get("Containers", [])
            ):
                raise _task_failed(self, env, task)
            return task

        return resolver

    def eval_sync(self: Any, env: Any, **kwargs: Any) -> Any:
        # Without this a retried .sync task gets the first attempt's interrupted callback
        # endpoint and times out at once.
        kwargs["callback_endpoint"] = kwargs["heartbeat_endpoint"] = None
        outcome = wait_for_result(self, env=env, **kwargs)
        if outcome is None:
            region, cluster, task = self._running_task
            client: Any = boto_client_for(
                service="ecs", region=region, state_credentials=self._credentials
            )
            client.stop_task(
                cluster=cluster, task=task, reason="The state timed out or the run was stopped"
            )
        return outcome

    # moto removes this parameter before it calls ECS; Step Functions passes it on.
    _SUPPORTED_API_PARAM_BINDINGS["runtask"].add("CapacityProviderStrategy")
    StateTaskServiceEcs._build_sync_resolver = build_sync_resolver  # type: ignore[assignment,method-assign]
    StateTaskServiceEcs._eval_sync = eval_sync  # type: ignore[assignment,method-assign]
    # The resolver waits for the process itself, so that its end is noticed at once.
    callback._DELAY_SECONDS_SYNC_CONDITION_CHECK = 0.0  # type: ignore[misc]


def _task_failed(service: Any, env: Any, task: Any) -> FailureEventException:
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed),
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(  # type: ignore[typeddict-item]
                taskFailedEventDetails=TaskFailedEventDetails(
                    resource=service._get_sfn_resource(),
                    resourceType=service._get_sfn_resource_type(),
                    error="States.TaskFailed",
                    cause=to_json_str(task),
                )
            ),
        )
    )
