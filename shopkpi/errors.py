"""What can go wrong between a person and the pipeline, each with its exit code.

OperatorError
├── UsageError        2  what was typed cannot be meant
├── NotFoundError     3  no such run, category or date
├── AccessError       4  AWS cannot be reached, or refuses
├── NotDeployedError  5  nothing is deployed where one looked
└── RefusedError      6  it could be done, and must not be

A message is one line: subject, fact and the next step.
"""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """Exit codes, as ``shopkpi --help`` and docs/shopkpi.md list them."""

    DONE = 0
    BAD = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_ACCESS = 4
    NOT_DEPLOYED = 5
    REFUSED = 6
    BUG = 70
    INTERRUPTED = 130


EXIT_CODES: Final = {
    Exit.DONE: "done",
    Exit.BAD: "the run that was waited for has failed, or the doctor has found a problem",
    Exit.USAGE: "what was typed cannot be meant",
    Exit.NOT_FOUND: "no such run, category or date",
    Exit.NO_ACCESS: "AWS cannot be reached, or refuses: network, credentials, permission",
    Exit.NOT_DEPLOYED: "nothing is deployed where it was looked for: stage, region, settings",
    Exit.REFUSED: "it must not be done now: somebody else has the lock",
    Exit.BUG: "an error that nobody has foreseen; SHOPKPI_TRACE=1 shows where",
    Exit.INTERRUPTED: "stopped with Ctrl-C; what was started goes on",
}


class OperatorError(Exception):
    """The message is for the person at the terminal."""

    exit_code = Exit.BUG


class UsageError(OperatorError):
    exit_code = Exit.USAGE


class NotFoundError(OperatorError):
    exit_code = Exit.NOT_FOUND


class AccessError(OperatorError):
    exit_code = Exit.NO_ACCESS


class NotDeployedError(OperatorError):
    exit_code = Exit.NOT_DEPLOYED


class RefusedError(OperatorError):
    exit_code = Exit.REFUSED
