"""A verdict in a terminal: what became of each file, and where to look next."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .storage import Place

_STYLES = {"accepted": "green", "rejected": "bold red", "duplicate": "yellow"}


def show(document: Mapping[str, Any], output: Place) -> None:
    """Print a verdict to stdout."""
    console = Console(highlight=False)
    totals = document["totals"]
    console.print(
        Text(
            f"{document['outcome'].replace('_', ' ')}: {totals['accepted_rows']:,} of"
            f" {totals['rows']:,} rows accepted, {totals['quarantined_rows']:,} quarantined,"
            f" {totals['held_rows']:,} held back; {totals['rejected_files']} of"
            f" {totals['files']} files rejected",
            style="bold",
        )
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("status")
    for heading in ("accepted", "quarantined", "held"):
        table.add_column(heading, justify="right")
    table.add_column("reasons", overflow="fold")
    for file in document["files"]:
        reasons = [f"{reason} {count:,}" for reason, count in file["reasons"].items()]
        if file["reason"]:
            reasons.insert(0, f"{file['reason']}: {file['detail']}")
        table.add_row(
            Text(file["name"]),
            Text(file["status"], style=_STYLES[file["status"]]),
            f"{file['accepted_rows']:,}",
            f"{file['quarantined_rows']:,}",
            f"{file['held_rows']:,}",
            Text("; ".join(reasons)),
        )
    console.print(table)
    for warning in document["warnings"]:
        console.print(Text(f"warning: {warning['file']}: {warning['reason']} {warning['count']:,}"))
    for label, key in (
        ("failing rows", document["quarantined_rows"]),
        ("Data Docs", document["data_docs"]),
        ("verdict", f"runs/{document['run_id']}/verdict.json"),
    ):
        if key:
            console.print(Text(f"{label}: {output.where(key)}"), soft_wrap=True)
