"""Dead letters: events that a function has failed on three times, given to it once more.

Lambda puts each into the stage's queue with the event, the function and the error (an on-failure
destination). A letter leaves the queue only once its function has taken the event.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .errors import NotDeployedError
from .screen import Screen, table

if TYPE_CHECKING:
    from .pipeline import Pipeline

# Others do not see a letter for as long as it is held here.
_HOLD_SECONDS: Final = 60
# ReceiveMessage gives ten at a time.
_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """``function`` is None for a message that Lambda has not written."""

    function: str | None
    failed_at: str
    error: str
    event: Any
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """``outcome``: sent, would be sent, or left (with why)."""

    function: str | None
    failed_at: str
    error: str
    outcome: str


def waiting(pipeline: "Pipeline") -> int:
    """Return about how many letters there are: SQS itself does not know exactly."""
    attributes = pipeline.client("sqs").get_queue_attributes(
        QueueUrl=_queue(pipeline), AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def redrive(pipeline: "Pipeline", *, limit: int, dry_run: bool, screen: Screen) -> list[Redriven]:
    """Send up to ``limit`` letters back to their functions."""
    queue, done = _queue(pipeline), []
    with screen.busy("reading the queue of dead letters"):
        letters = list(_receive(pipeline, queue, limit))
    with screen.progress() as progress:
        bar = progress.add_task("sending back", total=len(letters))
        for letter in letters:
            done.append(_send(pipeline, queue, letter, dry_run=dry_run))
            progress.advance(bar)
    return done


def _receive(pipeline: "Pipeline", queue: str, limit: int) -> Iterator[Letter]:
    sqs, taken = pipeline.client("sqs"), 0
    while taken < limit:
        found = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=min(_AT_ONCE, limit - taken),
            VisibilityTimeout=_HOLD_SECONDS,
            # Long polling asks every server of SQS: a short one may miss letters that are there.
            WaitTimeSeconds=1,
        ).get("Messages", [])
        if not found:
            return
        taken += len(found)
        yield from map(_letter, found)


def _letter(message: Any) -> Letter:
    try:
        document = json.loads(message["Body"])
        context, response = document["requestContext"], document.get("responsePayload") or {}
        return Letter(
            # Lambda adds the version: …:function:NAME:$LATEST.
            function=context["functionArn"].split(":")[6],
            failed_at=str(document.get("timestamp", "")),
            error=f"{response.get('errorType', '')}: {response.get('errorMessage', '')}".strip(": ")
            or str(context.get("condition", "")),
            event=document["requestPayload"],
            receipt=message["ReceiptHandle"],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return Letter(
            function=None,
            failed_at="",
            error=message["Body"][:100],
            event=None,
            receipt=message["ReceiptHandle"],
        )


def _send(pipeline: "Pipeline", queue: str, letter: Letter, *, dry_run: bool) -> Redriven:
    outcome = "would be sent" if dry_run else "sent"
    if letter.function is None:
        outcome = "left: not a letter of Lambda's"
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


def draw(done: list[Redriven]) -> list[Any]:
    if not done:
        return ["no dead letters"]
    return [
        table(
            "dead letters",
            {"function": "left", "failed": "left", "error": "left", "outcome": "left"},
            ((d.function or "?", d.failed_at, d.error, d.outcome) for d in done),
        )
    ]
