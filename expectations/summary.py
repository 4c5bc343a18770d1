"""A verdict in a terminal: the result of each file, and where to look next."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contract.keys import RunKeys
from contract.verdict import Verdict
from delivery.storage import Storage

_STYLES = {
    "accepted": "green",
    "rejected": "bold red",
    "duplicate": "yellow",
    "not_recognised": "bold red",
}


def show(verdict: Verdict, output: Storage) -> None:
    """Print a verdict to stdout."""
    console = Console(highlight=False)
    totals = verdict.totals
    console.print(
        Text(
            f"{verdict.outcome.replace('_', ' ')}: {totals.accepted_rows:,} of"
            f" {totals.rows:,} rows accepted, {totals.quarantined_rows:,} quarantined,"
            f" {totals.held_rows:,} held back; {totals.rejected_files} of"
            f" {totals.files} files rejected"
            + (
                f", {totals.not_recognised_files} more not recognised"
                if totals.not_recognised_files
                else ""
            ),
            style="bold",
        )
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("status")
    for heading in ("accepted", "quarantined", "held back"):
        table.add_column(heading, justify="right")
    for file in verdict.files:
        table.add_row(
            Text(file.name),
            Text(file.status.replace("_", " "), style=_STYLES[file.status]),
            f"{file.accepted_rows:,}",
            f"{file.quarantined_rows:,}",
            f"{file.held_rows:,}",
        )
    console.print(table)
    for file in verdict.files:
        if file.reason:
            _line(console, f"{file.name}: {file.reason}: {file.detail}", "red")
        if file.reasons:
            counts = ", ".join(f"{reason} {count:,}" for reason, count in file.reasons.items())
            _line(console, f"{file.name}: {counts}", "")
        for reason, detail in file.details.items():
            _line(console, f"{file.name}: {reason}: {detail}", "")
    for warning in verdict.warnings:
        text = f"{warning.file}: {warning.reason} {warning.count:,}"
        if warning in verdict.ambiguous:
            text += f": {warning.detail}"
        _line(console, f"warning: {text}", "yellow")
    for label, key in (
        ("failing rows", verdict.quarantined_rows),
        ("Data Docs", verdict.data_docs),
        ("verdict", RunKeys(verdict.run_id).verdict),
    ):
        if key:
            _line(console, f"{label}: {output.uri(key)}", "")


def _line(console: Console, text: str, style: str) -> None:
    """Print a line without wrapping, so that grep finds it in a narrow terminal, too."""
    console.print(Text(text, style=style), soft_wrap=True)
