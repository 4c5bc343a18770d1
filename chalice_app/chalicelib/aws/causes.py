"""Why a run has failed, as Step Functions has it and as people read it."""

import json
import re


def readable(cause: str) -> str:
    """Return what a cause says to people: Lambda and ECS put JSON around that, cut at its end.

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
