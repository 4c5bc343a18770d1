"""Carry the figures on by what a run has published, and write the page.

A run reads one object and writes two, whatever the tables hold. Dates that an earlier run has
published without getting this far are read from the tables by key, as is everything where
the figures are missing or damaged; nothing scans.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from contract.keys import RunKeys

from .figures import KEPT_DAYS, KEPT_RUNS, DayFigures, Figures, FiguresError, RunFigures
from .page import render

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from spark_jobs.publish.tables import Day, Stamp

PAGE: Final = "dashboard/index.html"
FIGURES: Final = "dashboard/kpis.json.gz"
# The validator's list of runs, those included whose delivery was rejected as a whole.
RUNS: Final = "data_docs/history/latest.json"
# Runs follow one another; only one that was thought dead can be in another's way.
_ATTEMPTS: Final = 3


@dataclass(slots=True, kw_only=True)
class Edition:
    """What one run publishes. ``previous_version``: the version published before it.

    ``fresh``: the ledger was made anew, so that no other dates are left.
    """

    stamp: "Stamp"
    task: str
    ledger: str
    previous_version: int
    fresh: bool
    days: dict[str, DayFigures | None] = field(default_factory=dict)

    def take(self, days: "Iterable[Day]") -> None:
        """Keep the figures of dates that are published; dates come in ascending order."""
        for day in days:
            self.days[day.order_date] = DayFigures.of(day)
        for beyond in list(self.days)[:-KEPT_DAYS]:
            del self.days[beyond]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What stands in the ledger and the tables, for figures that are not at hand."""

    dates: Callable[[], Collection[date]]
    dates_since: Callable[[int], Collection[date]]
    days: "Callable[[Sequence[str]], Iterable[Day]]"

    def figures(self, dates: Iterable[date]) -> dict[str, DayFigures | None]:
        latest = sorted(day.isoformat() for day in dates)[-KEPT_DAYS:]
        return {day.order_date: DayFigures.of(day) for day in self.days(latest)}


def publish(edition: Edition, stored: Stored, s3: "S3Client", bucket: str) -> str:
    """Write the figures and the page, and say so; or say why not: that fails no run."""
    try:
        return _publish(edition, stored, _Bucket(s3, bucket))
    except Exception as error:  # the KPIs are published, and no page is worth a run that was good
        return (
            f"dashboard: not written ({type(error).__name__}: {error});"
            " the next run writes it, with what it lacks now"
        )


def _publish(edition: Edition, stored: Stored, bucket: "_Bucket") -> str:
    for _ in range(_ATTEMPTS):
        there, etag = bucket.figures()
        if there is not None and there.ledger_version > edition.stamp.ledger_version:
            return f"dashboard: left alone, it shows ledger version {there.ledger_version}"
        figures = _carried_on(there, edition, stored)
        figures = figures.with_runs(_runs(figures, edition, bucket))
        if bucket.put_figures(figures, etag):
            page = render(figures).encode()
            bucket.put(PAGE, page, "text/html; charset=utf-8")
            return (
                f"dashboard: s3://{bucket.name}/{PAGE}, {len(figures.days)} dates,"
                f" {len(page) / 1024**2:.1f} MB"
            )
    return "dashboard: left alone, other runs are writing it at the same time"


def _carried_on(there: Figures | None, edition: Edition, stored: Stored) -> Figures:
    """Return what was there with the run's dates, and with those that it lacks."""
    stamp = edition.stamp.attributes()
    new = Figures(ledger=edition.ledger, runs=there.runs if there else (), **stamp)
    if edition.fresh:
        return new.with_days(edition.days)
    if there is None or there.ledger != edition.ledger:
        return new.with_days({**stored.figures(stored.dates()), **edition.days})
    missed: dict[str, DayFigures | None] = {}
    if there.ledger_version != edition.previous_version:
        changed = stored.dates_since(there.ledger_version)
        missed = stored.figures(day for day in changed if day.isoformat() not in edition.days)
    return replace(new, days=there.days).with_days({**missed, **edition.days})


def _runs(figures: Figures, edition: Edition, bucket: "_Bucket") -> list[RunFigures]:
    """Return this run, and runs that are not known yet because they ended without publishing."""
    run_id = edition.stamp.run_id
    known = {run.run_id for run in figures.runs}
    found = [
        RunFigures.of(verdict, task="process", dates=None)
        for other in bucket.latest_runs()
        if other not in known and other != run_id and (verdict := bucket.verdict(other))
    ]
    verdict = None if edition.task == "recompute" else bucket.verdict(run_id)
    if verdict is not None:
        return [*found, RunFigures.of(verdict, task=edition.task, dates=len(edition.days))]
    return [
        *found,
        RunFigures(
            run_id=run_id,
            task=edition.task,
            at=edition.stamp.attributes()["computed_at"],
            outcome="published",
            dates=len(edition.days),
        ),
    ]


class _Bucket:
    def __init__(self, s3: "S3Client", name: str) -> None:
        self._s3 = s3
        self.name = name

    def figures(self) -> tuple[Figures | None, str | None]:
        """Return the figures, if they are there and can be read, and their object's ETag."""
        try:
            found = self._s3.get_object(Bucket=self.name, Key=FIGURES)
        except self._s3.exceptions.NoSuchKey:
            return None, None
        try:
            return Figures.from_bytes(found["Body"].read()), found["ETag"]
        except FiguresError:
            return None, found["ETag"]

    def put_figures(self, figures: Figures, etag: str | None) -> bool:
        """Write them in place of the object with this ETag; False when it is no longer there."""
        condition: Mapping[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self.put(FIGURES, figures.to_bytes(), "application/gzip", **condition)
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
        history = self._json(RUNS) or {"runs": []}
        return [run["run_id"] for run in history["runs"][-KEPT_RUNS:]]

    def verdict(self, run_id: str) -> Mapping[str, Any] | None:
        return self._json(RunKeys(run_id).verdict)

    def _json(self, key: str) -> Mapping[str, Any] | None:
        try:
            found = self._s3.get_object(Bucket=self.name, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return None
        document: Mapping[str, Any] = json.loads(found["Body"].read())
        return document
