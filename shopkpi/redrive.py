"""Send dead letters back: events that a function failed on three times.

Lambda puts each event into the stage's queue, with the function and the error (an on-failure
destination). A dead letter leaves the queue when Lambda has accepted its event again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .errors import NotDeployedError
from .screen import Screen, table

if TYPE_CHECKING:
    from .pipeline import Pipeline

# For so long no other reader of the queue receives the same messages.
_VISIBILITY_SECONDS: Final = 60
# ReceiveMessage returns at most 10 messages.
_PAGE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """``function`` is None for a message that Lambda did not write."""

    function: str | None
    failed_at: str
    error: str
    event: Any
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """``outcome`` is sent, would be sent, or left with the reason."""

    function: str | None
    failed_at: str
    error: str
    outcome: str


def waiting(pipeline: "Pipeline") -> int:
    """Return the number of dead letters; SQS gives an approximate number."""
    attributes = pipeline.client("sqs").get_queue_attributes(
        QueueUrl=_queue(pipeline), AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def redrive(pipeline: "Pipeline", *, limit: int, dry_run: bool, screen: Screen) -> list[Redriven]:
    """Send up to ``limit`` dead letters back to their functions."""
    queue, done = _queue(pipeline), []
    with screen.busy("reading the queue of dead letters"):
        letters = list(_receive(pipeline, queue, limit))
    with screen.progress() as progress:
        bar = progress.add_task("sending back", total=len(letters))
        for letter in letters:
            done.append(_send(pipeline, queue, letter, dry_run=dry_run))
            progress.advance(bar)
    return done


def _receive(pipeline: "Pipeline", queue: str, limit: int) -> Iterator[DeadLetter]:
    sqs, taken = pipeline.client("sqs"), 0
    while taken < limit:
        found = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=min(_PAGE, limit - taken),
            VisibilityTimeout=_VISIBILITY_SECONDS,
            # Long polling asks every SQS server; short polling may miss messages.
            WaitTimeSeconds=1,
        ).get("Messages", [])
        if not found:
            return
        taken += len(found)
        yield from map(_letter, found)


def _letter(message: Any) -> DeadLetter:
    try:
        document = json.loads(message["Body"])
        context, response = document["requestContext"], document.get("responsePayload") or {}
        return DeadLetter(
            # Lambda adds the version: …:function:NAME:$LATEST.
            function=context["functionArn"].split(":")[6],
            failed_at=str(document.get("timestamp", "")),
            error=f"{response.get('errorType', '')}: {response.get('errorMessage', '')}".strip(": ")
            or str(context.get("condition", "")),
            event=document["requestPayload"],
            receipt=message["ReceiptHandle"],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return DeadLetter(
            function=None,
            failed_at="",
            error=message["Body"][:100],
            event=None,
            receipt=message["ReceiptHandle"],
        )


def _send(pipeline: "Pipeline", queue: str, letter: DeadLetter, *, dry_run: bool) -> Redriven:
    outcome = "would be sent" if dry_run else "sent"
    if letter.function is None:
        outcome = "left: Lambda did not write it"
    elif not letter.function.startswith(pipeline.function_name("")):
        outcome = f"left: not a function of stage {pipeline.stage}"
    if outcome == "sent":
        pipeline.client("lambda").invoke(
            FunctionName=letter.function,
            InvocationType="Event",
            Payload=json.dumps(letter.event).encode(),
        )
        pipeline.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=letter.receipt)
    else:
        pipeline.client("sqs").change_message_visibility(
            QueueUrl=queue, ReceiptHandle=letter.receipt, VisibilityTimeout=0
        )
    return Redriven(
        function=letter.function,
        failed_at=letter.failed_at,
        error=letter.error,
        outcome=outcome,
    )


def _queue(pipeline: "Pipeline") -> str:
    sqs = pipeline.client("sqs")
    try:
        return str(sqs.get_queue_url(QueueName=pipeline.dead_letters_name)["QueueUrl"])
    except sqs.exceptions.QueueDoesNotExist as error:
        raise NotDeployedError(
            f"there is no queue {pipeline.dead_letters_name} in {pipeline.where}: choose the "
            "stage with --stage, or deploy it"
        ) from error


def render(done: list[Redriven]) -> list[Any]:
    if not done:
        return ["no dead letters"]
    return [
        table(
            "dead letters",
            {"function": "left", "failed": "left", "error": "left", "outcome": "left"},
            ((d.function or "?", d.failed_at, d.error, d.outcome) for d in done),
        )
    ]
