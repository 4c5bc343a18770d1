"""What services refuse of single resources: their policies, and what must come with them."""

import json
from collections.abc import Iterator
from typing import Final

from .rules import Rule, Template, as_list
from .template_rules import template
from .text import spelt_out

_DOCS: Final = "https://docs.aws.amazon.com"
_SNS: Final = f"{_DOCS}/sns/latest/dg"

# By type and property: the most characters of a policy.
_POLICIES: Final = {
    ("AWS::IAM::Role", "AssumeRolePolicyDocument"): 2_048,
    ("AWS::S3::BucketPolicy", "PolicyDocument"): 20_480,
    ("AWS::EC2::VPCEndpoint", "PolicyDocument"): 20_480,
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): 30_720,
}


def _large_policies(found: Template) -> Iterator[str]:
    for (kind, property_name), most in _POLICIES.items():
        for name, properties in found.of_type(kind).items():
            document = spelt_out(properties.get(property_name, {}))
            size = len(json.dumps(document, separators=(",", ":")))
            if size > most:
                yield f"{name}: {property_name} of {size} characters, at most {most}"


# A policy of a topic allows these, and no others; so sns:* is refused, too.
_TOPIC_ACTIONS: Final = {
    *("sns:AddPermission", "sns:DeleteTopic", "sns:GetDataProtectionPolicy"),
    *("sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource"),
    *("sns:Publish", "sns:PutDataProtectionPolicy", "sns:RemovePermission"),
    *("sns:SetTopicAttributes", "sns:Subscribe"),
}


def _bad_topic_policies(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::SNS::TopicPolicy").items():
        statements = properties["PolicyDocument"]["Statement"]
        for statement in statements:
            for action in sorted(set(as_list(statement["Action"])) - _TOPIC_ACTIONS):
                yield f"{name}: {action} is no action of a topic's policy"
        if len({statement.get("Sid") for statement in statements}) < len(statements):
            yield f"{name}: each statement has a Sid of its own"


def _alarms_without_permission(found: Template) -> Iterator[str]:
    """A topic without a policy takes its own account's alarms; with one, only what it allows."""
    for name, properties in found.of_type("AWS::SNS::TopicPolicy").items():
        topics = properties["Topics"]
        alarms = [
            alarm
            for alarm, given in found.of_type("AWS::CloudWatch::Alarm").items()
            if any(action in topics for action in given.get("AlarmActions", []))
        ]
        allowed = any(
            statement["Effect"] == "Allow"
            and isinstance(statement["Principal"], dict)
            and "cloudwatch.amazonaws.com" in as_list(statement["Principal"].get("Service", []))
            for statement in properties["PolicyDocument"]["Statement"]
        )
        if alarms and not allowed:
            yield f"{name}: cloudwatch.amazonaws.com may not publish for {', '.join(alarms)}"


# vCPU units: the least and the most memory in MiB, and the step between.
_FARGATE: Final = {
    256: (512, 2_048, 512),
    512: (1_024, 4_096, 1_024),
    1_024: (2_048, 8_192, 1_024),
    2_048: (4_096, 16_384, 1_024),
    4_096: (8_192, 30_720, 1_024),
    8_192: (16_384, 61_440, 4_096),
    16_384: (32_768, 122_880, 8_192),
}


def _sizes_that_fargate_lacks(found: Template) -> Iterator[str]:
    parameters = {
        name: str(parameter.get("Default", ""))
        for name, parameter in found.document.get("Parameters", {}).items()
    }
    for name, properties in found.of_type("AWS::ECS::TaskDefinition").items():
        cpu, memory = (int(spelt_out(properties[key], parameters)) for key in ("Cpu", "Memory"))
        least, most, step = _FARGATE.get(cpu, (1, 0, 1))
        if not least <= memory <= most or memory % step:
            yield f"{name}: Fargate has no task with {cpu} CPU units and {memory} MiB"


def _incomplete_fargate_tasks(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::ECS::TaskDefinition").items():
        if properties.get("NetworkMode") != "awsvpc":
            yield f"{name}: the network mode of a Fargate task is awsvpc"
        if "ExecutionRoleArn" not in properties:
            yield f"{name}: an image in ECR and awslogs need an execution role"


RULES: Final = (
    Rule(
        name="a policy has at most as many characters as its resource takes",
        source=f"{_DOCS}/IAM/latest/UserGuide/reference_iam-quotas.html (trust policy),"
        f" {_DOCS}/AmazonS3/latest/userguide/bucket-policies.html,"
        f" {_DOCS}/vpc/latest/privatelink/vpc-limits-endpoints.html,"
        f" {_SNS}/sns-access-policy-language-api-permissions-reference.html",
        findings=_large_policies,
        refused=template(R=("AWS::IAM::Role", {"AssumeRolePolicyDocument": "x" * 2_049})),
    ),
    Rule(
        name="a topic's policy has actions of topics and different Sids",
        source=f"{_SNS}/sns-access-policy-language-api-permissions-reference.html,"
        " https://github.com/hashicorp/terraform/issues/12740",
        findings=_bad_topic_policies,
        refused=template(
            P=(
                "AWS::SNS::TopicPolicy",
                {"PolicyDocument": {"Statement": [{"Sid": "All", "Action": "sns:*"}]}},
            )
        ),
    ),
    Rule(
        name="a topic with a policy lets its alarms publish",
        source=f"{_SNS}/sns-access-policy-use-cases.html",
        findings=_alarms_without_permission,
        refused=template(
            A=("AWS::CloudWatch::Alarm", {"AlarmActions": [{"Ref": "T"}]}),
            P=(
                "AWS::SNS::TopicPolicy",
                {
                    "Topics": [{"Ref": "T"}],
                    "PolicyDocument": {"Statement": [{"Effect": "Deny", "Principal": "*"}]},
                },
            ),
        ),
    ),
    Rule(
        name="a task has CPU units and memory that Fargate has together",
        source=f"{_DOCS}/AmazonECS/latest/developerguide/task-cpu-memory-error.html",
        findings=_sizes_that_fargate_lacks,
        refused=template(T=("AWS::ECS::TaskDefinition", {"Cpu": "1024", "Memory": "1024"})),
    ),
    Rule(
        name="a task on Fargate has awsvpc and an execution role",
        source=f"{_DOCS}/AmazonECS/latest/developerguide/fargate-tasks-services.html",
        findings=_incomplete_fargate_tasks,
        refused=template(T=("AWS::ECS::TaskDefinition", {"NetworkMode": "bridge"})),
    ),
)
