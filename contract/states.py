"""The states of the state machine: their names, and what runs the task of each.

statemachine.asl.json defines them. tests/contract/test_states.py compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal


class State(StrEnum):
    CHECK_FILE_THRESHOLD = "CheckFileThreshold"
    EVALUATE_THRESHOLD = "EvaluateThreshold"
    WAIT_FOR_FILES = "WaitForFiles"
    VALIDATE_FILES = "ValidateFiles"
    QUARANTINE_REJECTED = "QuarantineRejected"
    CHOOSE_TRANSFORMER = "ChooseTransformer"
    TRANSFORM_BIG_BATCH = "TransformBigBatch"
    TRANSFORM_FILES = "TransformFiles"
    RESET_LOCK = "ResetLock"
    NOTIFY_RESULTS = "NotifyResults"
    SUCCESS = "Success"
    ISOLATE_CRASH = "IsolateCrash"
    NOTIFY_FAILURE = "NotifyFailure"
    LOG_FAILURE = "LogFailure"
    RELEASE_LOCK = "ReleaseLock"
    FAIL = "Fail"


Container = Literal["validator", "transformer"]

# The container that is the task of a state.
CONTAINERS: Final[Mapping[State, Container]] = {
    State.VALIDATE_FILES: "validator",
    State.TRANSFORM_FILES: "transformer",
}
# Their tasks call a Lambda function.
FUNCTION_STATES: Final = frozenset(
    {
        State.CHECK_FILE_THRESHOLD,
        State.QUARANTINE_REJECTED,
        State.RESET_LOCK,
        State.NOTIFY_RESULTS,
        State.ISOLATE_CRASH,
        State.NOTIFY_FAILURE,
        State.RELEASE_LOCK,
    }
)
# One of them runs for each batch: a container, or a job on EMR Serverless.
TRANSFORM_STATES: Final = (State.TRANSFORM_FILES, State.TRANSFORM_BIG_BATCH)
