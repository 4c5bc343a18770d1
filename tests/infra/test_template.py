"""The template against the machine, the functions, the containers and the code."""

import ast
import json
import re
from typing import Any

import pytest
import yaml
from cfnlint.decode import cfn_yaml

from chalice_app.chalicelib.runs import metrics
from chalice_app.chalicelib.settings import WARNINGS, Settings
from contract.keys import DATA_DOCS
from infra import functions, template
from shopkpi import log_lines

TEMPLATE = template.load()
RESOURCES = TEMPLATE["Resources"]
MACHINE: dict[str, Any] = json.loads(template.MACHINE.read_text(encoding="utf-8"))
APP = (template.PROJECT_ROOT / "chalice_app/app.py").read_text(encoding="utf-8")
DOCS = template.PROJECT_ROOT / "docs"
IMAGES = (template.PROJECT_ROOT / "docker/Dockerfile").read_text(encoding="utf-8")


def container(task: str) -> dict[str, Any]:
    [found] = RESOURCES[task]["Properties"]["ContainerDefinitions"]
    return found


def environment(task: str) -> set[str]:
    return {item["Name"] for item in container(task)["Environment"]}


def handlers() -> dict[str, str]:
    """Return the functions of the app: their Chalice names and their decorators'."""
    found = {}
    for node in ast.parse(APP).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                assert isinstance(decorator, ast.Call)
                kind = ast.unparse(decorator.func).removeprefix("app.")
                names = [k.value for k in decorator.keywords if k.arg == "name"]
                found[ast.literal_eval(names[0]) if names else node.name] = kind
    return found


def test_it_is_read_as_the_linter_reads_it() -> None:
    assert cfn_yaml.load(str(template.TEMPLATE)) == TEMPLATE


def test_what_is_sent_is_the_template_with_the_machine_and_without_remarks() -> None:
    sent = json.loads(template.render())
    definition = json.loads(sent["Resources"]["Machine"]["Properties"]["DefinitionString"])
    assert set(definition["States"]) == set(MACHINE["States"])
    assert "Comment" not in definition
    assert set(sent["Resources"]) == set(RESOURCES)
    assert not any("Metadata" in resource for resource in sent["Resources"].values())


def test_names_that_are_fixed_are_the_templates() -> None:
    names = {
        "CategoryKpis": ("TableName", "CategoryKPIs"),
        "OrderKpis": ("TableName", "OrderKPIs"),
        "PipelineRuns": ("TableName", "PipelineRuns"),
        "Cluster": ("ClusterName", "ecommerce-data-pipeline-cluster"),
        "Machine": ("StateMachineName", "ECommercePipeline"),
        "ValidatorTask": ("Family", "ecommerce-validator-task"),
        "TransformerTask": ("Family", "ecommerce-transformer-task"),
    }
    for resource, (name, value) in names.items():
        named = RESOURCES[resource]["Properties"][name]
        assert named == {"Fn::Sub": f"{value}${{NameSuffix}}"}
    assert TEMPLATE["Parameters"]["NameSuffix"]["Default"] == ""


def test_the_machine_overrides_containers_that_the_tasks_have() -> None:
    for state, task in (("ValidateFiles", "ValidatorTask"), ("TransformFiles", "TransformerTask")):
        parameters = MACHINE["States"][state]["Parameters"]
        [override] = parameters["Overrides"]["ContainerOverrides"]
        assert override["Name"] == container(task)["Name"]
        assert parameters["TaskDefinition"] == f"${{{task}Definition}}"


@pytest.mark.parametrize("task", ["ValidatorTask", "TransformerTask"])
def test_a_task_runs_as_its_image_is_made_to_run(task: str) -> None:
    said = dict(re.findall(r"^(USER|VOLUME|ENTRYPOINT) (.+)$", IMAGES, re.MULTILINE))
    folders = dict(re.findall(r"\b(HOME|TMPDIR)=(\S+)", IMAGES))
    definition, properties = container(task), RESOURCES[task]["Properties"]
    [mount] = definition["MountPoints"]
    # Fargate copies owner and mode of a VOLUME's folder to the mount of the same path only.
    assert mount["ContainerPath"] == said["VOLUME"] == folders["HOME"] == folders["TMPDIR"]
    assert mount["ReadOnly"] is False
    assert {"Name": mount["SourceVolume"]} in properties["Volumes"]
    assert definition["User"] == said["USER"] != "0"
    assert definition["ReadonlyRootFilesystem"] is True
    # tini stays the first process, and gets ECS's SIGTERM: the image asks for no other signal.
    assert json.loads(said["ENTRYPOINT"]) == ["/usr/bin/tini", "-g", "--"]
    assert "EntryPoint" not in definition
    assert "STOPSIGNAL" not in IMAGES


