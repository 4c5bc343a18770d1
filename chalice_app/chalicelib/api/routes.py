"""The routes of the REST API. openapi.yaml beside app.py describes them."""

import difflib
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Self
from urllib.parse import quote, unquote

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS, KpiTable

from ..aws.executions import Execution, Executions
from ..aws.kpi_tables import Item, KpiQueries, Period, Slice
from ..aws.run_table import RunTable
from . import query, responses
from .problems import STILL_RUNNING, UNKNOWN_CATEGORY, UNKNOWN_RUN, Problem
from .query import Page, Query
from .responses import BOTH, JSON, Response, Table, not_modified_or, response

log = logging.getLogger(__name__)

_DATES: Final = ("from", "to")
_PAGES: Final = ("limit", "next")
_CATEGORIES: Final = ("category", "days", "first_date", "last_date")
# What the list of runs has of each; GET /runs/{run_id} has everything.
_RUN: Final = (
    "run_id",
    "state",
    "task",
    "started_at",
    "ended_at",
    "files",
    "bytes",
    "rows",
    "rejected_file_count",
    "items_written",
    "items_deleted",
    "ledger_version",
    "estimated_cost",
    "cause",
)
_ROW_COUNTS: Final = ("accepted", "quarantined", "held")
_RUN_COLUMNS: Final = (
    *(name for name in _RUN if name != "rows"),
    *(f"{kind}_rows" for kind in _ROW_COUNTS),
)
# The numbers of a run that are not counts: US dollars and seconds.
_DECIMALS: Final = frozenset(
    {"estimated_cost", "cost_by_service", "seconds_by_state", "seconds_by_stage"}
)
_SUGGESTIONS: Final = 3
# What Step Functions takes as an execution's name.
_MAX_RUN_ID: Final = 80
_NOT_IN_RUN_IDS: Final = frozenset(' <>{}[]?*"#%\\^|~`$&,;:/')


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What a response depends on. ``caller`` is the identity that signed, as IAM reports it."""

    query: Query
    accept: str
    if_none_match: str
    caller: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read the event of a Lambda proxy integration."""
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        identity = event["requestContext"].get("identity") or {}
        return cls(
            query=event.get("multiValueQueryStringParameters") or {},
            accept=headers.get("accept", ""),
            if_none_match=headers.get("if-none-match", ""),
            caller=identity.get("userArn") or "unknown",
        )


