"""Times as people say them: ``4 min``, ``2 h ago``; and as they type them."""

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


def ago(moment: datetime, now: datetime) -> str:
    return f"{duration(now - moment)} ago"


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def parse_date(text: str, option: str) -> date:
    """Raise UsageError for what is no date."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: not a date; write it as 2025-03-31") from error


def parse_range(start: str, end: str) -> tuple[date, date]:
    first, last = parse_date(start, "--from"), parse_date(end, "--to")
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}: swap them")
    return first, last
