"""What Step Functions, and the services that its states call, refuse of a state machine."""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import botocore.session
from botocore.model import Shape, StructureShape
from botocore.validate import ParamValidator

from infra.template import PROJECT_ROOT

from .rules import SUBJECT, Rule

Machine = dict[str, Any]

_DOCS: Final = "https://docs.aws.amazon.com/step-functions/latest/dg"
_CONFIG: Final = json.loads((PROJECT_ROOT / "chalice_app/.chalice/config.json").read_text("utf-8"))
# A run waits for its files at most as long as this setting says, and one wait of 300 s more.
_WAITING_SECONDS: Final = 300 + 60 * int(
    _CONFIG["environment_variables"]["FORCE_PROCESS_AFTER_MINUTES"]
)


def machine(**states: Any) -> Machine:
    return {"StartAt": next(iter(states)), "TimeoutSeconds": 60, "States": states}


def _large(found: Machine) -> Iterator[str]:
    size = len(json.dumps(found).encode())
    if size > 1_048_576:
        yield f"a definition of {size} bytes, at most 1,048,576"


def _long_names(found: Machine) -> Iterator[str]:
    for name in found["States"]:
        if len(name) > 80:
            yield f"{name}: {len(name)} characters, at most 80"


def _two_ways_to_place(found: Machine) -> Iterator[str]:
    for name, state in found["States"].items():
        if {"LaunchType", "CapacityProviderStrategy"} <= set(state.get("Parameters", {})):
            yield f"{name}: both a launch type and a capacity provider strategy"


def _static_subjects(found: Machine) -> Iterator[str]:
    for name, state in found["States"].items():
        subject = str(state.get("Parameters", {}).get("Subject", "x"))
        if not SUBJECT.fullmatch(subject):
            yield f"{name}: {subject!r} is no subject of one line and fewer than 100 characters"


def _unknown_parameters(found: Machine) -> Iterator[str]:
    for name, state in found["States"].items():
        resource = str(state.get("Resource", ""))
        if resource.startswith("arn:aws:states:::"):
            for problem in _problems(resource, state.get("Parameters", {})):
                yield f"{name}: {problem}"


def _problems(resource: str, parameters: Any) -> list[str]:
    shape = _input_of(resource)
    request = _as_request(parameters, shape)
    report = ParamValidator().validate(request, shape)
    return report.generate_report().splitlines() if report.has_errors() else []


@functools.cache
def _input_of(resource: str) -> Shape:
    """Return what the API behind ``arn:aws:states:::[aws-sdk:]service:action[.sync]`` takes."""
    service, action = resource.removeprefix("arn:aws:states:::aws-sdk:").split(":")[-2:]
    if "aws-sdk" not in resource:
        service, action = resource.removeprefix("arn:aws:states:::").split(":")[:2]
    operation = action.removesuffix(".sync")
    model = botocore.session.get_session().get_service_model(
        {"states": "stepfunctions"}.get(service, service)
    )
    shape = model.operation_model(operation[0].upper() + operation[1:]).input_shape
    assert shape is not None
    return shape


def _as_request(value: Any, shape: Shape) -> Any:
    """Return parameters as the API takes them: its own case, and a stand-in for each path."""
    if isinstance(value, Mapping) and isinstance(shape, StructureShape):
        known = {name.lower(): name for name in shape.members}
        request = {}
        for key, part in value.items():
            path = key.endswith(".$")
            name = known.get(key.removesuffix(".$").lower(), key.removesuffix(".$"))
            member = shape.members.get(name)
            if member is None:
                request[name] = part
            else:
                request[name] = _stand_in(member) if path else _as_request(part, member)
        # Step Functions makes up a token where there is none, as every SDK does.
        tokens = [n for n, m in shape.members.items() if m.metadata.get("idempotencyToken")]
        return {**dict.fromkeys(tokens, "token"), **request}
    if isinstance(value, list) and shape.type_name == "list":
        return [_as_request(part, shape.member) for part in value]  # type: ignore[attr-defined]
    if shape.type_name == "blob":
        # lambda:invoke takes its payload as JSON.
        return json.dumps(value)
    return value


def _stand_in(shape: Shape) -> Any:
    stand_ins: dict[str, Any] = {"list": [], "map": {}, "structure": {}, "blob": b""}
    stand_ins |= dict.fromkeys(("integer", "long", "double", "float"), 1)
    return stand_ins.get(shape.type_name, "x" * max(1, shape.metadata.get("min", 1)))