def test_the_containers_get_the_variables_that_their_code_requires() -> None:
    code = (template.PROJECT_ROOT / "spark_jobs/publish/tables.py").read_text(encoding="utf-8")
    needed = set(re.findall(r'"([A-Z_]+_TABLE)"', code))
    assert needed
    assert needed <= environment("TransformerTask")
    assert "GX_ANALYTICS_ENABLED" in environment("ValidatorTask")


def test_the_functions_get_the_variables_that_their_code_requires() -> None:
    config = json.loads((template.PROJECT_ROOT / "chalice_app/.chalice/config.json").read_text())
    given = {
        **config["environment_variables"],
        **dict.fromkeys(functions.ENVIRONMENT, "1024/2048"),
        # What a parameter says reaches the functions as it is.
        **{
            variable: str(default)
            for variable, output in functions.ENVIRONMENT.items()
            if (default := TEMPLATE["Parameters"].get(output, {}).get("Default"))
        },
        "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:M",
    }
    settings = Settings.from_env(given)
    assert settings.min_order_files == 5
    assert (settings.silenced, settings.min_history, settings.day_complete_hour) == (set(), 4, 6)
    code = "".join(
        path.read_text() for path in (template.PROJECT_ROOT / "chalice_app").rglob("*.py")
    )
    assert [name for name in given if f'"{name}"' not in code] == []
    assert set(functions.ENVIRONMENT.values()) <= set(TEMPLATE["Outputs"])


def test_exactly_the_warnings_that_there_are_can_be_silenced() -> None:
    pattern = TEMPLATE["Parameters"]["SilencedWarnings"]["AllowedPattern"]
    assert all(re.fullmatch(pattern, warning) for warning in WARNINGS)
    assert re.fullmatch(pattern, ",".join(WARNINGS))
    assert set(re.findall(r"[a-z_]{5,}", pattern)) == {*WARNINGS}
    assert not any(re.fullmatch(pattern, wrong) for wrong in ("", "all", "volume,", "volume none"))


def test_every_function_has_a_role_a_log_and_a_name_that_the_machine_knows() -> None:
    roles = {name.removeprefix("RoleOf") for name in TEMPLATE["Outputs"] if "RoleOf" in name}
    routes = {name for name, kind in handlers().items() if kind == "route"}
    others = set(handlers()) - routes
    assert roles == {*others, *(["Api"] if routes else [])}
    groups = {
        resource["Properties"]["LogGroupName"]["Fn::Sub"].rsplit("-", 1)[-1]
        for name, resource in RESOURCES.items()
        if resource["Type"] == "AWS::Logs::LogGroup" and "/aws/lambda/" in str(resource)
    }
    assert others <= groups
    called = {
        value["Fn::Sub"].rsplit("-", 1)[-1]
        for name, value in RESOURCES["Machine"]["Properties"]["DefinitionSubstitutions"].items()
        if name.endswith("Function")
    }
    assert called == {name for name, kind in handlers().items() if kind == "lambda_function"}


def test_dead_letters_are_kept_of_every_function_that_nobody_waits_for() -> None:
    events = {"on_s3_event", "on_cw_event", "schedule"}
    assert set(functions.ASYNCHRONOUS) == {n for n, kind in handlers().items() if kind in events}


