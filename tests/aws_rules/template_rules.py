"""What CloudFormation, and the services that it calls, refuse of a template."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from infra.template import TEMPLATE
from localcloud.iam_requests import MANAGED_RULES

from .rules import Rule, Template, as_list
from .text import spelt_out

_DOCS: Final = "https://docs.aws.amazon.com"
REGIONS: Final[list[str]] = yaml.safe_load(
    TEMPLATE.with_name("cfnlint.yaml").read_text(encoding="utf-8")
)["regions"]


def template(**resources: Any) -> Template:
    """Return a template of these resources, ``Name=(type, properties)``."""
    document = {
        "Resources": {
            name: {"Type": kind, "Properties": properties}
            for name, (kind, properties) in resources.items()
        }
    }
    return Template(text=json.dumps(document), document=document)


def _too_large(found: Template) -> Iterator[str]:
    size = len(found.text.encode())
    if size > 1_048_576:
        yield f"{size} bytes: a template is read from a bucket up to 1,048,576"


def _unknown_types(found: Template) -> Iterator[str]:
    # A condition does not help: the type is looked up before conditions are.
    for region in REGIONS:
        known = set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))
        for name, resource in found.resources.items():
            if resource["Type"] not in known:
                yield f"{name}: {region} has no {resource['Type']}"


def _too_many(found: Template) -> Iterator[str]:
    for section, limit in (("Parameters", 200), ("Resources", 500), ("Outputs", 200)):
        number = len(found.document.get(section, {}))
        if number > limit:
            yield f"{number} {section}: at most {limit}"


def _nulls(found: Template) -> Iterator[str]:
    def paths(value: Any, path: str) -> Iterator[str]:
        match value:
            case None:
                yield path
            case dict():
                for key, part in value.items():
                    yield from paths(part, f"{path}.{key}")
            case list():
                for number, part in enumerate(value):
                    yield from paths(part, f"{path}[{number}]")

    for path in paths(found.document, "template"):
        yield f"{path} is null"


# By type and property: what the service's API reference says of the name.
_NAMES: Final = {
    ("AWS::DynamoDB::Table", "TableName"): r"[a-zA-Z0-9_.-]{3,255}",
    ("AWS::ECR::Repository", "RepositoryName"): r"(?=.{2,256}$)[a-z0-9]+([._/-]+[a-z0-9]+)*",
    ("AWS::ECS::Cluster", "ClusterName"): r"[a-zA-Z0-9_-]{1,255}",
    ("AWS::ECS::TaskDefinition", "Family"): r"[a-zA-Z0-9_-]{1,255}",
    ("AWS::EMRServerless::Application", "Name"): r"[A-Za-z0-9._/#-]{1,64}",
    ("AWS::S3::Bucket", "BucketName"): r"(?=.{3,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?",
    ("AWS::SNS::Topic", "TopicName"): r"[a-zA-Z0-9_-]{1,256}",
    ("AWS::SQS::Queue", "QueueName"): r"[a-zA-Z0-9_-]{1,80}",
    ("AWS::StepFunctions::StateMachine", "StateMachineName"): r"[a-zA-Z0-9_-]{1,80}",
    ("AWS::CloudWatch::Alarm", "AlarmName"): r"[\x20-\x7e]{1,255}",
    ("AWS::CloudWatch::Alarm", "MetricName"): r"[\x20-\x7e]{1,255}",
    ("AWS::CloudWatch::Alarm", "AlarmDescription"): r"(?s).{0,1024}",
    ("AWS::CloudWatch::Dashboard", "DashboardName"): r"[A-Za-z0-9_-]{1,255}",
    ("AWS::Logs::LogGroup", "LogGroupName"): r"[._/#A-Za-z0-9-]{1,512}",
    ("AWS::IAM::Policy", "PolicyName"): r"[\w+=,.@-]{1,128}",
    ("AWS::EC2::VPCEndpoint", "ServiceName"): r"[a-z0-9.-]{1,255}",
    ("AWS::EC2::SecurityGroup", "GroupDescription"): r"[\w .:/()#,@\[\]+=&;{}!$*-]{1,255}",
}


def _bad_names(found: Template) -> Iterator[str]:
    for (kind, property_name), pattern in _NAMES.items():
        for name, properties in found.of_type(kind).items():
            value = spelt_out(properties.get(property_name, ""))
            if value and not re.fullmatch(pattern, value):
                yield f"{name}: {property_name} {value!r} ({len(value)}) is not {pattern}"


def _names_of_unknown_form(found: Template) -> Iterator[str]:
    for name, resource in found.resources.items():
        for key in resource.get("Properties", {}):
            if (key.endswith("Name") or key == "Family") and (resource["Type"], key) not in _NAMES:
                yield f"{name}: no form is known of {key} of {resource['Type']}: look it up"


def _functions_without_room(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::Logs::LogGroup").items():
        group = spelt_out(properties["LogGroupName"])
        function = group.removeprefix("/aws/lambda/")
        if function != group and len(function) > 64:
            yield f"{name}: a function {function} has {len(function)} characters, at most 64"


def _large_policies(found: Template) -> Iterator[str]:
    sizes: dict[str, int] = {}
    for name, properties in found.of_type("AWS::IAM::Role").items():
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [
            policy["PolicyDocument"]
            for policy in found.of_type("AWS::IAM::Policy").values()
            if {"Ref": name} in policy.get("Roles", [])
        ]
        sizes[name] = sum(
            len(re.sub(r"\s", "", json.dumps(spelt_out(document)))) for document in documents
        )
    for name, size in sizes.items():
        if size > 10_240:
            yield f"{name}: policies of {size} characters, at most 10,240"


def _alarms_with_gaps(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::CloudWatch::Alarm").items():
        queries = properties.get("Metrics", [])
        metrics = [query["Id"] for query in queries if "MetricStat" in query]
        for query in queries:
            expression = str(spelt_out(query.get("Expression", "")))
            bare = re.sub(r"FILL\((\w+|METRICS\(\)),[^,()]+\)", "", expression)
            gaps = [each for each in (*metrics, "METRICS") if re.search(rf"\b{each}\b", bare)]
            if len(metrics) > 1 and gaps:
                yield f"{name}: {expression} has no value while {' or '.join(gaps)} has none"


def _long_alarms(found: Template) -> Iterator[str]:
    limits = {
        parameter: document.get("MaxValue", 0)
        for parameter, document in found.document.get("Parameters", {}).items()
    }
    for name, properties in found.of_type("AWS::CloudWatch::Alarm").items():
        periods = properties["EvaluationPeriods"]
        number = limits.get(periods["Ref"], 0) if isinstance(periods, dict) else periods
        seconds = [properties.get("Period", 0)]
        seconds += [
            q["MetricStat"]["Period"] for q in properties.get("Metrics", []) if "MetricStat" in q
        ]
        most = 604_800 if max(seconds) >= 3600 else 86_400
        if number * max(seconds) > most:
            yield f"{name}: {number} periods of {max(seconds)} s, at most {most} s together"


def _early_transitions(found: Template) -> Iterator[str]:
    for bucket in found.of_type("AWS::S3::Bucket").values():
        for rule in bucket.get("LifecycleConfiguration", {}).get("Rules", []):
            for step in rule.get("Transitions", []):
                if step["StorageClass"] in {"STANDARD_IA", "ONEZONE_IA"} and (
                    step["TransitionInDays"] < 30
                ):
                    yield f"{rule['Id']}: {step['StorageClass']} after {step['TransitionInDays']} d"


def _routes_too_early(found: Template) -> Iterator[str]:
    attachments = set(found.of_type("AWS::EC2::VPCGatewayAttachment"))
    for name, properties in found.of_type("AWS::EC2::Route").items():
        earlier = set(as_list(found.resources[name].get("DependsOn", [])))
        if "GatewayId" in properties and not attachments & earlier:
            yield f"{name}: no DependsOn of the gateway's attachment"


def _tasks_without_region(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::ECS::TaskDefinition").items():
        for container in properties["ContainerDefinitions"]:
            given = {item["Name"] for item in container.get("Environment", [])}
            for missing in sorted({"AWS_REGION", "AWS_DEFAULT_REGION"} - given):
                yield f"{name}: {container['Name']} has no {missing}"


_RULE_ACTIONS: Final = ("events:DescribeRule", "events:PutRule", "events:PutTargets")


def _managed_rules(found: Template) -> Iterator[str]:
    for name, properties in found.of_type("AWS::StepFunctions::StateMachine").items():
        role = properties["RoleArn"]["Fn::GetAtt"][0]
        allowed = list(_allowed_before(found, name, role))
        states = json.loads(properties["DefinitionString"])["States"].values()
        resources = {
            str(state.get("Resource", "")).removeprefix("arn:aws:states:::") for state in states
        }
        for resource in sorted(resources):
            if ".sync" not in resource:
                continue
            rule = MANAGED_RULES.get(resource)
            if rule is None:
                yield f"{name}: {resource} has an unknown managed rule: look it up"
                continue
            for action in _RULE_ACTIONS:
                if not any(
                    action in actions and str(target).endswith(f"rule/{rule}")
                    for actions, target in allowed
                ):
                    yield f"{name}: {role} may not {action} {rule} when the machine is created"


def _allowed_before(found: Template, machine: str, role: str) -> Iterator[tuple[list[str], Any]]:
    """Yield what a role may do for certain before a machine is created: actions, resource."""
    documents = [
        policy["PolicyDocument"]
        for policy in found.resources[role]["Properties"].get("Policies", [])
    ]
    earlier = as_list(found.resources[machine].get("DependsOn", []))
    documents += [
        resource["Properties"]["PolicyDocument"]
        for name, resource in found.resources.items()
        if name in earlier
        and "Condition" not in resource
        and {"Ref": role} in resource["Properties"].get("Roles", [])
    ]
    for document in documents:
        for statement in document["Statement"]:
            for target in as_list(statement["Resource"]):
                yield as_list(statement["Action"]), spelt_out(target)


_ROLE: Final[tuple[str, dict[str, Any]]] = ("AWS::IAM::Role", {"Policies": []})
_EMR_STATE: Final = json.dumps(
    {"States": {"A": {"Resource": "arn:aws:states:::emr-serverless:startJobRun.sync"}}}
)

RULES: Final = (
    Rule(
        name="a template in a bucket has at most 1048576 bytes",
        source=f"{_DOCS}/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html",
        findings=_too_large,
        refused=Template(text=" " * 1_048_577, document={}),
    ),
    Rule(
        name="a type exists in the region, even where a condition leaves it out",
        source="https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2177",
        findings=_unknown_types,
        refused=template(B=("AWS::Budgets::Budget", {})),
    ),
    Rule(
        name="a template has at most 200 parameters, 500 resources, 200 outputs",
        source=f"{_DOCS}/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html",
        findings=_too_many,
        refused=Template(text="", document={"Outputs": dict.fromkeys(map(str, range(201)))}),
    ),
    Rule(
        name="a template holds no null",
        source=f"{_DOCS}/AWSCloudFormation/latest/UserGuide/template-formats.html",
        findings=_nulls,
        refused=template(T=("AWS::SNS::Topic", {"TopicName": None})),
    ),
    Rule(
        name="names have the letters and the length of their service",
        source=f"{_DOCS}/AmazonS3/latest/userguide/bucketnamingrules.html",
        findings=_bad_names,
        refused=template(B=("AWS::S3::Bucket", {"BucketName": {"Fn::Sub": "Data-${Stage}"}})),
    ),
    Rule(
        name="the form of each name is known",
        source="the API reference of each service",
        findings=_names_of_unknown_form,
        refused=template(R=("AWS::IAM::Role", {"RoleName": "role"})),
    ),
    Rule(
        name="a function's name has at most 64 characters",
        source=f"{_DOCS}/lambda/latest/api/API_CreateFunction.html",
        findings=_functions_without_room,
        refused=template(
            L=("AWS::Logs::LogGroup", {"LogGroupName": {"Fn::Sub": "/aws/lambda/" + "f" * 65}})
        ),
    ),
    Rule(
        name="the inline policies of a role have at most 10240 characters",
        source=f"{_DOCS}/IAM/latest/UserGuide/reference_iam-quotas.html",
        findings=_large_policies,
        refused=template(
            R=_ROLE,
            P=("AWS::IAM::Policy", {"Roles": [{"Ref": "R"}], "PolicyDocument": "x" * 10_240}),
        ),
    ),
    Rule(
        name="a role may use the managed rule of each sync state before its machine is created",
        source="https://github.com/terraform-aws-modules/terraform-aws-step-functions/issues/11,"
        f" {_DOCS}/step-functions/latest/dg/emr-serverless-iam.html",
        findings=_managed_rules,
        refused=template(
            R=_ROLE,
            M=(
                "AWS::StepFunctions::StateMachine",
                {"RoleArn": {"Fn::GetAtt": ["R", "Arn"]}, "DefinitionString": _EMR_STATE},
            ),
        ),
    ),
    Rule(
        name="an alarm over several metrics has a value while one of them has none",
        source=f"{_DOCS}/AmazonCloudWatch/latest/monitoring/using-metric-math.html (FILL)",
        findings=_alarms_with_gaps,
        refused=template(
            A=(
                "AWS::CloudWatch::Alarm",
                {
                    "Metrics": [
                        {"Id": "sum", "Expression": "FILL(a, 0) + b"},
                        {"Id": "a", "MetricStat": {}},
                        {"Id": "b", "MetricStat": {}},
                    ]
                },
            )
        ),
    ),
    Rule(
        name="the periods of an alarm are at most a day, of an hour or more a week",
        source=f"{_DOCS}/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
        findings=_long_alarms,
        refused=template(A=("AWS::CloudWatch::Alarm", {"Period": 300, "EvaluationPeriods": 289})),
    ),
    Rule(
        name="an object moves to an infrequent class after 30 days or more",
        source=f"{_DOCS}/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html",
        findings=_early_transitions,
        refused=template(
            B=(
                "AWS::S3::Bucket",
                {
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": "early",
                                "Transitions": [
                                    {"StorageClass": "STANDARD_IA", "TransitionInDays": 29}
                                ],
                            }
                        ]
                    }
                },
            )
        ),
    ),
    Rule(
        name="a route to a gateway depends on the gateway's attachment",
        source=f"{_DOCS}/AWSCloudFormation/latest/UserGuide/aws-attribute-dependson.html",
        findings=_routes_too_early,
        refused=template(
            A=("AWS::EC2::VPCGatewayAttachment", {}),
            R=("AWS::EC2::Route", {"GatewayId": {"Ref": "G"}}),
        ),
    ),
    Rule(
        name="a task is given its region under both names",
        source="https://github.com/aws/containers-roadmap/issues/1611",
        findings=_tasks_without_region,
        refused=template(
            T=(
                "AWS::ECS::TaskDefinition",
                {
                    "ContainerDefinitions": [
                        {"Name": "c", "Environment": [{"Name": "AWS_REGION", "Value": "eu-west-1"}]}
                    ]
                },
            )
        ),
    ),
)
