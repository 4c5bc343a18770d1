"""Sends the alert messages: gathers what a message is about, keeps the message, publishes it.

A run has at most one message. It is kept in runs/RUN/notice.json before it is sent, and
runs/RUN/notified.json marks it as sent. The state machine calls ``notify_run_end``; when an
execution has ended, ``send_unsent`` sends what the run itself did not.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

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


class Notifier:
    def __init__(self, deployment: Deployment, kpis: KpiQueries, sns: "SNSClient") -> None:
        self._at = deployment
        self._kpis = kpis
        self._sns = sns

    def notify_run_end(self, run_id: str, state: End, cause: str | None = None) -> Notice | None:
        """Send the message about a run; None if nothing is to report or it has been sent."""
        if self._is_sent(run_id):
            return None
        notice = self._run_notice(run_id, state, cause)
        if notice is None:
            log.info("nothing to report", extra={"run_id": run_id})
        else:
            self._send_once(run_id, notice)
        return notice

    def send_unsent(self, run_id: str, state: End) -> Notice | None:
        """Send the message about a run whose execution has ended, if the run itself did not.

        The message of a run that succeeded is sent only if it was kept: without one, there was
        nothing to report.
        """
        documents = self._at.documents
        if state != "SUCCEEDED":
            if self._is_sent(run_id):
                return None
            execution = self._at.executions.find(run_id)
            return self.notify_run_end(run_id, state, execution.cause if execution else None)
        kept = documents.read(RunKeys(run_id).notice)
        if kept is None or self._is_sent(run_id):
            return None
        notice = Notice(**kept)
        self._send_once(run_id, notice)
        return notice

    def notify_last_day(self) -> Notice | None:
        """Send the message about the last day whose orders were due; None if nothing is unusual."""
        notice = self._last_day_notice()
        if notice is not None:
            self._publish(notice, run_id=None)
        return notice

    def _is_sent(self, run_id: str) -> bool:
        try:
            return self._at.documents.exists(RunKeys(run_id).notified)
        except ClientError:
            # A second message is better than none.
            log.warning("alert mark not read", extra={"run_id": run_id}, exc_info=True)
            return False

    def _send_once(self, run_id: str, notice: Notice) -> None:
        self._publish(notice, run_id=run_id)
        try:
            mark = {"at": self._at.clock().isoformat()}
            self._at.documents.write(RunKeys(run_id).notified, mark)
        except ClientError:
            # An error would make the state machine try again, and send the message again.
            log.warning("alert mark not written", extra={"run_id": run_id}, exc_info=True)

    def _publish(self, notice: Notice, *, run_id: str | None) -> None:
        topic_arn = self._at.settings.topic_arn
        if not topic_arn:
            raise SettingsError(
                "TOPIC_ARN is not set: deploy infra/ first, its outputs hold the value"
            )
        self._sns.publish(TopicArn=topic_arn, Subject=notice.subject, Message=notice.message)
        log.info("alert message sent", extra={"run_id": run_id, "subject": notice.subject})

    def _run_notice(self, run_id: str, state: End, cause: str | None) -> Notice | None:
        """Compose the message about a run and keep it; None if there is nothing to report."""
        try:
            notice = messages.of_run(self._outcome(run_id, state, cause), self._at.settings)
            if notice is not None:
                self._at.documents.write(RunKeys(run_id).notice, asdict(notice))
        # What is wrong with the documents of a failed run must not hide that it failed.
        except Exception:
            if state == "SUCCEEDED":
                raise
            log.warning("alert message has no details", extra={"run_id": run_id}, exc_info=True)
            ended = Ended(run_id=run_id, state=state, cause=cause)
            notice = messages.without_details(ended, self._at.settings)
        return notice

    def _outcome(self, run_id: str, state: End, cause: str | None) -> Ended:
        keys, documents = RunKeys(run_id), self._at.documents
        published = documents.read(keys.published)
        return Ended(
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

    def _last_day_notice(self) -> Notice | None:
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
