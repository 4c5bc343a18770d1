"""Times for people: ``4 min``, ``2 h ago``; and the dates that they type."""

from datetime import date, datetime, timedelta

from .errors import UsageError


def duration(span: timedelta) -> str:
    """Return a span with one or two units: ``42 s``, ``3 min 20 s``, ``12 d 4 h``."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next(n for n, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def ago(time: datetime, now: datetime) -> str:
    return f"{duration(now - time)} ago"


def clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def parse_date(text: str, option: str) -> date:
    """Raises UsageError when the text is not an ISO 8601 date."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: not a date; write it as 2025-03-31") from error


def parse_range(start: str, end: str) -> tuple[date, date]:
    first, last = parse_date(start, "--from"), parse_date(end, "--to")
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}: swap them")
    return first, last
