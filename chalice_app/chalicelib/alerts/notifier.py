"""Sends the alert messages: gathers what a message is about, keeps the message, publishes it.

A run has at most one message. It is kept in runs/RUN/notice.json before it is sent, and
runs/RUN/notified.json marks it as sent. The state machine calls ``notify_run_end``; when an
execution has ended, ``send_unsent`` sends what the run itself did not.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from contract.keys import REPORTED_NAMES, REPORTED_WARNINGS, RunKeys
from contract.manifest import FileVersion
from contract.notice import Notice

from ..aws.documents import Documents
from ..aws.executions import Executions
from ..aws.kpi_tables import KpiQueries
from ..aws.run_table import End
from ..runs.outcome import RunOutcome
from ..settings import Settings, SettingsError
from . import anomalies, messages
from .anomalies import Anomaly, Day, Reported

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    documents: Documents
    executions: Executions
    kpis: KpiQueries
    sns: "SNSClient"
    settings: Settings
    clock: Callable[[], datetime]

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
        if state != "SUCCEEDED":
            if self._is_sent(run_id):
                return None
            execution = self.executions.find(run_id)
            return self.notify_run_end(run_id, state, execution.cause if execution else None)
        kept = self.documents.notice(run_id)
        if kept is None or self._is_sent(run_id):
            return None
        self._send_once(run_id, kept)
        return kept

    def notify_last_day(self) -> Notice | None:
        """Send the message about the last day whose orders were due; None if nothing is unusual."""
        notice = self._last_day_notice()
        if notice is not None:
            self._publish(notice, run_id=None)
        return notice

    def _is_sent(self, run_id: str) -> bool:
        try:
            return self.documents.exists(RunKeys(run_id).notified)
        except ClientError:
            # A second message is better than none.
            log.warning("alert mark not read", extra={"run_id": run_id}, exc_info=True)
            return False

    def _send_once(self, run_id: str, notice: Notice) -> None:
        self._publish(notice, run_id=run_id)
        try:
            mark = {"at": self.clock().isoformat()}
            self.documents.write(RunKeys(run_id).notified, mark)
        except ClientError:
            # An error would make the state machine try again, and send the message again.
            log.warning("alert mark not written", extra={"run_id": run_id}, exc_info=True)

    def _publish(self, notice: Notice, *, run_id: str | None) -> None:
        topic_arn = self.settings.topic_arn
        if not topic_arn:
            raise SettingsError(
                "TOPIC_ARN is not set: deploy infra/ first, its outputs hold the value"
            )
        self.sns.publish(TopicArn=topic_arn, Subject=notice.subject, Message=notice.message)
        log.info("alert message sent", extra={"run_id": run_id, "subject": notice.subject})

    def _run_notice(self, run_id: str, state: End, cause: str | None) -> Notice | None:
        """Compose the message about a run and keep it; None if there is nothing to report."""
        try:
            run = RunOutcome.read(self.documents, run_id, state, cause)
            notice = messages.of_run(
                run,
                self.settings,
                anomalies=self._unusual(run),
                not_recognised=self._unreported_names(run),
            )
            if notice is not None:
                self.documents.write_notice(run_id, notice)
        # What is wrong with the documents of a failed run must not hide that it failed.
        except Exception:
            if state == "SUCCEEDED":
                raise
            log.warning("alert message has no details", extra={"run_id": run_id}, exc_info=True)
            run = RunOutcome(run_id=run_id, state=state, cause=cause)
            notice = messages.without_details(run, self.settings)
        return notice

    def _last_day_notice(self) -> Notice | None:
        now, settings = self.clock(), self.settings
        day = anomalies.last_complete_day(now, settings.day_complete_hour)
        days = self._days([day])
        found = anomalies.missing(day, days, by=now, min_history=settings.min_history)
        found += anomalies.unusual([day], days, min_history=settings.min_history)
        return messages.of_day(day, self._unreported(found, f"look at {day}"), settings)

    def _unusual(self, run: RunOutcome) -> Sequence[Anomaly]:
        """Return the unusual figures of what a run published, unless they were reported before."""
        if run.state != "SUCCEEDED" or run.published is None:
            return ()
        last = anomalies.last_complete_day(self.clock(), self.settings.day_complete_hour)
        complete = [day for day in sorted(run.published.dates) if day <= last]
        judged = complete[-anomalies.MAX_DATES :]
        days = self._days(judged)
        found = anomalies.unusual(judged, days, min_history=self.settings.min_history)
        return self._unreported(found, run.run_id)

    def _unreported_names(self, run: RunOutcome) -> Sequence[FileVersion]:
        """Return the files with unknown names that no message of another run has named.

        What is reported is kept as long as the file is there.
        """
        files = () if run.manifest is None else run.manifest.not_recognised
        before: dict[str, str] = self.documents.read(REPORTED_NAMES) or {} if files else {}
        new = [file for file in files if before.get(file.key, run.run_id) == run.run_id]
        if new:
            now = {file.key: before.get(file.key, run.run_id) for file in files}
            self.documents.write(REPORTED_NAMES, now)
        return new

    def _days(self, dates: Sequence[date]) -> dict[date, Day]:
        """Return these days and those that they are compared with."""
        wanted = {*dates, *(before for day in dates for before in anomalies.compared(day))}
        return {day: Day.of(item) for day, item in self.kpis.of_dates(wanted).items()}

    def _unreported(self, found: Sequence[Anomaly], reporter: str) -> Sequence[Anomaly]:
        """Leave out what is silenced or was reported before, and keep what is reported now.

        Two reporters at the same moment may both report a day, or one of them again later.
        """
        if not found:
            return ()
        before: Reported = self.documents.read(REPORTED_WARNINGS) or {}
        new = anomalies.unreported(found, before, reporter, silenced=self.settings.silenced)
        if new:
            reported = anomalies.with_reported(before, new, reporter)
            self.documents.write(REPORTED_WARNINGS, reported)
        return new