class Api:
    def __init__(
        self,
        *,
        kpis: KpiQueries,
        runs: RunTable,
        executions: Executions,
        clock: Callable[[], datetime],
    ) -> None:
        self._kpis = kpis
        self._runs = runs
        self._executions = executions
        self._clock = clock

    def daily_kpis(self, request: ApiRequest) -> Response:
        """GET /kpis/daily"""
        query.only(request.query, (*_DATES, *_PAGES))
        media_type = responses.acceptable(request.accept, BOTH)
        period, of = self._period(request, "daily")
        page = Page(
            limit=query.limit(request.query),
            at=query.date_position(request.query, of, period),
        )
        found = self._kpis.daily(replace(period, start=page.at), page.limit)
        return _kpi_list(request, media_type, period, of, found, ORDER_KPIS)

    def categories(self, request: ApiRequest) -> Response:
        """GET /kpis/categories"""
        query.only(request.query, (*_DATES, *_PAGES))
        media_type = responses.acceptable(request.accept, BOTH)
        period, of = self._period(request, "categories")
        limit = query.limit(request.query)
        first = query.name_position(request.query, of)
        dates_of = self._kpis.categories(period)
        names = [name for name in dates_of if name >= first]
        items = [
            {
                "category": name,
                "days": len(dates_of[name]),
                "first_date": min(dates_of[name]),
                "last_date": max(dates_of[name]),
                "kpis": f"/kpis/categories/{quote(name, safe='')}",
            }
            for name in names[:limit]
        ]
        token = query.to_token(of, names[limit]) if len(names) > limit else None
        return _list(request, media_type, period, items, _CATEGORIES, token)

    def category_kpis(self, request: ApiRequest, encoded: str) -> Response:
        """GET /kpis/categories/{category}"""
        query.only(request.query, (*_DATES, *_PAGES))
        media_type = responses.acceptable(request.accept, BOTH)
        # API Gateway passes path parameters on without decoding them.
        name = unquote(encoded)
        period, of = self._period(request, f"category {name}")
        page = Page(
            limit=query.limit(request.query),
            at=query.date_position(request.query, of, period),
        )
        found = self._kpis.category(name, replace(period, start=page.at), page.limit)
        if not found.items and not self._kpis.knows(name):
            raise self._unknown_category(name, period)
        return _kpi_list(request, media_type, period, of, found, CATEGORY_KPIS)

    def runs(self, request: ApiRequest) -> Response:
        """GET /runs"""
        query.only(request.query, _PAGES)
        media_type = responses.acceptable(request.accept, BOTH)
        limit = query.limit(request.query)
        after = query.run_position(request.query, "runs")
        found = self._runs.latest(limit + 1, now=self._clock(), after=after)
        items = [_document(run, _RUN) for run in found[:limit]]
        token = None
        if len(found) > limit:
            last = found[limit - 1]
            token = query.to_token("runs", [last["month"], last["started_at"], last["run_id"]])
        return _list(
            request, media_type, None, items, _RUN_COLUMNS, token, cache=responses.CHANGING
        )

    def run(self, request: ApiRequest, encoded: str) -> Response:
        """GET /runs/{run_id}"""
        query.only(request.query, ())
        media_type = responses.acceptable(request.accept, (JSON,))
        run_id = _run_id(encoded)
        record = self._runs.get(run_id)
        if record is not None:
            # The month is only the index's.
            document = _document(record, sorted(set(record) - {"month"}))
        else:
            # A run that waits for another one to end has no record yet.
            execution = self._executions.find(run_id)
            if execution is None:
                raise _unknown_run(run_id)
            document = _of_execution(run_id, execution)
        body = responses.rendered(media_type, document, None)
        return not_modified_or(
            response(body, media_type, cache=responses.CHANGING), request.if_none_match
        )

    def replay(self, request: ApiRequest, encoded: str) -> Response:
        """POST /runs/{run_id}/replay"""
        query.only(request.query, ())
        media_type = responses.acceptable(request.accept, (JSON,))
        earlier = _run_id(encoded)
        record = self._runs.get(earlier)
        if record is None:
            raise _unknown_run(earlier)
        if record["state"] == "RUNNING":
            raise Problem(
                STILL_RUNNING,
                f"run {earlier} is still running: replay it when GET /runs/{earlier} says "
                "that it has ended",
            )
        run_id = replay_id(earlier, self._clock())
        started = self._executions.start(run_id, {"replay_of": earlier})
        log.info(
            "replay requested",
            extra={"run_id": run_id, "replay_of": earlier, "by": request.caller, "new": started},
        )
        body = responses.rendered(media_type, {"run_id": run_id, "replay_of": earlier}, None)
        location = {"Location": f"/runs/{run_id}"}
        return response(body, media_type, cache=responses.NEVER, status=202, headers=location)

    def health(self, request: ApiRequest) -> Response:
        """GET /health"""
        query.only(request.query, ())
        media_type = responses.acceptable(request.accept, (JSON,))
        now = self._clock()
        today = now.astimezone(UTC).date()
        # Each table is read, so that a missing one becomes a problem.
        self._kpis.daily(Period(start=today, end=today), 1)
        self._kpis.knows("health")
        latest = self._runs.latest(1, now=now)
        names = ("run_id", "state", "started_at", "ended_at")
        document = {
            "status": "ok",
            "latest_run": _document(latest[0], names) if latest else None,
        }
        body = responses.rendered(media_type, document, None)
        return response(body, media_type, cache=responses.NEVER)

    def _period(self, request: ApiRequest, of: str) -> tuple[Period, str]:
        """Return the period of a request, and the name of the list that its tokens are for."""
        period = query.period(request.query, self._clock().astimezone(UTC).date())
        return period, f"{of} {period.start} {period.end}"

    def _unknown_category(self, name: str, period: Period) -> Problem:
        recent = replace(
            period, start=max(period.start, date.fromordinal(max(1, period.end.toordinal() - 99)))
        )
        by_lower = {known.lower(): known for known in self._kpis.categories(recent)}
        close = difflib.get_close_matches(name[:100].lower(), by_lower, n=_SUGGESTIONS)
        hint = f"did you mean {' or '.join(by_lower[one] for one in close)}?" if close else ""
        return Problem(
            UNKNOWN_CATEGORY,
            f"there is no category {name[:100]!r}: "
            f"{hint or 'GET /kpis/categories lists those of a period'}",
        )


