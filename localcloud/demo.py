"""Sends a delivery through the pipeline, and shows its progress and results.

Progress goes to standard error, results to standard output. Everything is read from the embedded
AWS: the execution's history, the verdict, the tables, the messages.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import boto3
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chalice_app.chalicelib.aws.execution_history import Visit, read_history
from contract.file_names import FileNames
from contract.keys import (
    DASHBOARD,
    DASHBOARD_PAGE,
    DATA_DOCS,
    DATA_DOCS_INDEX,
    INCOMING,
    MAPPING,
    QUARANTINE,
    RUNS,
    RunKeys,
    name_wanted,
)
from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS, ColumnType, KpiTable, readable
from contract.notice import Notice
from contract.published import PublishedReport
from contract.row_counts import RowCounts
from contract.states import State
from contract.verdict import Totals, Verdict
from delivery.landed_files import names_in
from delivery.mapping import FileMapping

from .cloud import LocalCloud
from .containers import Containers
from .ecs_processes import PROJECT_ROOT
from .provision import Plan, Stack, provision, receive

HOME: Final = PROJECT_ROOT / ".localcloud"
# 5 minutes become 5 s, 30 minutes half a minute.
TIME_SCALE: Final = 1 / 60
_FORCE_MINUTES: Final = 30
_CHECK_WINDOW_SECONDS: Final = 2
# One round of requests takes 30 ms of the two cores that the tasks run on.
_POLL_SECONDS: Final = 0.5
_SHOWN_ROWS: Final = 15


class DemoError(RuntimeError):
    """The demonstration cannot run; the message says what to do."""


@dataclass(slots=True, kw_only=True)
class Run:
    run_id: str
    status: str
    visits: Sequence[Visit]
    cause: str = ""
    verdict: Verdict | None = None
    published: PublishedReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The deployed pipeline, as a shop and its analyst use it; ``names`` is of its mapping."""

    stack: Stack
    session: boto3.Session
    names: FileNames = field(default_factory=FileNames)

    def use_mapping(self, text: str) -> None:
        self.session.client("s3").put_object(
            Bucket=self.stack.bucket, Key=MAPPING, Body=text.encode()
        )

    def uploads(self, files: Sequence[tuple[str, bytes]]) -> None:
        s3 = self.session.client("s3")
        for name, body in files:
            s3.put_object(Bucket=self.stack.bucket, Key=f"{INCOMING}{name}", Body=body)

    def waiting(self) -> int:
        """Return how many files of the landing folder a run can claim, or has claimed."""
        found = (self.names.recognise(key.removeprefix(INCOMING)) for key in self.keys(INCOMING))
        return sum(dataset is not None for dataset in found)

    def keys(self, prefix: str) -> Iterator[str]:
        pages = (
            self.session.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.stack.bucket, Prefix=prefix)
        )
        for page in pages:
            for found in page.get("Contents", []):
                yield found["Key"]

    def runs(self) -> list[Run]:
        """Return every execution, oldest first, with the states it went through."""
        sfn = self.session.client("stepfunctions")
        found = sfn.list_executions(stateMachineArn=self.stack.state_machine_arn)["executions"]
        return [
            Run(
                run_id=execution["name"],
                status=execution["status"],
                visits=read_history(sfn, execution["executionArn"], with_data=False).visits,
            )
            for execution in reversed(found)
        ]

    def verdict(self, run_id: str) -> Verdict | None:
        """Return the verdict on a run's files; None until there is one."""
        text = self._read(RunKeys(run_id).verdict)
        return None if text is None else Verdict.from_json(text)

    def published(self, run_id: str) -> PublishedReport | None:
        """Return what a run published; None until it has."""
        text = self._read(RunKeys(run_id).published)
        return None if text is None else PublishedReport.from_json(text)

    def _read(self, key: str) -> bytes | None:
        s3 = self.session.client("s3")
        try:
            return s3.get_object(Bucket=self.stack.bucket, Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None

    def items(self, table: KpiTable) -> list[dict[str, Any]]:
        dynamodb = self.session.resource("dynamodb").meta.client
        pages = dynamodb.get_paginator("scan").paginate(TableName=table.name)
        return [table.values(item) for page in pages for item in page["Items"]]

    def messages(self) -> list[Notice]:
        return list(receive(self.session.client("sqs"), self.stack.messages_url))

    def download(self, prefix: str, folder: Path, suffix: str = "") -> None:
        """Copy the objects with this prefix and suffix into a folder."""
        s3 = self.session.client("s3")
        for key in [key for key in self.keys(prefix) if key.endswith(suffix)]:
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(self.stack.bucket, key, str(path))


def plan(engine: str, time_scale: float) -> Plan:
    """Return the plan of the demonstration's AWS; its half hour is scaled like all waits."""
    return Plan(
        environment={
            "FORCE_PROCESS_AFTER_MINUTES": str(_FORCE_MINUTES * time_scale),
            "CHECK_WINDOW_SECONDS": str(_CHECK_WINDOW_SECONDS * time_scale),
        },
        task_environment={"ENGINE": engine},
        transformer="transformer-sail" if engine == "sail" else "transformer-spark",
    )


def run(
    delivery: Path,
    *,
    engine: str,
    fail: bool,
    time_scale: float,
    home: Path = HOME,
    containers: Containers | None = None,
    mapping: Path | None = None,
) -> int:
    """Send a delivery through the pipeline; return 0 when every run has succeeded.

    Raises DemoError when there is no file to deliver, and MappingError when the mapping cannot be
    used.
    """
    files = read_delivery(delivery, fail=fail)
    names = FileMapping.read(mapping).names if mapping else FileNames()
    # Wide enough for all KPIs; a narrow terminal wraps the lines.
    progress, screen = Console(stderr=True), Console(width=max(Console().width, 100))
    home = home.resolve()
    shutil.rmtree(home, ignore_errors=True)
    began = time.monotonic()
    progress.print("starting the embedded AWS …")
    with LocalCloud.start(home, time_scale=time_scale, containers=containers) as cloud:
        stack = provision(plan(engine, time_scale), cloud)
        shop = Shop(stack=stack, session=cloud.session(), names=names)
        if mapping:
            shop.use_mapping(mapping.read_text(encoding="utf-8"))
        progress.print(
            f"ready after {time.monotonic() - began:.1f} s at {cloud.endpoint}; "
            f"uploading {len(files)} files to s3://{shop.stack.bucket}/{INCOMING}"
        )
        first_upload = datetime.now().astimezone()
        shop.uploads(files)
        others = [name for name, _ in files if names.recognise(name) is None]
        runs = []
        # Without a recognised file no run starts.
        if len(others) < len(files):
            runs = _watch(shop, progress, deadline=time.monotonic() + 3600)
        _show_results(shop, runs, first_upload, screen, home)
        for name in others:
            screen.print(
                f"not recognised: {name}. {name_wanted(name)}", soft_wrap=True, markup=False
            )
    return 0 if runs and all(found.status == "SUCCEEDED" for found in runs) else 1


def read_delivery(folder: Path, *, fail: bool) -> list[tuple[str, bytes]]:
    """Return a folder's files by name, without hidden ones.

    ``fail`` adds an orders file without its header.
    """
    names = names_in(folder)
    if not names:
        raise DemoError(f"{folder}: no file in it; name a folder with --delivery")
    files = [(name, (folder / name).read_bytes()) for name in names]
    if fail:
        orders = next((body for name, body in files if name.startswith("orders")), b"1,2,3\n")
        files.insert(0, ("orders_without_header.csv", orders.partition(b"\n")[2]))
    return files


def _watch(shop: Shop, progress: Console, *, deadline: float) -> list[Run]:
    """Show the runs until all have ended and no files wait."""
    with Live(console=progress, refresh_per_second=4, transient=False) as live:
        while True:
            runs, waiting = shop.runs(), shop.waiting()
            for found in runs:
                found.verdict = shop.verdict(found.run_id)
                found.published = shop.published(found.run_id)
            live.update(_render(runs, waiting))
            ended = bool(runs) and all(found.status != "RUNNING" for found in runs)
            failed = ended and runs[-1].status != "SUCCEEDED"
            if ended and (waiting == 0 or failed):
                return runs
            if time.monotonic() > deadline:
                raise DemoError("the runs did not end within an hour: see server.log in --home")
            time.sleep(_POLL_SECONDS)


def _render(runs: list[Run], waiting: int) -> Group:
    parts: list[Any] = []
    now = datetime.now().astimezone()
    for found in runs:
        table = Table(title=f"run {found.run_id}: {found.status}", title_justify="left")
        for column in ("state", "seconds", ""):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for visit in found.visits:
            note = "…" if visit.exited_at is None and found.status == "RUNNING" else ""
            if failed := sum(attempt.failed for attempt in visit.attempts):
                note += f" {failed} failed attempts"
            if visit.state == State.VALIDATE_FILES and found.verdict:
                note = _rows(found.verdict.totals, RowCounts.of(found.verdict, found.published))
            style = "bold" if visit.exited_at is None else None
            table.add_row(visit.state, f"{_seconds(visit, now):.2f}", note.strip(), style=style)
        parts.append(table)
    parts.append(Text(f"files waiting or claimed in {INCOMING}: {waiting}"))
    return Group(*parts)


def _rows(totals: Totals, rows: RowCounts) -> str:
    return (
        f"{totals.files} files ({totals.rejected_files} rejected), {totals.rows:,} rows: "
        f"{rows.accepted:,} accepted, {rows.quarantined:,} quarantined, {rows.held:,} held back"
    )


def _show_results(
    shop: Shop, runs: list[Run], first_upload: datetime, screen: Console, home: Path
) -> None:
    for kpis in (ORDER_KPIS, CATEGORY_KPIS):
        screen.print(_kpi_table(kpis, shop.items(kpis)))
    for found in runs:
        _show_quarantine(found, screen)
    for message in shop.messages():
        screen.rule("message to the topic's subscribers")
        screen.print(message.subject, soft_wrap=True, markup=False, style="bold")
        screen.print(message.message, soft_wrap=True, markup=False)
    for name, page in keep_pages(shop, home).items():
        screen.print(f"{name}: {page.as_uri()}", soft_wrap=True)
    _show_times(runs, first_upload, screen)


def keep_pages(shop: Shop, home: Path) -> dict[str, Path]:
    """Copy the dashboard, the Data Docs and what they link to; return the first page of each."""
    # Accepted rows, the largest part of runs/, are not linked.
    for prefix, suffix in (
        (DASHBOARD, ""),
        (DATA_DOCS, ""),
        (QUARANTINE, ""),
        (RUNS, ".json"),
    ):
        shop.download(prefix, home, suffix)
    pages = {
        "Dashboard": home / DASHBOARD_PAGE,
        "Data Docs": home / DATA_DOCS_INDEX,
    }
    return {name: page for name, page in pages.items() if page.exists()}


def _show_times(runs: list[Run], first_upload: datetime, screen: Console) -> None:
    last = [
        visit.exited_at
        for found in runs
        for visit in found.visits
        if visit.state == State.TRANSFORM_FILES
    ]
    for found in runs:
        stages = ", ".join(
            f"{visit.state} {_seconds(visit, visit.entered_at):.1f} s"
            for visit in found.visits
            if visit.state in {State.VALIDATE_FILES, State.TRANSFORM_FILES, State.RESET_LOCK}
        )
        screen.print(f"{found.run_id}: {found.status}; {stages}", soft_wrap=True)
    if last and (end := last[-1]) is not None:
        seconds = (end - first_upload).total_seconds()
        screen.print(f"first upload to last KPI item: {seconds:.1f} s")


def _show_quarantine(found: Run, screen: Console) -> None:
    if found.verdict is None:
        return
    rows = RowCounts.of(found.verdict, found.published)
    screen.print(f"run {found.run_id}: {_rows(found.verdict.totals, rows)}", soft_wrap=True)
    for file in found.verdict.files:
        if file.status != "accepted":
            screen.print(
                f"  {file.name}: {file.status}, {file.reason}: {file.detail}",
                soft_wrap=True,
                markup=False,
            )
    for reason, count in rows.reasons.items():
        screen.print(f"  {count:>7,} rows: {reason}")


def _kpi_table(kpis: KpiTable, items: list[dict[str, Any]]) -> Table:
    shown = min(len(items), _SHOWN_ROWS)
    table = Table(title=f"{kpis.name}: {shown} of {len(items)} items", title_justify="left")
    # The date first in both tables.
    keys = sorted(kpis.key, key=lambda column: column.type is not ColumnType.DATE)
    columns = (*keys, *kpis.kpis)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.name, justify=justify, no_wrap=True)
    ordered = sorted(items, key=lambda item: [item[column.name] for column in keys])
    for item in ordered[:_SHOWN_ROWS]:
        table.add_row(*(readable(item.get(column.name, "")) for column in columns))
    return table


def _seconds(visit: Visit, now: datetime) -> float:
    """Return how long the execution was in the state, or has been in it by ``now``."""
    return ((visit.exited_at or now) - visit.entered_at).total_seconds()
