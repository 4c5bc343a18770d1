"""One run, followed by its id through everything that speaks of it."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from chalice_app.chalicelib.runs import metrics
from localcloud.provision import STAGE
from tests.shopkpi.conftest import Shop, Type

GROUPS = {
    "CheckFileThreshold": "/aws/lambda/ecommerce-kpi-dev-CheckFileThreshold",
    "ClaimFiles": "/aws/lambda/ecommerce-kpi-dev-ClaimFiles",
    "QuarantineRejected": "/aws/lambda/ecommerce-kpi-dev-QuarantineRejected",
    "FinishRun": "/aws/lambda/ecommerce-kpi-dev-FinishRun",
    "NotifyRunEnd": "/aws/lambda/ecommerce-kpi-dev-NotifyRunEnd",
    "OnExecutionEnded": "/aws/lambda/ecommerce-kpi-dev-OnExecutionEnded",
    "validator": "/ecommerce-kpi/dev/validator",
    "transformer": "/ecommerce-kpi/dev/transformer",
}
# The specification of CloudWatch's embedded metric format, in our own words: what the root, its
# directives and their metrics must have, and how much of it.
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
EMBEDDED_METRICS = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": NAME,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": NAME,
                                        "Unit": {"enum": ["Count", "Seconds", "None"]},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def lines(shop: Shop, group: str) -> list[dict[str, Any]]:
    """Return what a group holds: JSON to the last line, but for what Lambda itself says."""
    pages = shop.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    texts = [event["message"] for page in pages for event in page["events"]]
    return [json.loads(text) for text in texts if not text.startswith("[ERROR] ")]


def of_run(shop: Shop, group: str) -> list[dict[str, Any]]:
    return [line for line in lines(shop, group) if line.get("run_id") == shop.run]


def measured(shop: Shop) -> list[dict[str, Any]]:
    ended = of_run(shop, GROUPS["OnExecutionEnded"])
    return [line for line in ended if line["message"] == "run measured"]


def record(shop: Shop) -> dict[str, Any]:
    """Ask the REST API, whose function is called as API Gateway does."""
    request = {
        "resource": "/runs/{run_id}",
        "path": f"/runs/{shop.run}",
        "httpMethod": "GET",
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": {"run_id": shop.run},
        "stageVariables": None,
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/runs/{run_id}",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": None,
        "isBase64Encoded": False,
    }
    answer = shop.client("lambda").invoke(
        FunctionName="ecommerce-kpi-dev", Payload=json.dumps(request).encode()
    )
    return json.loads(json.loads(answer["Payload"].read())["body"])


def values(shop: Shop, name: str, at: datetime) -> list[tuple[float, float]]:
    """Return a metric's sum and the number of its values within a second."""
    start = at.replace(microsecond=0)
    found = shop.client("cloudwatch").get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "Stage", "Value": STAGE}],
        StartTime=start,
        EndTime=start + timedelta(seconds=1),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return [(point["Sum"], point["SampleCount"]) for point in found]


@pytest.fixture
def ended(shop: Shop) -> Shop:
    """The shop once its run's end has been heard of."""
    shop.wait_for(lambda: measured(shop), 30)
    return shop


def test_one_id_leads_through_functions_containers_message_record_and_api(
    ended: Shop, local: Type
) -> None:
    silent = [name for name, group in GROUPS.items() if not of_run(ended, group)]
    assert silent == []
    messages = ended.client("sqs").receive_message(
        QueueUrl=ended.stack.messages_url, MaxNumberOfMessages=10
    )["Messages"]
    assert any(ended.run in message["Body"] for message in messages)
    assert record(ended)["run_id"] == ended.run
    shown = local(f"logs {ended.run} --json").data
    assert [line["at"] for line in shown] == sorted(line["at"] for line in shown)
    phases = [line["fields"]["phase"] for line in shown if "phase" in line["fields"]]
    assert {"read", "check orders", "write", "commit", "compute", "publish"} <= set(phases)
    assert {line["fields"]["run_id"] for line in shown if line["source"] != "machine"} == {
        ended.run
    }
    screen = local(f"logs {ended.run} --only transformer --level info").out
    assert "ledger version 1: {" in screen
    assert local(f"logs {ended.run} --level error").out == ""
    assert local(f"logs {ended.run} --level much").err == (
        "error: --level much: there are DEBUG, INFO, WARNING, ERROR\n"
    )


def test_a_function_writes_each_line_once(ended: Shop) -> None:
    for name in ("ClaimFiles", "QuarantineRejected", "FinishRun"):
        found = [json.dumps(line) for line in of_run(ended, GROUPS[name])]
        assert len(found) == len(set(found)), name


def test_the_metrics_of_a_run_are_its_record_to_the_cent_and_once(ended: Shop) -> None:
    run = record(ended)
    at = datetime.fromisoformat(run["ended_at"])
    seconds = run["seconds_by_state"]
    expected = {
        "Files": run["files"],
        "FilesRejected": 1,
        "RowsAccepted": run["rows"]["accepted"],
        "RowsQuarantined": 1,
        "RowsHeld": run["rows"]["held"],
        "ItemsWritten": run["items_written"],
        "ItemsDeleted": run["items_deleted"],
        "RunSeconds": (at - datetime.fromisoformat(run["started_at"])).total_seconds(),
        "ValidateSeconds": Decimal(seconds["ValidateFiles"]),
        "TransformSeconds": Decimal(seconds["TransformFiles"]),
        "EstimatedCost": Decimal(run["estimated_cost"]),
    }
    assert set(expected) == set(metrics.OF_A_RUN)
    found = {name: values(ended, name, at) for name in expected}
    assert found == {name: [(float(value), 1.0)] for name, value in expected.items()}
    assert run["rows"]["accepted"] > 0
    [line] = measured(ended)
    assert line["seconds_by_stage"] == {
        name: float(taken) for name, taken in run["seconds_by_stage"].items()
    }


def test_files_that_wait_are_counted_while_they_wait(ended: Shop) -> None:
    listed = ended.client("cloudwatch").list_metrics(Namespace=metrics.NAMESPACE)["Metrics"]
    names = {metric["MetricName"] for metric in listed if metric["Dimensions"]}
    # The state machine writes FailedRuns, if a run of this package's tests failed.
    assert names - {"FailedRuns"} == set(metrics.WAITING | metrics.OF_A_RUN)
    [started] = [
        line
        for line in of_run(ended, GROUPS["CheckFileThreshold"])
        if line["message"] == "run started"
    ]
    waiting = [
        line
        for line in lines(ended, GROUPS["CheckFileThreshold"])
        if line["message"] == "files waiting" and line["time"] <= started["time"]
    ]
    assert max(line["FilesWaiting"] for line in waiting) == 11
    assert all(0 <= line["OldestFileSeconds"] < 600 for line in waiting)


def test_every_line_with_metrics_keeps_to_cloudwatchs_format(ended: Shop) -> None:
    found = [
        line
        for name in ("CheckFileThreshold", "OnExecutionEnded")
        for line in lines(ended, GROUPS[name])
        if "_aws" in line
    ]
    assert {line["message"] for line in found} == {"files waiting", "run measured"}
    for line in found:
        jsonschema.validate(line, EMBEDDED_METRICS)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            targets = [metric["Name"] for metric in directive["Metrics"]]
            assert all(isinstance(line[name], float) for name in targets)
            keys = [key for keys in directive["Dimensions"] for key in keys]
            assert all(isinstance(line[key], str) and 1 <= len(line[key]) <= 1024 for key in keys)
