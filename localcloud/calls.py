"""Every call to the embedded AWS in its order: one line of JSON each in ``home``/calls.jsonl.

tests/aws_rules reads them: what AWS would refuse and moto accepts.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import parse_qsl, unquote

from .asks import body_of, service_of

# Code of a function, in its request.
_LEFT_OUT: Final = ("Code", "ZipFile")
_lock = threading.Lock()


class Calls:
    def __init__(self, file: Path) -> None:
        self._file: TextIO = file.open("a", encoding="utf-8", buffering=1)

    def record(self, environ: Mapping[str, Any]) -> None:
        """Write down a request as WSGI gives it, and leave its body to be read again."""
        if not environ.get("HTTP_AUTHORIZATION"):
            return
        line = json.dumps(_described(environ))
        with _lock:
            self._file.write(line + "\n")


def _described(environ: Mapping[str, Any]) -> dict[str, Any]:
    service, path = service_of(environ), unquote(environ["PATH_INFO"])
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    call: dict[str, Any] = {
        "service": service,
        "operation": f"{method} {path}",
        "query": dict(parse_qsl(query, keep_blank_values=True)),
        "bytes": int(environ.get("CONTENT_LENGTH") or 0),
        "body": {},
    }
    if service == "s3":
        # An object is no request to look into; a list of what to delete is.
        if method == "POST" and "delete" in call["query"]:
            call["body"] = {"keys": body_of(environ).count(b"<Key>")}
        return call
    body = body_of(environ)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        call["operation"] = str(target).rsplit(".", 1)[-1]
    elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        call["body"] = dict(parse_qsl(body.decode(), keep_blank_values=True))
        call["operation"] = call["body"].pop("Action")
        return call
    if body.startswith(b"{"):
        document = json.loads(body)
        call["body"] = {key: part for key, part in document.items() if key not in _LEFT_OUT}
    return call
