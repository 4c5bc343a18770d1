"""The shell around notices and anomalies: gather, compose, keep, publish.

A run's notice is composed by the machine's own function and published by the machine. A run that
was cut short and a day that is complete have no machine: those notices are published here.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Final

from contract.keys import WARNINGS_TOLD, RunKeys

from ..aws.kpi_tables import KpiQueries
from ..aws.run_table import End
from ..deployment import Deployment
from ..settings import SettingsError
from . import anomalies, messages
from .anomalies import Anomaly, Day, Told
from .messages import Ended, Notice

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)

CUT_SHORT: Final = frozenset({"TIMED_OUT", "ABORTED"})


class Telling:
    def __init__(self, deployment: Deployment, kpis: KpiQueries) -> None:
        self._at = deployment
        self._kpis = kpis

    def of_run(self, run_id: str, state: End, cause: str | None = None) -> Notice | None:
        """Compose what to tell of a run, and keep it in case it cannot be sent."""
        keys, documents = RunKeys(run_id), self._at.documents
        published = documents.read(keys.published)
        run = Ended(
            run_id=run_id,
            state=state,
            cause=cause,
            manifest=documents.manifest(run_id),
            verdict=documents.read(keys.verdict),
            published=published,
            anomalies=self._unusual(run_id, published["dates"])
            if state == "SUCCEEDED" and published is not None
            else (),
        )
        notice = messages.of_run(run, self._at.settings)
        if notice is not None:
            documents.write(keys.notice, asdict(notice))
        log.info("run described", extra={"run_id": run_id, "worth_telling": notice is not None})
        return notice

    def of_last_day(self) -> Notice | None:
        """Compose what to tell of the last day whose orders ought to have arrived."""
        now, settings = self._at.clock(), self._at.settings
        day = anomalies.last_complete_day(now, settings.day_complete_hour)
        days = self._days([day])
        found = anomalies.missing(day, days, by=now, min_history=settings.min_history)
        found += anomalies.unusual([day], days, min_history=settings.min_history)
        return messages.of_day(day, self._news(found, f"look at {day}"), settings)

    def _unusual(self, run_id: str, published: Iterable[str]) -> Sequence[Anomaly]:
        settings = self._at.settings
        last = anomalies.last_complete_day(self._at.clock(), settings.day_complete_hour)
        dates = sorted(date.fromisoformat(day) for day in published)
        complete = [day for day in dates if day <= last][-anomalies.MAX_DATES :]
        days = self._days(complete)
        found = anomalies.unusual(complete, days, min_history=settings.min_history)
        return self._news(found, run_id)

    def _days(self, dates: Sequence[date]) -> dict[date, Day]:
        """Return these days and those that they are compared with."""
        wanted = {*dates, *(before for day in dates for before in anomalies.compared(day))}
        return {day: Day.of(item) for day, item in self._kpis.of_dates(wanted).items()}

    def _news(self, found: Sequence[Anomaly], teller: str) -> Sequence[Anomaly]:
        """Leave out what people know or need not, and note that they know the rest.

        Two that do this at the same moment may both tell of a day, or of one once more later.
        """
        if not found:
            return []
        told: Told = self._at.documents.read(WARNINGS_TOLD) or {}
        news = anomalies.worth_telling(found, told, teller, silenced=self._at.settings.silenced)
        if news:
            self._at.documents.write(WARNINGS_TOLD, anomalies.with_told(told, news, teller))
        return news


def publish(notice: Notice, sns: "SNSClient", topic_arn: str) -> None:
    """Send a notice to everybody who has subscribed to the topic."""
    if not topic_arn:
        raise SettingsError("TOPIC_ARN is not set: deploy infra/ first, its outputs hold the value")
    sns.publish(TopicArn=topic_arn, Subject=notice.subject, Message=notice.message)
    log.info("people told", extra={"subject": notice.subject})
