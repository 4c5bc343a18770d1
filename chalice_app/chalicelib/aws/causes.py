"""The cause of a failed run, as text for people."""

import json
import re


def readable(cause: str) -> str:
    """Return the message in a cause. Lambda and ECS put it into JSON, which may be cut off.

    >>> readable('ClaimError: {"errorType":"ClaimError","errorMessage":"no files","stackTrace":[]}')
    'ClaimError: no files'
    """
    error, _, document = cause.partition(": {")
    if said := re.search(r'"errorMessage":\s*"((?:[^"\\]|\\.)*)', document):
        message = json.loads(f'"{said[1]}"')
        return f"{error}: {message}"
    if said := re.search(r'"StoppedReason":\s*"([^"]*)"', document):
        code = re.search(r'"ExitCode":\s*(\d+)', document)
        return f"{error}: {said[1]}{f', exit code {code[1]}' if code else ''}"
    return cause