def _jobs_without_region(found: Machine) -> Iterator[str]:
    for name, state in found["States"].items():
        submit = state.get("Parameters", {}).get("JobDriver", {}).get("SparkSubmit", {})
        given = submit.get("SparkSubmitParameters", "")
        for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            if submit and f"driverEnv.{variable}=" not in given:
                yield f"{name}: the driver has no {variable}"


def _too_little_time(found: Machine) -> Iterator[str]:
    longest = longest_seconds(found)
    if longest >= found["TimeoutSeconds"]:
        yield f"the longest path takes {longest} s, the machine has {found['TimeoutSeconds']} s"


def longest_seconds(found: Machine) -> int:
    """Return how long the longest path takes: every attempt to its time-out, every wait.

    A path enters each state once; what is repeated, the wait for more files, is bounded by itself.
    """
    states = found["States"]
    waits = any(state["Type"] == "Wait" for state in states.values())

    def after(name: str, seen: frozenset[str]) -> int:
        state, seen = states[name], seen | {name}
        following = {state.get("Next"), state.get("Default")}
        following |= {choice["Next"] for choice in state.get("Choices", [])}
        following |= {catcher["Next"] for catcher in state.get("Catch", [])}
        rest = [after(each, seen) for each in following - {None} if each not in seen]
        return _seconds_of(state) + max(rest, default=0)

    return after(found["StartAt"], frozenset()) + (_WAITING_SECONDS if waits else 0)


def _seconds_of(state: Mapping[str, Any]) -> int:
    # Retriers count by themselves: the one with the most attempts is the longest.
    return max(
        (_seconds_with(state, retrier) for retrier in state.get("Retry", [])),
        default=state.get("TimeoutSeconds", 0),
    )


def _seconds_with(state: Mapping[str, Any], retrier: Mapping[str, Any]) -> int:
    attempts = retrier.get("MaxAttempts", 3)
    waits = sum(
        retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** number
        for number in range(attempts)
    )
    return int((attempts + 1) * state["TimeoutSeconds"] + waits)


_TASK: Final = "arn:aws:states:::ecs:runTask.sync"

RULES: Final = (
    Rule(
        name="a definition has at most 1048576 bytes",
        source=f"{_DOCS}/service-quotas.html",
        findings=_large,
        refused={"States": {}, "Comment": "x" * 1_048_576},
    ),
    Rule(
        name="a state's name has at most 80 characters",
        source=f"{_DOCS}/statemachine-structure.html",
        findings=_long_names,
        refused=machine(**{"s" * 81: {"Type": "Succeed"}}),
    ),
    Rule(
        name="a task has a launch type or a capacity provider strategy",
        source="https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
        findings=_two_ways_to_place,
        refused=machine(
            A={"Parameters": {"LaunchType": "FARGATE", "CapacityProviderStrategy": []}}
        ),
    ),
    Rule(
        name="a subject is one line of fewer than 100 characters",
        source="https://docs.aws.amazon.com/sns/latest/api/API_Publish.html",
        findings=_static_subjects,
        refused=machine(A={"Parameters": {"Subject": "two\nlines"}}),
    ),
    Rule(
        name="the parameters of an integration are those of its API",
        source=f"{_DOCS}/supported-services-awssdk.html, botocore's service models",
        findings=_unknown_parameters,
        refused=machine(
            A={"Resource": _TASK, "Parameters": {"Cluster": 1, "TaskDefinitions.$": "$.a"}}
        ),
    ),
    Rule(
        name="a job is given its region under both names",
        source="https://docs.aws.amazon.com/boto3/latest/guide/configuration.html"
        "#using-environment-variables",
        findings=_jobs_without_region,
        refused=machine(
            A={
                "Parameters": {
                    "JobDriver": {
                        "SparkSubmit": {
                            "SparkSubmitParameters": "--conf"
                            " spark.emr-serverless.driverEnv.AWS_REGION=eu-west-1"
                        }
                    }
                }
            }
        ),
    ),
    Rule(
        name="the longest path ends before the machine's own time-out",
        source=f"{_DOCS}/statemachine-structure.html (TimeoutSeconds)",
        findings=_too_little_time,
        refused=machine(
            A={
                "Type": "Task",
                "TimeoutSeconds": 20,
                "Retry": [{"IntervalSeconds": 5, "MaxAttempts": 2}],
            }
        ),
    ),
)