def test_every_alarm_has_its_section_in_the_runbook() -> None:
    sections = set(re.findall(r"^## ([a-z-]+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE))
    alarms = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    linked = {alarm["AlarmDescription"].split("docs/runbook.md#")[1] for alarm in alarms}
    named = {
        alarm["AlarmName"]["Fn::Sub"].removeprefix("ecommerce-kpi-${Stage}-") for alarm in alarms
    }
    assert len(alarms) == 5
    assert linked == named == sections
    assert all(alarm["AlarmActions"] == [{"Ref": "Topic"}] for alarm in alarms)


def own_metrics_shown() -> list[tuple[str, list[str]]]:
    """Return each metric of the pipeline's own in the dashboard: its name and dimensions."""
    body = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    found = []
    for widget in body["widgets"]:
        before: list[str] = []
        for metric in widget["properties"].get("metrics", []):
            row = [part for part in metric if isinstance(part, str)]
            if row[0] != "...":
                before = [
                    earlier if part == "." else part
                    for part, earlier in zip(row, [*before, *row], strict=False)
                ]
                if before[0] == metrics.NAMESPACE:
                    found.append((before[1], before[2:]))
    return found


def test_every_metric_that_is_written_is_shown_and_no_other() -> None:
    shown = own_metrics_shown()
    assert sorted(name for name, _ in shown) == sorted(metrics.WAITING | metrics.OF_A_RUN)
    assert {tuple(dimensions) for _, dimensions in shown} == {("Stage", "${Stage}")}


def test_every_metric_stands_in_the_documentation_with_its_unit() -> None:
    table = re.findall(
        r"^\| ([A-Z]\w+) \| (Count|Seconds|None) \|",
        (DOCS / "observability.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert table == list((metrics.WAITING | metrics.OF_A_RUN).items())


def test_alarms_watch_metrics_that_are_written() -> None:
    alarms = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    watched = [
        query["MetricStat"]["Metric"]
        for alarm in alarms
        for query in alarm.get("Metrics", [])
        if "MetricStat" in query
    ]
    own = [metric for metric in watched if metric["Namespace"] == metrics.NAMESPACE]
    assert [(metric["MetricName"], metric["Dimensions"]) for metric in own] == [
        ("OldestFileSeconds", [{"Name": "Stage", "Value": {"Ref": "Stage"}}])
    ]
    assert "OldestFileSeconds" in metrics.WAITING


def test_containers_log_where_the_operators_command_looks() -> None:
    for task in ("ValidatorTask", "TransformerTask"):
        options = container(task)["LogConfiguration"]["Options"]
        assert options["awslogs-stream-prefix"] == log_lines._STREAM_PREFIX


def test_every_parameter_stands_in_the_deployment_guide() -> None:
    guide = (DOCS / "deploy.md").read_text(encoding="utf-8")
    assert [name for name in TEMPLATE["Parameters"] if name != "Stage" and name not in guide] == []


def test_the_lifecycle_keeps_what_later_runs_need() -> None:
    rules = {
        rule["Id"]: rule
        for rule in RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    }
    for kept in ("incoming", "processed", "quarantine", "ledger"):
        assert "ExpirationInDays" not in rules[kept]
    defaults = Settings(bucket="b", state_machine_arn="m")
    once = {
        name: rule
        for name, rule in rules.items()
        if rule.get("Prefix") in {defaults.lock_key, defaults.waiting_key}
        and rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    }
    note = json.dumps(
        {"run_id": "20250301T000000Z-0123456789abcdef-99", "at": "2025-03-01T00:00:00.000000+00:00"}
    )
    assert len(note) < int(rules["runs"]["ObjectSizeGreaterThan"])
    # All in the listing that every check reads: the lock has a version per run.
    assert set(once) == {"lock", "waiting-note"}
    for name in ("dashboard", "deploy", "code"):
        assert rules[name]["Prefix"] == f"{name}/"
        assert rules[name]["NoncurrentVersionExpiration"]["NoncurrentDays"] <= 30
        assert "ExpirationInDays" not in rules[name]
    assert rules["data-docs"]["Prefix"] == DATA_DOCS


def test_no_account_subnet_or_region_is_written_down() -> None:
    text = template.TEMPLATE.read_text(encoding="utf-8")
    assert not re.search(r"\b\d{12}\b|subnet-[0-9a-f]{8}|\b(eu|us|ap)-[a-z]+-\d", text)


def test_every_skip_of_checkov_has_its_reason() -> None:
    lines = (template.TEMPLATE.with_name("checkov.yaml")).read_text("utf-8").splitlines()
    skips = [number for number, line in enumerate(lines) if line.strip().startswith("- CKV")]
    assert skips
    assert all(lines[number - 1].strip().startswith("#") for number in skips)
    assert yaml.safe_load("\n".join(lines))["file"] == ["infra/template.yaml"]
