"""The cost of a job on EMR Serverless, read from the history of a real execution.

The embedded AWS does not run EMR Serverless. Here the state's task waits for a token, and gets as
its output the document that ``startJobRun.sync`` gives: the ``JobRun`` of GetJobRun, each name with
a capital letter. A failed job has it as its cause, which moto drops: test_costs.py has that.
"""

import json
import time
from dataclasses import replace
from decimal import Decimal

import boto3
import botocore.session
import pytest

from chalice_app.chalicelib.prices import PriceTable
from tests.chalice_app.conftest import Pipeline

ZERO = {"VCPUHour": 0.0, "MemoryGBHour": 0.0, "StorageGBHour": 0.0}
USED = {"VCPUHour": 1.5, "MemoryGBHour": 12.0, "StorageGBHour": 20.0}
BILLED = {"VCPUHour": 2.0, "MemoryGBHour": 15.0, "StorageGBHour": 1.25}
PRICES = PriceTable(
    emr_vcpu_hour=Decimal("0.05"),
    emr_gb_hour=Decimal("0.006"),
    emr_storage_gb_hour=Decimal("0.0001"),
)
DEFINITION = {
    "StartAt": "TransformBigBatch",
    "States": {
        "TransformBigBatch": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": "QUEUE", "MessageBody": {"token.$": "$$.Task.Token"}},
            "ResultPath": None,
            "End": True,
        }
    },
}


def job_run(**utilization: dict[str, float]) -> str:
    """Return a job that has ended, as Step Functions gives it."""
    arn = "arn:aws:emr-serverless:eu-north-1:123456789012:/applications/00f1/jobruns/00f2"
    return json.dumps(
        {
            "ApplicationId": "00f1",
            "Arn": arn,
            "Attempt": 1,
            "CreatedAt": 1772366400.123,
            "CreatedBy": "arn:aws:sts::123456789012:assumed-role/machine/run",
            "EndedAt": 1772367000.456,
            "ExecutionRole": "arn:aws:iam::123456789012:role/job",
            "ExecutionTimeoutMinutes": 90,
            "JobDriver": {"SparkSubmit": {"EntryPoint": "s3://shop/code/emr/transform.py"}},
            "JobRunId": "00f2",
            "Mode": "BATCH",
            "Name": "run",
            "ReleaseLabel": "emr-spark-8.0.0",
            "State": "SUCCESS",
            "StateDetails": "",
            "TotalExecutionDurationSeconds": 600,
            "UpdatedAt": 1772367000.456,
            **utilization,
        }
    )


def end_job(session: boto3.Session, pipeline: Pipeline, **utilization: dict[str, float]) -> dict:
    """Run a batch whose job ends so, and return the run's record."""
    sqs, name = session.client("sqs"), pipeline.settings.bucket
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    machine = pipeline.sfn.create_state_machine(
        name=f"Big-{name}",
        roleArn="arn:aws:iam::123456789012:role/local",
        definition=json.dumps(DEFINITION).replace("QUEUE", queue),
    )["stateMachineArn"]
    started = pipeline.sfn.start_execution(stateMachineArn=machine, name="big", input="{}")
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    pipeline.sfn.send_task_success(
        taskToken=json.loads(message["Body"])["token"], output=job_run(**utilization)
    )
    arn = started["executionArn"]
    while pipeline.sfn.describe_execution(executionArn=arn)["status"] == "RUNNING":
        time.sleep(0.05)
    settings = replace(pipeline.settings, state_machine_arn=machine, prices=PRICES)
    replace(pipeline, settings=settings).parts.recorder.record_ended_execution("big")
    return pipeline.records.get("big")


def test_a_job_costs_what_it_was_billed_for(session: boto3.Session, pipeline: Pipeline) -> None:
    figures = {"BilledResourceUtilization": BILLED, "TotalResourceUtilization": USED}
    found = end_job(session, pipeline, **figures)
    # 2 * 0.05 + 15 * 0.006 + 1.25 * 0.0001
    assert found["cost_by_service"]["emr_serverless"] == Decimal("0.190125")
    assert found["estimated_cost"] > Decimal("0.190125")


@pytest.mark.parametrize("billed", [{}, {"BilledResourceUtilization": ZERO}])
def test_a_job_whose_bill_is_not_ready_when_it_ends_costs_what_it_used(
    session: boto3.Session, pipeline: Pipeline, billed: dict
) -> None:
    found = end_job(session, pipeline, TotalResourceUtilization=USED, **billed)
    # 1.5 * 0.05 + 12 * 0.006 + 20 * 0.0001
    assert found["cost_by_service"]["emr_serverless"] == Decimal("0.149")


@pytest.mark.parametrize(
    "figures",
    [{}, {"BilledResourceUtilization": ZERO, "TotalResourceUtilization": ZERO}],
)
def test_a_job_without_any_figures_yet_has_an_unknown_cost(
    session: boto3.Session, pipeline: Pipeline, figures: dict
) -> None:
    found = end_job(session, pipeline, **figures)
    assert found["cost_by_service"]["emr_serverless"] is None
    assert "estimated_cost" not in found


def test_the_document_has_the_fields_of_a_job_and_no_others() -> None:
    """botocore's model of GetJobRun, in the spelling of Step Functions."""
    service = botocore.session.get_session().get_service_model("emr-serverless")
    shape = service.shape_for("JobRun")
    given = json.loads(job_run(BilledResourceUtilization=BILLED))
    assert set(given) <= {name[0].upper() + name[1:] for name in shape.members}
    assert set(given) >= {name[0].upper() + name[1:] for name in shape.required_members}
    utilization = service.shape_for("ResourceUtilization").members
    assert set(BILLED) == {name[0].upper() + name[1:] for name in utilization}