def replay_id(earlier: str, now: datetime) -> str:
    """Return the id of a replay: within a minute the same, so that two requests start one run."""
    digest = hashlib.sha256(earlier.encode()).hexdigest()[:12]
    return f"{now.astimezone(UTC):%Y%m%dT%H%MZ}-replay-{digest}"


def _kpi_list(
    request: ApiRequest,
    media_type: responses.MediaType,
    period: Period,
    of: str,
    found: Slice,
    table: KpiTable,
) -> Response:
    token = None if found.next is None else query.to_token(of, str(found.next))
    items = [_kpi_item(item, table) for item in found.items]
    columns = [column.name for column in table.attributes]
    return _list(request, media_type, period, items, columns, token)


def _list(
    request: ApiRequest,
    media_type: responses.MediaType,
    period: Period | None,
    items: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    token: str | None,
    *,
    cache: str = responses.KPIS,
) -> Response:
    dates = {} if period is None else {"from": str(period.start), "to": str(period.end)}
    body = responses.rendered(
        media_type,
        {**dates, "items": items, "next": token},
        lambda: Table(columns=columns, rows=map(_flat, items)),
    )
    headers = {}
    if token is not None:
        headers["Link"] = f'<{query.reference(request.query, period, token)}>; rel="next"'
    return not_modified_or(
        response(body, media_type, cache=cache, headers=headers), request.if_none_match
    )


def _kpi_item(item: Item, table: KpiTable) -> dict[str, Any]:
    """Return an item as JSON: decimals are text, because a JSON number is read as a float."""
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in table.values(item).items()
    }


def _document(item: Item, names: Sequence[str]) -> dict[str, Any]:
    return {name: _plain(item[name], exact=name in _DECIMALS) for name in names if name in item}


def _plain(value: Any, *, exact: bool) -> Any:
    match value:
        case Decimal():
            return responses.decimal_text(value) if exact else int(value)
        case dict():
            return {name: _plain(one, exact=exact) for name, one in value.items()}
        case list():
            return [_plain(one, exact=exact) for one in value]
        case _:
            return value


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    rows = item.get("rows") or {}
    return {**item, **{f"{kind}_rows": rows[kind] for kind in _ROW_COUNTS if kind in rows}}


def _of_execution(run_id: str, execution: Execution) -> dict[str, Any]:
    known = {
        "run_id": run_id,
        "state": execution.status,
        "started_at": execution.started_at.isoformat(timespec="milliseconds"),
        "ended_at": execution.ended_at and execution.ended_at.isoformat(timespec="milliseconds"),
        "cause": execution.cause,
    }
    return {name: value for name, value in known.items() if value is not None}


def _run_id(encoded: str) -> str:
    run_id = unquote(encoded)
    if len(run_id) > _MAX_RUN_ID or not run_id.isprintable() or set(run_id) & _NOT_IN_RUN_IDS:
        raise _unknown_run(run_id)
    return run_id


def _unknown_run(run_id: str) -> Problem:
    return Problem(
        UNKNOWN_RUN,
        f"there is no run {run_id[:_MAX_RUN_ID]!r}: GET /runs lists the runs of the last "
        "twelve months, newest first",
    )
