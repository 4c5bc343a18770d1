"""The pipeline's Lambda functions: each handler translates its event and calls chalicelib."""

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chalice.app import BaseLambdaEvent, Chalice, Cron, IAMAuthorizer, Rate, Response

# chalicelib is a top-level package in Lambda and a part of chalice_app in the repository.
if TYPE_CHECKING:
    from chalice_app.chalicelib import wiring
    from chalice_app.chalicelib.api.responses import Response as ApiResponse
    from chalice_app.chalicelib.api.routes import Api
    from chalice_app.chalicelib.packaging import require_terraform
    from chalice_app.chalicelib.settings import settings_or_exit
    from contract import json_log
else:
    from chalicelib import wiring
    from chalicelib.api.responses import Response as ApiResponse
    from chalicelib.api.routes import Api
    from chalicelib.packaging import require_terraform
    from chalicelib.settings import settings_or_exit

    from contract import json_log

app = Chalice(app_name="ecommerce-kpi")
json_log.configure(logging.getLogger("chalicelib"))

SETTINGS = settings_or_exit(os.environ)
require_terraform(sys.argv, os.environ)


class AnyEvent(BaseLambdaEvent):
    """An event as it was sent. Chalice's classes fail on one that lacks what they read."""

    def _extract_attributes(self, event_dict: dict[str, Any]) -> None:
        """Read nothing: chalicelib reads the event, and answers one that it cannot use."""


@app.on_s3_event(
    bucket=SETTINGS.bucket,
    events=["s3:ObjectCreated:*"],
    prefix=SETTINGS.prefix,
    # The lock and the timestamp file are in the same folder and must not trigger.
    suffix=".csv",
    name="CheckFileThreshold",
)
def check_file_threshold(event: AnyEvent) -> dict[str, Any]:
    return wiring.on_created(event.to_dict())


# A notification of S3 has one suffix, and Chalice makes one notification for a function.
@app.on_s3_event(
    bucket=SETTINGS.bucket,
    events=["s3:ObjectCreated:*"],
    prefix=SETTINGS.prefix,
    suffix=".csv.gz",
    name="CheckOnGzipCreated",
)
def check_on_gzip_created(event: AnyEvent) -> dict[str, Any]:
    return wiring.on_created(event.to_dict())


@app.on_cw_event(
    {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [SETTINGS.bucket]},
            "object": {
                "key": [
                    {"wildcard": f"{SETTINGS.prefix}*{suffix}"} for suffix in (".csv", ".csv.gz")
                ]
            },
        },
    },
    name="CheckOnObjectCreated",
)
def check_on_object_created(event: AnyEvent) -> dict[str, Any]:
    return wiring.on_created(event.to_dict())


@app.schedule(Rate(5, unit=Rate.MINUTES), name="CheckOnSchedule")
def check_on_schedule(event: AnyEvent) -> dict[str, Any]:  # noqa: ARG001 - every tick is alike
    return wiring.on_schedule()


@app.schedule(Cron(0, SETTINGS.day_complete_hour, "*", "*", "?", "*"), name="CheckYesterday")
def check_yesterday(event: AnyEvent) -> dict[str, Any]:  # noqa: ARG001 - every day is alike
    return wiring.check_yesterday()


@app.on_cw_event(
    {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
            "stateMachineArn": [SETTINGS.state_machine_arn],
        },
    },
    name="OnExecutionEnded",
)
def on_execution_ended(event: AnyEvent) -> dict[str, Any]:
    return wiring.on_execution_ended(event.to_dict().get("detail", {}))


for handler in (
    check_file_threshold,
    check_on_gzip_created,
    check_on_object_created,
    check_on_schedule,
    check_yesterday,
    on_execution_ended,
):
    # Chalice chooses the class by the decorator, and has no option for another.
    handler.event_class = AnyEvent


@app.lambda_function(name="ClaimFiles")
def claim_files(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    return wiring.claim_files(event)


@app.lambda_function(name="QuarantineRejected")
def quarantine_rejected(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    return wiring.quarantine_rejected(event)


@app.lambda_function(name="FinishRun")
def finish_run(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    return wiring.finish_run(event)


@app.lambda_function(name="NotifyRunEnd")
def notify_run_end(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    return wiring.notify_run_end(event)


# The REST API, openapi.yaml. Every caller signs with AWS credentials; no setting changes that.
SIGNED = IAMAuthorizer()


@app.route("/kpis/daily", authorizer=SIGNED)
def daily_kpis() -> Response:
    return _respond(Api.daily_kpis)


@app.route("/kpis/categories", authorizer=SIGNED)
def categories() -> Response:
    return _respond(Api.categories)


@app.route("/kpis/categories/{category}", authorizer=SIGNED)
def category_kpis(category: str) -> Response:
    return _respond(Api.category_kpis, category)


@app.route("/runs", authorizer=SIGNED)
def runs() -> Response:
    return _respond(Api.runs)


@app.route("/runs/{run_id}", authorizer=SIGNED)
def run(run_id: str) -> Response:
    return _respond(Api.run, run_id)


# It has no body, so a body's type does not matter.
@app.route("/runs/{run_id}/replay", methods=["POST"], content_types=["*/*"], authorizer=SIGNED)
def replay(run_id: str) -> Response:
    return _respond(Api.replay, run_id)


@app.route("/health", authorizer=SIGNED)
def health() -> Response:
    return _respond(Api.health)


def _respond(operation: Callable[..., ApiResponse], *path: str) -> Response:
    found = wiring.respond(operation, app.current_request, *path)
    return Response(body=found.body, headers=dict(found.headers), status_code=found.status)
