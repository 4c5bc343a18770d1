"""Records every call to the embedded AWS as a line of JSON in ``home``/calls.jsonl, in order.

tests/aws_rules reads them, and finds calls that AWS refuses and moto accepts.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import parse_qsl, unquote

from .iam_requests import body_of, service_of

# The code of a function, in the request that deploys it.
_LEFT_OUT: Final = ("Code", "ZipFile")
_lock = threading.Lock()


class Calls:
    def __init__(self, file: Path) -> None:
        self._file: TextIO = file.open("a", encoding="utf-8", buffering=1)

    def record(self, environ: Mapping[str, Any]) -> None:
        """Record a request as WSGI gives it; the next reader gets its body, too."""
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
        # Of the requests with a body, only a list of keys to delete is recorded.
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
