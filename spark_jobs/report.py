"""KPI tables as text for a terminal, and as CSV and JSON lines for programs."""

import csv
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from contract import spreadsheet
from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS, KpiTable, readable
from delivery import rejected_rows
from delivery.rejected_rows import RejectedRow
from delivery.set_aside import RowCounts

if TYPE_CHECKING:
    from .publish.tables import Difference

MAX_ROWS_SHOWN: Final = 40


def write(table: pa.Table, stem: Path) -> None:
    """Write ``stem.csv`` and ``stem.jsonl``; decimals as exact text, dates as 2025-03-01.

    In the CSV, a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]
    with stem.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table.column_names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(spreadsheet.record_as_text, rows))
    with stem.with_suffix(".jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def screen() -> Console:
    """Return a console on stdout that is wide enough for every KPI, even if the terminal is not."""
    return Console(highlight=False, width=max(Console().width, 120))


def show(screen: Console, category: pa.Table, daily: pa.Table) -> None:
    """Print both tables, each at most MAX_ROWS_SHOWN rows long."""
    screen.print(_table("per day", ORDER_KPIS, daily))
    screen.print(_table("per category and day", CATEGORY_KPIS, category))


def show_left_out(
    screen: Console, files: int, rows: RowCounts, left_out: Sequence[RejectedRow], output: Path
) -> None:
    """Print how many files and rows were read, and how many were left out for each reason."""
    read = rows.accepted + rows.set_aside + rows.held
    screen.print(
        f"{files} files, {read:,} rows read: {rows.accepted:,} accepted,"
        f" {rows.set_aside:,} set aside, {rows.held:,} held back."
    )
    if left_out:
        screen.print("Left out:")
        for reason, number in rejected_rows.count(left_out).most_common():
            screen.print(f"  {number:>9,}  {reason}")
        screen.print(f"Each with its file, line and text in {output / 'rejected.csv'}")
    screen.print(f"KPIs as CSV and JSON lines in {output}")


def show_differences(screen: Console, found: Sequence["Difference"]) -> None:
    """Print one line for each item that publishing would change."""
    for difference in found:
        key = " ".join(difference.key.values())
        if difference.before is None or difference.after is None:
            verb, values = ("new", difference.after) if difference.after else ("gone", {})
            change = ", ".join(f"{k} {_plain_set(v)}" for k, v in (values or {}).items())
        else:
            verb = "changed"
            names = {*difference.before, *difference.after}
            change = ", ".join(
                f"{name} {_plain_set(difference.before.get(name))}"
                f" → {_plain_set(difference.after.get(name))}"
                for name in sorted(names)
            )
        screen.print(f"{difference.table} {key}: {verb} {change}".rstrip(), soft_wrap=True)
    screen.print(f"{len(found)} items differ; nothing was written.")


def _plain_set(value: object) -> str:
    return "{" + ", ".join(sorted(value)) + "}" if isinstance(value, set) else str(value)


def _table(rows_are: str, kpis: KpiTable, rows: pa.Table) -> Table:
    columns = (*kpis.key, *kpis.shown)
    hidden = rows.num_rows - MAX_ROWS_SHOWN
    caption = f"… and {hidden:,} rows more in the files" if hidden > 0 else None
    table = Table(
        title=f"{kpis.name}: {rows_are}",
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown = [
        [readable(row[column.name]) for column in columns]
        for row in rows.slice(0, MAX_ROWS_SHOWN).to_pylist()
    ]
    for place, column in enumerate(columns):
        # Names break at their spaces, values never, so that nine columns fit into 80 characters.
        name = column.name.replace("_", " ")
        cells = [*name.split(), *(row[place] for row in shown)]
        table.add_column(
            name,
            justify="right" if column.is_number else "left",
            vertical="bottom",
            min_width=max(map(len, cells)),
        )
    for row in shown:
        table.add_row(*row)
    return table


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal | date) else value
