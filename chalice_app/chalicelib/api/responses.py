"""Responses of the API: JSON or CSV by Accept, exact decimals, ETags, problems."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

from contract import spreadsheet

from .problems import MEDIA_TYPE, NOT_ACCEPTABLE, Problem

JSON: Final = "application/json"
CSV: Final = "text/csv"
BOTH: Final = (JSON, CSV)

# Private: a shared cache must not give one caller the response of another.
KPIS: Final = "private, max-age=60"
CHANGING: Final = "private, no-cache"
NEVER: Final = "no-store"

MediaType = Literal["application/json", "text/csv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A list of flat rows: what CSV shows. ``columns`` are its header and its order."""

    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]


def decimal_text(value: Decimal) -> str:
    """Return a number with all its decimals, at least two.

    DynamoDB leaves out zeros at the end: 60.00 comes back as 60.

    >>> decimal_text(Decimal("60")), decimal_text(Decimal("0.000125"))
    ('60.00', '0.000125')
    """
    whole, _, decimals = format(value, "f").partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def acceptable(accept: str, offered: Sequence[MediaType]) -> MediaType:
    """Return the offered media type that an Accept header prefers, the first one if equal.

    Raises:
        Problem: it accepts none of them.
    """
    weights = [_weight(accept or "*/*", media_type) for media_type in offered]
    best = max(weights)
    if best <= 0:
        raise Problem(
            NOT_ACCEPTABLE,
            f"Accept is {accept[:100]!r} and there is {' and '.join(offered)} here: "
            f"send Accept: {offered[0]}",
        )
    return offered[weights.index(best)]


def _weight(accept: str, media_type: str) -> float:
    """Return the q of the most specific range that names a media type, 0 if none does."""
    kind = media_type.partition("/")[0]
    ranks = {media_type: 3, f"{kind}/*": 2, "*/*": 1}
    found = (0, 0.0)
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in ranks:
            found = max(found, (ranks[name], _quality(parameters)))
    return found[1]


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def rendered(media_type: MediaType, document: Any, table: Callable[[], Table] | None) -> str:
    """Return a document as JSON, or the table it holds as CSV."""
    if media_type == CSV and table is not None:
        found = table()
        return spreadsheet.to_csv(found.columns, found.rows)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def response(
    body: str,
    media_type: MediaType,
    *,
    cache: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content_type = f"{CSV}; charset=utf-8; header=present" if media_type == CSV else JSON
    return Response(
        status=status,
        headers={
            "Content-Type": content_type,
            "Cache-Control": cache,
            "Vary": "Accept",
            **(headers or {}),
        },
        body=body,
    )


def not_modified_or(full: Response, if_none_match: str) -> Response:
    """Add the ETag; return 304 without a body if the request names that ETag."""
    digest = hashlib.sha256(f"{full.headers['Content-Type']}\n{full.body}".encode()).hexdigest()
    # Half of the digest: 128 bits are enough to tell responses apart.
    tag = f'"{digest[:32]}"'
    tagged = replace(full, headers={**full.headers, "ETag": tag})
    known = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    if tag not in known and "*" not in known:
        return tagged
    headers = {name: value for name, value in tagged.headers.items() if name != "Content-Type"}
    return replace(tagged, status=304, headers=headers, body="")


def of_problem(problem: Problem, instance: str) -> Response:
    return Response(
        status=problem.kind.status,
        headers={"Content-Type": MEDIA_TYPE, "Cache-Control": NEVER, **problem.headers},
        body=problem.to_json(instance),
    )
