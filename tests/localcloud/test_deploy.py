"""``chalice deploy`` against the embedded AWS, and what it ships."""

import ast
import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
APP = ROOT / "chalice_app"
DOCUMENT = yaml.safe_load((APP / "openapi.yaml").read_text(encoding="utf-8"))


def modules(names: list[str]) -> set[str]:
    ours = ("chalicelib/", "contract/", "app.py")
    return {name for name in names if name.startswith(ours)}


def test_every_entry_point_is_deployed_with_the_stacks_settings(aws) -> None:
    functions = {
        function["FunctionName"]: function
        for function in aws.session.client("lambda").list_functions()["Functions"]
    }
    assert set(functions) - {"ecommerce-kpi-dev"} == {
        f"ecommerce-kpi-dev-{name}"
        for name in (
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
    }
    assert "ecommerce-kpi-dev" in functions, "the REST API's function has no name of its own"
    for function in functions.values():
        variables = function["Environment"]["Variables"]
        assert variables["S3_BUCKET"] == aws.stack.bucket
        assert variables["STEP_FUNCTION_ARN"] == aws.stack.state_machine_arn
        assert variables["FORCE_PROCESS_AFTER_MINUTES"] == "30"


def test_uploads_of_csv_files_plain_or_gzip_and_nothing_else_call_a_function(aws) -> None:
    configuration = aws.session.client("s3").get_bucket_notification_configuration(
        Bucket=aws.stack.bucket
    )
    functions = {
        rules["suffix"]: (rules["prefix"], function["LambdaFunctionArn"].rpartition(":")[2])
        for function in configuration["LambdaFunctionConfigurations"]
        for rules in [{r["Name"]: r["Value"] for r in function["Filter"]["Key"]["FilterRules"]}]
    }
    assert functions == {
        ".csv": ("incoming/", "ecommerce-kpi-dev-CheckFileThreshold"),
        ".csv.gz": ("incoming/", "ecommerce-kpi-dev-CheckOnGzipCreated"),
    }


def test_a_gzip_upload_calls_its_function(aws) -> None:
    s3 = aws.session.client("s3")
    upload = {"Bucket": aws.stack.bucket, "Key": "incoming/orders_1.csv.gz"}
    s3.put_object(**upload, Body=gzip.compress(b"order_id\n"))
    logs, group = aws.session.client("logs"), "/aws/lambda/ecommerce-kpi-dev-CheckOnGzipCreated"
    aws.wait_for(lambda: bool(logs.filter_log_events(logGroupName=group)["events"]), 60)
    s3.delete_object(**upload)


def test_the_schedules_are_every_five_minutes_and_every_day_at_six(aws) -> None:
    rules = aws.session.client("events").list_rules()["Rules"]
    assert [rule["ScheduleExpression"] for rule in rules if "ScheduleExpression" in rule] == [
        "rate(5 minutes)",
        "cron(0 6 * * ? *)",
    ]


def deployment_package(aws) -> Path:
    """Return the zip that Chalice has made."""
    [path] = (aws.cloud.home / "chalice_app/.chalice/deployments").glob("*.zip")
    return path


def test_the_package_holds_what_the_app_imports_and_nothing_else(aws) -> None:
    path = deployment_package(aws)
    names = zipfile.ZipFile(path).namelist()
    ours = {"app.py"} | {
        source.relative_to(folder).as_posix()
        for folder, package in ((APP, "chalicelib"), (ROOT, "contract"))
        for source in (folder / package).rglob("*.py")
    }
    assert modules(names) == ours
    assert {name for name in names if name not in ours} == {"chalice/__init__.py", "chalice/app.py"}
    assert path.stat().st_size < 15 * 1024 * 1024


def test_the_package_imports_with_boto3_alone_beside_it(aws, tmp_path) -> None:
    """As in Lambda, where the runtime has boto3: everything else is in the package."""
    with zipfile.ZipFile(deployment_package(aws)) as package:
        package.extractall(tmp_path)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import app
print("\\n".join(sorted(
    {name.split(".")[0] for name, module in sys.modules.items()
     if "site-packages" in (getattr(module, "__file__", "") or "")}
)))
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        env={
            "S3_BUCKET": "b",
            "STEP_FUNCTION_ARN": "arn:aws:states:r:1:stateMachine:M",
            "AWS_DEFAULT_REGION": "eu-north-1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    boto3_brings = {"boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"}
    # botocore takes certifi where it is installed; setuptools puts its hook into any start.
    also_here = {"certifi", "_distutils_hack"}
    assert set(result.stdout.split()) - also_here <= boto3_brings


def test_handlers_are_two_to_five_lines_and_decide_nothing() -> None:
    tree = ast.parse((APP / "app.py").read_text(encoding="utf-8"))
    handlers = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list
    ]
    assert len(handlers) == 10 + 7
    for handler in handlers:
        assert len(handler.body) == 1, handler.name
        assert isinstance(handler.body[0], ast.Return), handler.name


def test_the_configuration_names_no_account_or_region() -> None:
    text = "".join(path.read_text() for path in (APP / ".chalice").glob("*.json"))
    document = json.loads((APP / ".chalice/config.json").read_text())
    assert set(document["stages"]) == {"dev", "prod"}
    assert "eu-" not in text
    assert not any(part.isdigit() and len(part) == 12 for part in text.split(":"))


def test_every_route_of_the_rest_api_is_deployed(aws) -> None:
    gateway = aws.session.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    found = gateway.get_resources(restApiId=api["id"], embed=["methods"])["items"]
    methods = {
        f"{method} {resource['path']}": described
        for resource in found
        for method, described in resource.get("resourceMethods", {}).items()
    }
    assert set(methods) == {
        "GET /kpis/daily",
        "GET /kpis/categories",
        "GET /kpis/categories/{category}",
        "GET /runs",
        "GET /runs/{run_id}",
        "POST /runs/{run_id}/replay",
        "GET /health",
    }


def test_what_api_gateway_refuses_is_a_problem_that_says_what_to_do(aws) -> None:
    gateway = aws.session.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    found = {
        response["responseType"]: response
        for response in gateway.get_gateway_responses(restApiId=api["id"])["items"]
    }
    assert {kind: response["statusCode"] for kind, response in found.items()} == {
        "MISSING_AUTHENTICATION_TOKEN": "403",
        "UNAUTHORIZED": "403",
        "RESOURCE_NOT_FOUND": "403",
        "INVALID_SIGNATURE": "403",
        "EXPIRED_TOKEN": "403",
        "ACCESS_DENIED": "403",
        "THROTTLED": "429",
        "QUOTA_EXCEEDED": "429",
        "INTEGRATION_TIMEOUT": "504",
        "INTEGRATION_FAILURE": "504",
        "DEFAULT_5XX": "500",
    }
    schema = DOCUMENT["components"]["schemas"]["Problem"]
    for kind, response in found.items():
        body = json.loads(response["responseTemplates"]["application/json"])
        jsonschema.validate(body, schema)
        assert body["status"] == int(response["statusCode"]), kind
        assert body["instance"] == "urn:uuid:$context.requestId"
        headers = response["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert found["THROTTLED"]["responseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"
    [stage] = gateway.get_stages(restApiId=api["id"])["item"]
    *_, latest = gateway.get_deployments(restApiId=api["id"])["items"]
    assert stage["deploymentId"] == latest["id"], "they come into force with a deployment"
