"""Write the second half of docs/alerts.md: one message of each kind, as people get it.

    python -m tests.chalice_app.alerts.examples

The validator really judges the deliveries; a test compares, so that no message changes unseen.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from chalice_app.chalicelib.alerts import anomalies, messages
from chalice_app.chalicelib.alerts.anomalies import Anomaly, Day
from chalice_app.chalicelib.runs.outcome import RunOutcome
from chalice_app.chalicelib.settings import Settings
from contract.manifest import FileVersion, Manifest
from contract.notice import Notice
from delivery.landed_files import files_in
from delivery.storage import Folder
from expectations import validate
from tests.conftest import HEADERS, ROOT
from tests.documents import published

DOCUMENT: Final = ROOT / "docs/alerts.md"
# Everything from here on is generated.
MARK: Final = "## Examples\n"
SETTINGS: Final = Settings(
    bucket="ecommerce-data",
    state_machine_arn="arn:aws:states:eu-north-1:123456789012:stateMachine:ECommercePipeline",
    stage="prod",
)
RUN: Final = "20250310T091500Z-3f7a1c90b2d4e586"
NOW: Final = datetime(2025, 3, 10, 9, 15, tzinfo=UTC)
# It is in each bad row and in the file without a header, and must be in no message.
PRIVATE: Final = "jane.doe@example.com"
PUBLISHED: Final = published([date(2025, 3, 8), date(2025, 3, 9)], run_id=RUN, ledger_version=41)


def main() -> int:
    written = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
    with tempfile.TemporaryDirectory() as folder:
        DOCUMENT.write_text(written + render(Path(folder)), encoding="utf-8")
    return 0


def render(work: Path) -> str:
    parts = [MARK]
    for title, notice in examples(work):
        parts.append(f"\n### {title}\n\n```\nSubject: {notice.subject}\n\n{notice.message}```\n")
    return "".join(parts)


def examples(work: Path) -> Iterator[tuple[str, Notice]]:
    """Yield the title and the message of each kind; ``work`` is an empty folder."""
    mixed, bad = _judged(_mixed(), work / "mixed"), _judged(_all_bad(), work / "bad")
    figures = anomalies.unusual(_DAYS, _history(), min_history=4)

    yield (
        "A run that has succeeded, with files and rows to correct",
        _of_run(state="SUCCEEDED", published=PUBLISHED, **mixed),
    )
    yield (
        "A run that has succeeded, with unusual figures",
        _of_run(state="SUCCEEDED", published=PUBLISHED, figures=figures, **_clean(mixed)),
    )
    yield (
        "A run that has failed because no row was good",
        _of_run(
            state="FAILED",
            cause="AllFilesRejected: No row was accepted; 2 files were rejected",
            **bad,
        ),
    )
    yield (
        "A run that has failed because a container has crashed",
        _of_run(state="FAILED", cause=f"States.TaskFailed: {json.dumps(_CRASH)}", **mixed),
    )
    yield (
        "A run that has failed because there was nothing to do",
        _of_run(state="FAILED", cause=f"ClaimError: {json.dumps(_NO_FILES)}"),
    )
    yield "A run that was stopped", _of_run(state="ABORTED", manifest=mixed["manifest"])
    yield "A run that has taken too long", _of_run(state="TIMED_OUT", **mixed)
    yield "A failed run whose documents cannot be read", _without_details()

    late, found = _day([]), _day(figures)
    yield "A day without orders", late
    yield "A complete day with unusual figures", found


_CRASH: Final = {
    "Containers": [{"ExitCode": 137, "Name": "transformer"}],
    "StoppedReason": "OutOfMemoryError: Container killed due to memory usage",
}
_NO_FILES: Final = {
    "errorType": "ClaimError",
    "errorMessage": f"{RUN}: nothing to process in incoming/; upload the files, then start again",
}
_SATURDAY, _SUNDAY = date(2025, 3, 8), date(2025, 3, 9)
_DAYS: Final = (_SATURDAY, _SUNDAY)


def _history() -> dict[date, Day]:
    """Return eight calm weeks, a Saturday of returns, and a Sunday of few but large orders."""
    orders = (200, 180, 240, 190, 205, 210, 200, 195)
    days = {
        before: Day(orders=Decimal(n), revenue=n * Decimal("88.40"), return_rate=Decimal("4.00"))
        for day in _DAYS
        for before, n in zip(anomalies.compared(day), orders, strict=True)
    }
    return days | {
        _SATURDAY: Day(
            orders=Decimal(204), revenue=Decimal("17911.20"), return_rate=Decimal("31.86")
        ),
        _SUNDAY: Day(orders=Decimal(12), revenue=Decimal("3720.00"), return_rate=Decimal(0)),
    }


def _of_run(*, figures: Sequence[Anomaly] = (), **known: Any) -> Notice:
    run = RunOutcome(run_id=RUN, **known)
    notice = messages.of_run(run, SETTINGS, anomalies=figures)
    assert notice is not None
    return notice


def _day(found: list[Anomaly]) -> Notice:
    if not found:
        days = {day: figures for day, figures in _history().items() if day < _SATURDAY}
        by = datetime(2025, 3, 9, 6, tzinfo=UTC)
        found = anomalies.missing(_SATURDAY, days, by=by, min_history=4)
    else:
        found = [anomaly for anomaly in found if anomaly.day == _SUNDAY]
    notice = messages.of_day(found[0].day, found, SETTINGS)
    assert notice is not None
    return notice


def _without_details() -> Notice:
    cause = "States.Timeout: the state took longer than 1800 s"
    return messages.without_details(RunOutcome(run_id=RUN, state="FAILED", cause=cause), SETTINGS)


def _clean(judged: dict[str, Any]) -> dict[str, Any]:
    """Return the same delivery without the files in which something is wrong."""
    files = [
        file
        for file in judged["verdict"].files
        if not (file.quarantined_rows or file.held_rows or file.reason)
    ]
    return {**judged, "verdict": replace(judged["verdict"], files=tuple(files))}


def _judged(files: dict[str, str], work: Path) -> dict[str, Any]:
    """Validate a delivery; return its verdict and its manifest."""
    landing, scratch = work / "incoming", work / "scratch"
    for folder in (landing, scratch):
        folder.mkdir(parents=True)
    for name, text in files.items():
        (landing / name).write_text(text, encoding="utf-8")
    landed = files_in(landing)
    verdict = validate.validate(
        validate.Delivery(
            run_id=RUN, files=landed, keys=[f"incoming/{file.name}" for file in landed]
        ),
        Folder(work / "output"),
        work=scratch,
        known=None,
        settings=validate.Settings(),
        now=NOW,
        suites=validate.SUITES,
    )
    claimed = tuple(
        FileVersion(
            key=f"incoming/{file.name}",
            name=file.name,
            version_id="v1",
            etag="e",
            size=file.path.stat().st_size,
            landed_at=NOW - timedelta(minutes=5),
        )
        for file in landed
    )
    manifest = Manifest(
        run_id=RUN, bucket=SETTINGS.bucket, created_at=NOW, forced=False, files=claimed
    )
    return {"verdict": verdict, "manifest": manifest}


def _mixed() -> dict[str, str]:
    def orders(first: int, *more: str) -> list[str]:
        rows = range(first, first + 30)
        return [f"o{n},u{n},2025-03-0{8 + n % 2},20.00,delivered" for n in rows] + [*more]

    return {
        "orders_north.csv": _csv("orders", *orders(0)),
        "orders_south.csv": _csv(
            "orders",
            *orders(30),
            f"x1,{PRIVATE},2025-03-09,20.00,lost",
            f"x2,{PRIVATE},2025-03-09,-7,delivered",
        ),
        "orders_east.csv": _csv("orders", *[f"y{n},{PRIVATE},soon,5,new" for n in range(40)]),
        "orders_west.csv": f"z1,{PRIVATE},2025-03-09,20.00,delivered\n",
        "order_items_north.csv": _csv("order_items", "o1,p1,2,10.00", "late1,p1,1,10.00"),
        "order_items_south.csv": _csv("order_items", "o31,p1,2,10.00", "o32,p9,1,10.00"),
        "products.csv": _csv("products", "p1,Books,Dune,10.00"),
    }


def _all_bad() -> dict[str, str]:
    return {
        "orders_west.csv": f"z1,{PRIVATE},2025-03-09,20.00,delivered\n",
        "order_items_west.csv": "PK\x03\x04 a spreadsheet",
    }


def _csv(dataset: str, *rows: str) -> str:
    return "\n".join([",".join(HEADERS[dataset]), *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
