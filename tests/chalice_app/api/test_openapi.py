"""openapi.yaml, against the app's routes, its problems, and the running API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalice_app import openapi
from chalice_app.chalicelib.api import problems
from chalice_app.chalicelib.aws.run_table import RunTable
from localcloud.api import LocalApi
from localcloud.cloud import LocalCloud
from localcloud.provision import create_kpi_tables
from tests.chalice_app.api.test_routes import FIRST, category_item, daily_item, run_item
from tests.chalice_app.conftest import new_pipeline

APP = Path(__file__).parents[3] / "chalice_app"
DOCUMENT = yaml.safe_load((APP / "openapi.yaml").read_text(encoding="utf-8"))
# Signatures are API Gateway's to check; Chalice's local server lets everybody in.
SCHEMA = schemathesis.openapi.from_dict(
    {**DOCUMENT, "security": []},
    # Methods that a path has not never get past API Gateway.
    config=SchemathesisConfig.from_dict(
        {"seed": 1, "phases": {"coverage": {"unexpected-methods": []}}}
    ),
)
ENVIRONMENT = {
    "S3_BUCKET": "b",
    "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:M",
    "AWS_DEFAULT_REGION": "eu-north-1",
}
# The document that Chalice gives to API Gateway.
DESCRIBE = """
import json
from app import app
from chalice.deploy.swagger import TemplatedSwaggerGenerator
print(json.dumps(TemplatedSwaggerGenerator().generate_swagger(app), default=str))
"""


@pytest.fixture(scope="module")
def deployed() -> dict:
    result = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        cwd=APP,
        env={**os.environ, **ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def operations(document: dict) -> dict[tuple[str, str], dict]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def path_parameters(operation: dict) -> set[str]:
    resolved = [
        DOCUMENT["components"]["parameters"][found["$ref"].rsplit("/", 1)[-1]]
        if "$ref" in found
        else found
        for found in operation.get("parameters", [])
    ]
    return {found["name"] for found in resolved if found["in"] == "path"}


def test_the_document_is_openapi_3_1() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_the_document_has_the_columns_of_both_kpi_tables() -> None:
    text = openapi.DOCUMENT.read_text(encoding="utf-8")
    assert openapi.with_kpi_schemas(text) == text, "run python -m chalice_app.openapi"
    properties = DOCUMENT["components"]["schemas"]["DailyKpi"]["properties"]
    assert properties["total_orders"] == {
        "$ref": "#/components/schemas/Count",
        "description": "distinct orders, those without lines included. Unit: orders",
    }


def test_the_document_has_the_routes_of_the_app_and_no_others(deployed) -> None:
    described, real = operations(DOCUMENT), operations(deployed)
    assert described.keys() == real.keys()
    for key, operation in described.items():
        assert path_parameters(operation) == path_parameters(real[key]), key


def test_api_gateway_wants_every_route_signed(deployed) -> None:
    for key, operation in operations(deployed).items():
        assert operation["security"] == [{"sigv4": []}], key
    assert deployed["securityDefinitions"]["sigv4"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert DOCUMENT["security"] == [{"sigv4": []}]


def test_the_document_lists_every_type_of_problem() -> None:
    kinds = [found for found in vars(problems).values() if isinstance(found, problems.Kind)]
    listed = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert {f"urn:shop-kpi-pipeline:problem:{kind.name}" for kind in kinds} == set(listed)
    statuses = {
        status
        for operation in operations(DOCUMENT).values()
        for status in operation["responses"]
        if status >= "400"
    }
    assert {str(kind.status) for kind in kinds} == statuses


@pytest.fixture(scope="module")
def url(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    session = cloud.session()
    pipeline = new_pipeline(session)
    tables = {"category_kpis": "ContractCategoryKPIs", "order_kpis": "ContractOrderKPIs"}
    create_kpi_tables(pipeline.dynamodb, **tables)
    resource = session.resource("dynamodb")
    # What the document's examples ask for.
    day = FIRST.replace(month=3)
    resource.Table(tables["order_kpis"]).put_item(Item=daily_item(day))
    resource.Table(tables["category_kpis"]).put_item(Item=category_item("Home & Garden", day))
    example = DOCUMENT["components"]["parameters"]["RunId"]["example"]
    started_at = pipeline.clock()
    RunTable(pipeline.dynamodb, pipeline.settings.runs_table).write(
        run_item(example, started_at), final=True
    )
    environment = {
        **cloud.environment,
        "S3_BUCKET": pipeline.settings.bucket,
        "STEP_FUNCTION_ARN": pipeline.settings.state_machine_arn,
        "RUNS_TABLE": pipeline.settings.runs_table,
        "CATEGORY_KPIS_TABLE": tables["category_kpis"],
        "ORDER_KPIS_TABLE": tables["order_kpis"],
    }
    log_file = tmp_path_factory.mktemp("api") / "api.log"
    with LocalApi.start(APP, environment=environment, log_file=log_file) as api:
        yield api.url


@SCHEMA.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_response_is_as_the_document_says(case, url: str) -> None:
    # Not positive_data_acceptance: a document cannot say that `from` is before `to`.
    case.call_and_validate(
        base_url=url,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
            negative_data_rejection,
        ],
    )
