"""What people are told: a subject and a message that can be acted on, read on a phone.

Facts in, text out. A message names files, counts, reasons and commands; it never quotes a row,
because it leaves AWS by mail.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from contract.keys import RunKeys
from contract.manifest import Manifest

from ..aws.causes import readable
from ..aws.run_table import End
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
# Rows of these reasons are held back; rows of all others are in quarantine.
WAITING_FOR: Final = {"unknown_order": "order", "unknown_product": "product"}
_HAPPENED: Final = {
    "SUCCEEDED": "has succeeded",
    "FAILED": "has failed",
    "TIMED_OUT": "has taken too long and was ended",
    "ABORTED": "was stopped",
}
_SUBJECTS: Final = {"FAILED": "Run failed", "TIMED_OUT": "Run timed out", "ABORTED": "Run stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``subject`` is one line of ASCII, as SNS wants it."""

    subject: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is known of a run at its end: each part is None if its stage has not written it."""

    run_id: str
    state: End
    cause: str | None = None
    manifest: Manifest | None = None
    verdict: Mapping[str, Any] | None = None
    published: Mapping[str, Any] | None = None
    anomalies: Sequence[Anomaly] = ()

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """What the verdict says of each file."""
        files: Sequence[Mapping[str, Any]] = (self.verdict or {}).get("files", ())
        return files


def of_run(run: Ended, settings: Settings) -> Notice | None:
    """Return what to tell of a run; None of one that has succeeded and left nothing to look at."""
    rejected = [file for file in run.files if file["status"] == "rejected"]
    # All rows of a rejected file are with it.
    spoilt = [f for f in run.files if f["status"] == "accepted" and f["quarantined_rows"]]
    if "quarantined_rows" in settings.silenced:
        spoilt = []
    rows = sum(file["quarantined_rows"] for file in spoilt)
    counts = {
        f"{_number(len(rejected), 'file')} rejected": len(rejected),
        f"{_number(rows, 'row')} in quarantine": rows,
        _number(len(run.anomalies), "unusual figure"): len(run.anomalies),
    }
    found = [what for what, count in counts.items() if count]
    if run.state == "SUCCEEDED" and not found:
        return None
    telling = _Telling(run, settings, rejected=rejected, spoilt=spoilt)
    return Notice(
        subject=_subject(f"{_what(run, found)} - {settings.stage}", f" {run.run_id}"),
        message=_message(
            [telling.sentence(found)],
            telling.rejected_files(),
            telling.quarantined_rows(),
            telling.held_rows(),
            telling.published(),
            telling.left_files(),
            _figures(run.anomalies),
            telling.next_steps(),
            telling.data_docs(),
        ),
    )


def without_details(run: Ended, settings: Settings) -> Notice:
    """Return the message about a failed run whose documents cannot be read."""
    paragraphs = _Telling(run, settings, rejected=(), spoilt=())
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
    """Return what to tell of a day that is complete; None when nothing in it is unusual."""
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
                "See what has arrived, then ask the shops:" if late else "See the day:",
                _command(look, settings),
            ],
        ),
    )


def _what(run: Ended, found: Sequence[str]) -> str:
    if run.state == "SUCCEEDED":
        return f"Run succeeded, {', '.join(found)}"
    error = (run.cause or "").partition(":")[0] if run.state == "FAILED" else ""
    return f"{_SUBJECTS[run.state]}{': ' if error else ''}{error}"


@dataclass(frozen=True, slots=True)
class _Telling:
    """The paragraphs of one run's message; one that has nothing to say is empty."""

    run: Ended
    settings: Settings
    rejected: Sequence[Mapping[str, Any]]
    spoilt: Sequence[Mapping[str, Any]]

    def sentence(self, found: Sequence[str]) -> str:
        run, settings = self.run, self.settings
        told = f"Run {_name(run.run_id)} of stage {settings.stage} {_HAPPENED[run.state]}"
        if run.state == "SUCCEEDED":
            return f"{told}: {', '.join(found)}."
        cause = _text(readable(run.cause)) if run.cause else ""
        return f"{told}: {cause}" if cause else f"{told}."

    def rejected_files(self) -> list[str]:
        if not self.rejected:
            return []
        of = _number(len(self.run.files), "file")
        place = self._bucket(RunKeys(self.run.run_id).quarantined_file(""))
        return [
            f"Rejected, {len(self.rejected)} of {of}; they lie in {place}",
            *_listed((_rejection(file) for file in self.rejected), len(self.rejected), "file"),
        ]

    def quarantined_rows(self) -> list[str]:
        if not self.spoilt:
            return []
        rows = sum(file["quarantined_rows"] for file in self.spoilt)
        lie = self._bucket(f"{RunKeys(self.run.run_id).quarantined_rows}.csv")
        return [
            f"In quarantine, {_number(rows, 'row')} of {_number(len(self.spoilt), 'file')}; "
            f"with all their reasons in {lie}",
            *_listed((_spoilt_rows(file) for file in self.spoilt), len(self.spoilt), "file"),
        ]

    def held_rows(self) -> list[str]:
        held = sum(file["held_rows"] for file in self.run.files)
        if not held:
            return []
        counts = {
            parent: sum(file["reasons"].get(reason, 0) for file in self.run.files)
            for reason, parent in WAITING_FOR.items()
        }
        why = ", ".join(f"{n:,} whose {parent} is unknown" for parent, n in counts.items() if n)
        return [f"Held back, {_number(held, 'row')}: {why}; each counts once that is delivered."]

    def published(self) -> list[str]:
        published = self.run.published
        if published is not None:
            dates = sorted({*published["dates"]} - {*published.get("superseded", ())})
            if not dates:
                return ["No KPI has changed."]
            span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            version = published.get("ledger_version")
            told = f"The KPIs of {_number(len(dates), 'date')} ({span}) are published"
            return [f"{told}, ledger version {version}." if version else f"{told}."]
        if self.run.state == "SUCCEEDED":
            return []
        if self._began_to_publish():
            return ["A date shows its KPIs as before this run or after it, never in between."]
        return ["No KPI has changed."]

    def _began_to_publish(self) -> bool:
        verdict, manifest = self.run.verdict, self.run.manifest
        if verdict is None:
            return manifest is not None and manifest.task == "recompute"
        return bool(verdict["outcome"] != "all_rejected")

    def left_files(self) -> list[str]:
        """Say where the other files of a run are that has not ended well."""
        left, run = self._left(), self.run
        if not left or run.state == "SUCCEEDED":
            return []
        place = self._bucket(self.settings.prefix)
        if run.published is not None:
            place = f"{self._bucket(RunKeys(run.run_id).processed(''))}, or still in {place},"
        files = f"Its {'other ' if self.rejected else ''}{_number(len(left), 'file')}"
        lie = "lies" if len(left) == 1 else "lie"
        return [
            f"{files} {lie} in {place} for the next run",
            *_listed((_name(key) for key in left), len(left), "file"),
        ]

    def _left(self) -> list[str]:
        if self.run.manifest is None:
            return []
        gone = {file["name"] for file in self.rejected}
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
        correct = to_correct if self.rejected or self.spoilt else []
        if run.state == "SUCCEEDED":
            return correct or self._see_days()
        if run.verdict is not None and run.verdict["outcome"] == "all_rejected":
            return to_correct
        if run.manifest is None:
            return [
                "It had claimed nothing; see what waits and who has the lock:",
                self._command("status"),
            ]
        too = f"; the schedule does so too, {self.settings.max_attempts} times in all"
        return [
            f"See why, then run it again{too if self._left() else ''}:",
            self._command(f"logs {run.run_id}"),
            self._command(f"replay {run.run_id} --wait"),
            *correct,
        ]

    def _see_days(self) -> list[str]:
        days = sorted(anomaly.day for anomaly in self.run.anomalies)
        return ["See the days:", self._command(f"kpis --from {days[0]} --to {days[-1]}")]

    def data_docs(self) -> list[str]:
        page = (self.run.verdict or {}).get("data_docs")
        return [f"Data Docs: {self._bucket(page)}"] if page else []

    def _bucket(self, key: str) -> str:
        return f"s3://{self.settings.bucket}/{key}"

    def _command(self, command: str) -> str:
        return _command(command, self.settings)


def _rejection(file: Mapping[str, Any]) -> str:
    told = f"{_name(file['name'])}: {file['reason']}"
    if not file["detail"] or file["reason"] == _DETAIL_QUOTES_A_ROW:
        return told
    return f"{told}, {_text(file['detail'])}"


def _spoilt_rows(file: Mapping[str, Any]) -> str:
    reasons = {r: n for r, n in file["reasons"].items() if r not in WAITING_FOR}
    counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    return f"{_name(file['name'])}: {_number(file['quarantined_rows'], 'row')} ({counts})"


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
        "Each is told once. SILENCED_WARNINGS silences a check: docs/alerts.md",
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
    """Return one line of ASCII; ``more``, which the message has too, only if all of it fits."""
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
    """Return text that others have written as a part of one line."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
