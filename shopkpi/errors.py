"""The errors of the commands, each with its exit code.

OperatorError
├── DamagedError      1  a document in the bucket cannot be read
├── UsageError        2  the command line cannot be used
├── NotFoundError     3  no such run, category or date
├── AccessError       4  AWS cannot be reached, or refuses the request
├── NotDeployedError  5  there is no deployment of that name
└── RefusedError      6  not now: a run holds the lock

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
    Exit.BAD: "the run failed (--wait), the doctor found a problem, or a document is damaged",
    Exit.USAGE: "the command line cannot be used",
    Exit.NOT_FOUND: "no such run, category or date",
    Exit.NO_ACCESS: "AWS cannot be reached, or refuses: network, credentials, permission",
    Exit.NOT_DEPLOYED: "there is no deployment of that name: stage, region, settings",
    Exit.REFUSED: "not now: a run holds the lock, or was started within this minute",
    Exit.BUG: "a bug of shopkpi; SHOPKPI_TRACE=1 shows the traceback",
    Exit.INTERRUPTED: "stopped with Ctrl-C; a run that was started continues",
}


class OperatorError(Exception):
    """The message is for the person at the terminal."""

    exit_code = Exit.BUG


class DamagedError(OperatorError):
    exit_code = Exit.BAD


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
