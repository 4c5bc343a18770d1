"""The text of the alert messages: what has happened and what to do, for a phone's screen.

A message names files, counts, reasons and commands. It never quotes a row, because it leaves AWS by
mail; of values it has unknown words for a status and ambiguous amounts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from contract.keys import RunKeys, name_wanted
from contract.manifest import FileVersion
from contract.notice import Notice
from contract.row_counts import RowCounts
from contract.verdict import HELD_BACK, DataWarning, FileVerdict

from ..aws.causes import readable
from ..runs.outcome import RunOutcome
from ..settings import Settings
from .anomalies import Anomaly

# SNS takes fewer than 100 characters of ASCII in a subject, and 256 KiB in a message.
_SUBJECT_LENGTH: Final = 99
_FILES: Final = 20
_ANOMALIES: Final = 10
# An S3 key may have 1,024 bytes, a cause 32,768 characters.
_NAME_LENGTH: Final = 120
_TEXT_LENGTH: Final = 500
# The reader shows the first line of a file that lacks its header, which is a row.
_DETAIL_QUOTES_A_ROW: Final = "missing_column"
_HAPPENED: Final = {
    "SUCCEEDED": "has succeeded",
    "FAILED": "has failed",
    "TIMED_OUT": "has taken too long and was ended",
    "ABORTED": "was stopped",
}
_SUBJECTS: Final = {"FAILED": "Run failed", "TIMED_OUT": "Run timed out", "ABORTED": "Run stopped"}


def of_run(
    run: RunOutcome,
    settings: Settings,
    *,
    anomalies: Sequence[Anomaly] = (),
    not_recognised: Sequence[FileVersion] = (),
) -> Notice | None:
    """Return the message about a run that has ended.

    ``not_recognised`` are the files with unknown names that no earlier message has named. None: the
    run has succeeded, and nothing in it needs attention.
    """
    paragraphs = _Paragraphs(run, settings, anomalies)
    rejected, rows = paragraphs.rejected, sum(f.quarantined_rows for f in paragraphs.quarantined)
    ambiguous = paragraphs.ambiguous
    counts = {
        f"{_number(len(rejected), 'file')} rejected": len(rejected),
        f"{_number(len(not_recognised), 'file')} not recognised": len(not_recognised),
        f"{_number(rows, 'row')} in quarantine": rows,
        f"{_number(len(paragraphs.refused), 'date')} not published": len(paragraphs.refused),
        f"ambiguous amounts in {_number(len(ambiguous), 'column')}": len(ambiguous),
        _number(len(anomalies), "unusual figure"): len(anomalies),
    }
    found = [what for what, count in counts.items() if count]
    if run.state == "SUCCEEDED" and not found:
        return None
    return Notice(
        subject=_subject(f"{_what(run, found)} - {settings.stage}", f" {run.run_id}"),
        message=_message(
            [paragraphs.sentence(found)],
            paragraphs.rejected_files(),
            paragraphs.not_recognised(not_recognised),
            paragraphs.quarantined_rows(),
            paragraphs.ambiguous_amounts(),
            paragraphs.held_rows(),
            paragraphs.published(),
            paragraphs.unpublished(),
            paragraphs.remaining_files(),
            _figures(anomalies),
            paragraphs.next_steps(),
            paragraphs.data_docs(),
        ),
    )


def without_details(run: RunOutcome, settings: Settings) -> Notice:
    """Return the message about a failed run whose documents cannot be read."""
    paragraphs = _Paragraphs(run, settings, ())
    return Notice(
        subject=_subject(f"{_what(run, ())} - {settings.stage}", f" {run.run_id}"),
        message=_message(
            [paragraphs.sentence(())],
            ["This message has no details: the documents of the run could not be read."],
            [f"What the run did not process is in s3://{settings.bucket}/{settings.prefix}."],
            [
                "See why, then run it again:",
                _command(f"logs {run.run_id}", settings),
                _command(f"replay {run.run_id} --wait", settings),
            ],
        ),
    )


def of_day(day: date, anomalies: Sequence[Anomaly], settings: Settings) -> Notice | None:
    """Return the message about a complete day; None if nothing in it is unusual."""
    if not anomalies:
        return None
    late = any(anomaly.check == "freshness" for anomaly in anomalies)
    what = "No orders" if late else _number(len(anomalies), "unusual figure").capitalize()
    look = "status" if late else f"kpis --from {day} --to {day}"
    return Notice(
        subject=_subject(f"{what} of {day} - {settings.stage}"),
        message=_message(
            _figures(anomalies),
            [
                "See which files have arrived, then contact the shops:" if late else "See the day:",
                _command(look, settings),
            ],
        ),
    )


def _what(run: RunOutcome, found: Sequence[str]) -> str:
    if run.state == "SUCCEEDED":
        return f"Run succeeded, {', '.join(found)}"
    error = (run.cause or "").partition(":")[0] if run.state == "FAILED" else ""
    return f"{_SUBJECTS[run.state]}{': ' if error else ''}{error}"


@dataclass(frozen=True, slots=True)
class _Paragraphs:
    """The paragraphs of the message about a run. Those that do not apply are empty."""

    run: RunOutcome
    settings: Settings
    anomalies: Sequence[Anomaly]

    @property
    def files(self) -> Sequence[FileVerdict]:
        """The files that were read."""
        files = () if self.run.verdict is None else self.run.verdict.files
        return [file for file in files if file.status != "not_recognised"]

    @property
    def rejected(self) -> Sequence[FileVerdict]:
        return () if self.run.verdict is None else self.run.verdict.rejected

    @property
    def quarantined(self) -> Sequence[FileVerdict]:
        """The accepted files with rows in quarantine, unless that warning is silenced."""
        if "quarantined_rows" in self.settings.silenced:
            return ()
        return [f for f in self.files if f.status == "accepted" and f.quarantined_rows]

    def sentence(self, found: Sequence[str]) -> str:
        run, settings = self.run, self.settings
        ended = f"Run {_name(run.run_id)} of stage {settings.stage} {_HAPPENED[run.state]}"
        if run.state == "SUCCEEDED":
            return f"{ended}: {', '.join(found)}."
        cause = _text(readable(run.cause)) if run.cause else ""
        return f"{ended}: {cause}" if cause else f"{ended}."

    def rejected_files(self) -> list[str]:
        if not self.rejected:
            return []
        of = _number(len(self.files), "file")
        folder = self._uri(RunKeys(self.run.run_id).quarantined_file(""))
        return [
            f"Rejected, {len(self.rejected)} of {of}; they are in {folder}",
            *_listed((_rejection(file) for file in self.rejected), len(self.rejected), "file"),
        ]

    def not_recognised(self, files: Sequence[FileVersion]) -> list[str]:
        if not files:
            return []
        folder = self._uri(self.settings.prefix)
        return [
            f"Not recognised, {_number(len(files), 'file')}; no run reads what stays in {folder}",
            *_listed(
                (f"{_name(f.name)}: {name_wanted(f.name)}" for f in files), len(files), "file"
            ),
        ]

    def quarantined_rows(self) -> list[str]:
        files = self.quarantined
        if not files:
            return []
        rows = sum(file.quarantined_rows for file in files)
        table = self._uri(f"{RunKeys(self.run.run_id).quarantined_rows}.csv")
        return [
            f"In quarantine, {_number(rows, 'row')} of {_number(len(files), 'file')}; "
            f"with all their reasons in {table}",
            *_listed(map(_bad_rows, files), len(files), "file"),
        ]

    @property
    def ambiguous(self) -> Sequence[DataWarning]:
        if self.run.verdict is None or "ambiguous_amounts" in self.settings.silenced:
            return ()
        return self.run.verdict.ambiguous

    def ambiguous_amounts(self) -> list[str]:
        if not self.ambiguous:
            return []
        lines = (f"{_name(found.file or '')}: {_text(found.detail)}" for found in self.ambiguous)
        return ["Accepted with ambiguous amounts:", *_listed(lines, len(self.ambiguous), "column")]

    def held_rows(self) -> list[str]:
        if self.run.verdict is None:
            return []
        rows = RowCounts.of(self.run.verdict, self.run.published)
        if not rows.held:
            return []
        why = ", ".join(f"{n:,} whose {parent} is unknown" for parent, n in rows.held_back.items())
        return [
            f"Held back, {_number(rows.held, 'row')}: {why}; each counts once that is delivered."
        ]

    def published(self) -> list[str]:
        published = self.run.published
        if published is not None:
            dates = sorted(
                day
                for day in {*published.dates} - {*published.superseded}
                if day.isoformat() not in published.unpublished_dates
            )
            if not dates:
                return ["No KPI has changed."]
            span = str(dates[0]) if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            return [
                f"The KPIs of {_number(len(dates), 'date')} ({span}) are published, "
                f"ledger version {published.ledger_version}."
            ]
        if self.run.state == "SUCCEEDED":
            return []
        if self._began_to_publish():
            return ["A date shows its KPIs as before this run or after it, never in between."]
        return ["No KPI has changed."]

    @property
    def refused(self) -> Mapping[str, str]:
        """The dates that could not be published, and why."""
        return {} if self.run.published is None else self.run.published.unpublished_dates

    def unpublished(self) -> list[str]:
        if not self.refused:
            return []
        lines = (f"{day}: {_text(reason)}" for day, reason in sorted(self.refused.items()))
        return [
            "Not published, the KPIs of these dates are as before; correct their files:",
            *_listed(lines, len(self.refused), "date"),
        ]

    def _began_to_publish(self) -> bool:
        verdict, manifest = self.run.verdict, self.run.manifest
        if verdict is None:
            return manifest is not None and manifest.task == "recompute"
        return verdict.outcome != "all_rejected"

    def remaining_files(self) -> list[str]:
        """Say where the files are that a failed run has not moved to quarantine."""
        keys, run = self._remaining(), self.run
        if not keys or run.state == "SUCCEEDED":
            return []
        folder = self._uri(self.settings.prefix)
        if run.published is not None:
            folder = f"{self._uri(RunKeys(run.run_id).processed(''))}, or still in {folder},"
        files = f"Its {'other ' if self.rejected else ''}{_number(len(keys), 'file')}"
        return [
            f"{files} {'is' if len(keys) == 1 else 'are'} in {folder} for the next run",
            *_listed(map(_name, keys), len(keys), "file"),
        ]

    def _remaining(self) -> list[str]:
        if self.run.manifest is None:
            return []
        gone = {file.name for file in self.rejected}
        return [
            file.key
            for file in self.run.manifest.files
            if file.key.startswith(self.settings.prefix) and file.name not in gone
        ]

    def next_steps(self) -> list[str]:
        run = self.run
        to_correct = [
            "Correct what is rejected or in quarantine and upload it again; to get it:",
            self._command(f"quarantine {run.run_id} --download bad"),
        ]
        correct = to_correct if self.rejected or self.quarantined else []
        if run.state == "SUCCEEDED":
            return correct or self._see_days() or self._see_run() or self._see_names()
        if run.verdict is not None and run.verdict.outcome == "all_rejected":
            return to_correct
        if run.manifest is None:
            return [
                "It had claimed no files; see which files wait and which run has the lock:",
                self._command("status"),
            ]
        retried = "; the schedule does so too, after a second crash in halves"
        return [
            f"See why, then run it again{retried if self._remaining() else ''}:",
            self._command(f"logs {run.run_id}"),
            self._command(f"replay {run.run_id} --wait"),
            *correct,
        ]

    def _see_days(self) -> list[str]:
        days = sorted({*(str(anomaly.day) for anomaly in self.anomalies), *self.refused})
        if not days:
            return []
        return ["See the days:", self._command(f"kpis --from {days[0]} --to {days[-1]}")]

    def _see_run(self) -> list[str]:
        return ["See the run:", self._command(f"show {self.run.run_id}")] if self.ambiguous else []

    def _see_names(self) -> list[str]:
        return ["See all files that are not recognised:", self._command("status")]

    def data_docs(self) -> list[str]:
        page = None if self.run.verdict is None else self.run.verdict.data_docs
        return [f"Data Docs: {self._uri(page)}"] if page else []

    def _uri(self, key: str) -> str:
        return f"s3://{self.settings.bucket}/{key}"

    def _command(self, command: str) -> str:
        return _command(command, self.settings)


def _rejection(file: FileVerdict) -> str:
    rejection = f"{_name(file.name)}: {file.reason}"
    if not file.detail or file.reason == _DETAIL_QUOTES_A_ROW:
        return rejection
    return f"{rejection}, {_text(file.detail)}"


def _bad_rows(file: FileVerdict) -> str:
    reasons = {r: n for r, n in file.reasons.items() if r not in HELD_BACK}
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    details = "".join(f"; {reason}: {_text(text)}" for reason, text in file.details.items())
    return f"{_name(file.name)}: {_number(file.quarantined_rows, 'row')} ({counts}){details}"


def _figures(anomalies: Sequence[Anomaly]) -> list[str]:
    """Return the newest of them first."""
    if not anomalies:
        return []
    newest = sorted(anomalies, key=lambda anomaly: (anomaly.day, anomaly.check), reverse=True)
    more = len(newest) - _ANOMALIES
    return [
        "Unusual for the day of the week:",
        *(f"- {a.sentence} [{a.check}]" for a in newest[:_ANOMALIES]),
        *([f"- and {more:,} more"] if more > 0 else []),
        "Each is reported once. SILENCED_WARNINGS silences a check: docs/alerts.md",
    ]


def _listed(lines: Iterable[str], count: int, thing: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == _FILES:
            yield f"- and {_number(count - _FILES, thing)} more"
            return
        yield f"- {line}"


def _command(command: str, settings: Settings) -> str:
    return f"    shopkpi {command} --stage {settings.stage}"


def _message(*paragraphs: Iterable[str]) -> str:
    parts = ("\n".join(lines) for lines in paragraphs)
    return "\n\n".join(part for part in parts if part) + "\n"


def _subject(text: str, more: str = "") -> str:
    """Return one line of ASCII, with ``more``, which the message has too, if all of it fits."""
    whole = text + more if len(text + more) <= _SUBJECT_LENGTH else text
    ascii_only = "".join(c if c.isascii() and c.isprintable() else "?" for c in whole)
    return ascii_only[:_SUBJECT_LENGTH]


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _name(text: str) -> str:
    return _line(text, _NAME_LENGTH)


def _text(text: str) -> str:
    return _line(" ".join(text.split()), _TEXT_LENGTH)


def _line(text: str, length: int) -> str:
    """Return text from outside, such as a file name, so that it cannot start a new line."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
