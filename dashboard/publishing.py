"""Update the figures with what a run has published, and write the page.

A run reads one object and writes two, however many items the tables hold. Dates that an earlier
run published without updating the dashboard are read from the tables by key. So are all dates
where the figures are missing or damaged. Nothing scans a table.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from contract.keys import DASHBOARD_KPIS, DASHBOARD_PAGE, DATA_DOCS_RUNS, RunKeys
from contract.published import PublishedReport
from contract.verdict import Verdict

from .figures import (
    KEPT_DAYS,
    KEPT_RUNS,
    DayFigures,
    Figures,
    FiguresError,
    PublishedDay,
    RunFigures,
)
from .page import render

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# One run follows another; only a run whose lock was taken over can write at the same time.
_ATTEMPTS: Final = 3

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DashboardUpdate:
    """The figures of the dates that one run publishes."""

    days: dict[str, DayFigures | None] = field(default_factory=dict)

    def add(self, days: Iterable[PublishedDay]) -> None:
        """Keep the figures of dates that are published; dates come in ascending order."""
        for day in days:
            self.days[day.order_date] = DayFigures.of(day)
        for too_old in list(self.days)[:-KEPT_DAYS]:
            del self.days[too_old]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKpis:
    """Where dates are read from that the kept figures lack: the ledger and the KPI tables."""

    dates: Callable[[], Collection[date]]
    dates_since: Callable[[int], Collection[date]]
    days: Callable[[Sequence[str]], Iterable[PublishedDay]]

    def figures(self, dates: Iterable[date]) -> dict[str, DayFigures | None]:
        latest = sorted(day.isoformat() for day in dates)[-KEPT_DAYS:]
        return {day.order_date: DayFigures.of(day) for day in self.days(latest)}


def publish(
    update: DashboardUpdate,
    report: PublishedReport,
    computed_at: datetime,
    kpis: PublishedKpis,
    s3: "S3Client",
    bucket: str,
) -> None:
    """Write the figures and the page. A failure is a warning in the log and raises nothing."""
    try:
        _publish(update, report, computed_at, kpis, _Bucket(s3, bucket))
    except Exception as error:  # the KPIs are published: a page must not fail their run
        log.warning(
            "dashboard not updated; the next run writes it, with the dates of this run",
            extra={"error": f"{type(error).__name__}: {error}"},
        )


def _publish(
    update: DashboardUpdate,
    report: PublishedReport,
    computed_at: datetime,
    kpis: PublishedKpis,
    bucket: "_Bucket",
) -> None:
    for _ in range(_ATTEMPTS):
        kept, etag = bucket.figures()
        if kept is not None and kept.ledger_version > report.ledger_version:
            log.info(
                "dashboard not updated: it shows a newer ledger version",
                extra={"ledger_version": kept.ledger_version},
            )
            return
        new = Figures(
            ledger=report.ledger,
            ledger_version=report.ledger_version,
            run_id=report.run_id,
            computed_at=computed_at.astimezone(UTC).isoformat(timespec="seconds"),
            runs=kept.runs if kept else (),
        )
        figures = new.with_days(_days(kept, update, report, kpis))
        figures = figures.with_runs(_runs(figures, report, len(update.days), bucket))
        if bucket.put_figures(figures, etag):
            page = render(figures).encode()
            bucket.put(DASHBOARD_PAGE, page, "text/html; charset=utf-8")
            log.info(
                "dashboard updated",
                extra={
                    "page": f"s3://{bucket.name}/{DASHBOARD_PAGE}",
                    "dates": len(figures.days),
                    "bytes": len(page),
                },
            )
            return
    log.warning("dashboard not updated: other runs write it at the same time")


def _days(
    kept: Figures | None, update: DashboardUpdate, report: PublishedReport, kpis: PublishedKpis
) -> Mapping[str, DayFigures | None]:
    """Return the kept dates, those that they lack, and the run's dates in place of both."""
    if report.task == "rebuild":
        # The ledger is new: no date of the one before it is left.
        return update.days
    if kept is None or kept.ledger != report.ledger:
        return {**kpis.figures(kpis.dates()), **update.days}
    if kept.ledger_version == report.previous_version:
        return {**kept.days, **update.days}
    changed = kpis.dates_since(kept.ledger_version)
    missed = kpis.figures(day for day in changed if day.isoformat() not in update.days)
    return {**kept.days, **missed, **update.days}


def _runs(
    figures: Figures, report: PublishedReport, dates: int, bucket: "_Bucket"
) -> list[RunFigures]:
    """Return this run, and earlier runs that are not known because they published nothing."""
    known = {run.run_id for run in figures.runs}
    found = [
        RunFigures.of(verdict, task="process", dates=None)
        for other in bucket.latest_runs()
        if other not in known and other != report.run_id and (verdict := bucket.verdict(other))
    ]
    verdict = None if report.task == "recompute" else bucket.verdict(report.run_id)
    if verdict is not None:
        return [*found, RunFigures.of(verdict, report, task=report.task, dates=dates)]
    return [
        *found,
        RunFigures(
            run_id=report.run_id,
            task=report.task,
            at=figures.computed_at,
            outcome="published",
            dates=dates,
        ),
    ]


class _Bucket:
    def __init__(self, s3: "S3Client", name: str) -> None:
        self._s3 = s3
        self.name = name

    def figures(self) -> tuple[Figures | None, str | None]:
        """Return the figures, if they exist and can be read, and the ETag of their object."""
        try:
            found = self._s3.get_object(Bucket=self.name, Key=DASHBOARD_KPIS)
        except self._s3.exceptions.NoSuchKey:
            return None, None
        try:
            return Figures.from_bytes(found["Body"].read()), found["ETag"]
        except FiguresError:
            return None, found["ETag"]

    def put_figures(self, figures: Figures, etag: str | None) -> bool:
        """Replace the object that has this ETag; False when another run has replaced it."""
        condition: Mapping[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self.put(DASHBOARD_KPIS, figures.to_bytes(), "application/gzip", **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in {
                "PreconditionFailed",
                "ConditionalRequestConflict",
            }:
                return False
            raise
        return True

    def put(self, key: str, body: bytes, content_type: str, **condition: Any) -> None:
        self._s3.put_object(
            Bucket=self.name,
            Key=key,
            Body=body,
            ContentType=content_type,
            CacheControl="no-cache",
            **condition,
        )

    def latest_runs(self) -> list[str]:
        history = self._read(DATA_DOCS_RUNS)
        runs = json.loads(history)["runs"] if history is not None else []
        return [run["run_id"] for run in runs[-KEPT_RUNS:]]

    def verdict(self, run_id: str) -> Verdict | None:
        text = self._read(RunKeys(run_id).verdict)
        return None if text is None else Verdict.from_json(text)

    def _read(self, key: str) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None
