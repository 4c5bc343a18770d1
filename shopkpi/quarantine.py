"""The files and rows that a run quarantined, with their reasons; and their download."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NotFoundError, UsageError
from .history import find
from .screen import Screen, table

if TYPE_CHECKING:
    from .pipeline import Pipeline

# The end of the name of a document that says why a file was rejected.
_REASON = ".reason.json"
# The raw text of a row may have 10,000 characters; the screen shows the first 60.
_SHOWN_RAW = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedFile:
    """A file that was rejected, is a duplicate or not recognised.

    ``key`` is that of a rejected file.
    """

    name: str
    dataset: str | None
    status: str
    reason: str | None
    detail: str | None
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """``rows`` are the first quarantined rows: file, line, reasons, and the text as delivered.

    ``details`` has, by file and reason, which values were found and what to do.
    """

    run_id: str
    files: tuple[UnusedFile, ...]
    reasons: Mapping[str, int]
    details: Mapping[str, Mapping[str, str]]
    quarantined_rows: int
    held_rows: int
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One object in the quarantine folder, and the file that it is copied to.

    ``name`` is that of a shop's file, or of the run's own.
    """

    key: str
    name: str
    size: int
    to: Path


def collect(pipeline: "Pipeline", run_id: str, limit: int) -> Quarantine:
    """Raises NotFoundError when there is no such run, or it has no verdict."""
    from contract.keys import RunKeys
    from contract.row_counts import RowCounts

    keys = RunKeys(run_id)
    verdict = pipeline.documents.verdict(run_id)
    if verdict is None:
        find(pipeline, run_id)
        raise NotFoundError(
            f"{run_id} has no verdict: it validates no files, or it has not validated them yet, or "
            f"it failed before; see `shopkpi show {run_id}`"
        )
    rows = RowCounts.of(verdict, pipeline.documents.published(run_id))
    return Quarantine(
        run_id=run_id,
        files=tuple(
            UnusedFile(
                name=file.name,
                dataset=file.dataset,
                status=file.status,
                reason=file.reason,
                detail=file.detail,
                key=keys.quarantined_file(file.name) if file.status == "rejected" else None,
            )
            for file in verdict.files
            if file.status != "accepted"
        ),
        reasons=rows.reasons,
        details={file.name: file.details for file in verdict.files if file.details},
        quarantined_rows=rows.quarantined,
        held_rows=rows.held,
        rows=tuple(islice(_rows(pipeline, verdict.quarantined_rows), limit)),
    )


def _rows(pipeline: "Pipeline", key: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield the quarantined rows while they are downloaded: there may be millions."""
    import codecs

    from contract.spreadsheet import as_delivered

    if key is None:
        return
    body = pipeline.client("s3").get_object(Bucket=pipeline.settings.bucket, Key=key)["Body"]
    lines = codecs.getreader("utf-8")(body)
    for cells in csv.DictReader(lines):
        row = {name: as_delivered(cell) for name, cell in cells.items()}
        numbers = {name: int(row[name]) for name in ("line", "last_line") if name in row}
        yield {**row, **numbers, "reasons": row["reasons"].split(";")}
    body.close()


def downloads(pipeline: "Pipeline", run_id: str, folder: Path) -> list[Download]:
    """Return the objects in the run's quarantine folder, and their targets in ``folder``/RUN.

    A shop's file gets a number as its local name, and so does the document with its reason: a name
    in S3 may be too long for a disk, or lead out of the folder.

    Raises:
        UsageError: the target is not empty.
        NotFoundError: the run quarantined nothing.
    """
    target = folder / run_id
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--download {folder}: it is a file; name a folder")
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"--download {folder}: {target} is not empty; name another folder")
    from contract.keys import RunKeys

    keys = RunKeys(run_id)
    prefix = keys.quarantine
    pages = (
        pipeline.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=pipeline.settings.bucket, Prefix=prefix)
    )
    sizes = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
    if not sizes:
        raise NotFoundError(f"{run_id} has nothing in quarantine")
    files = keys.quarantined_file("")
    numbers: dict[str, int] = {}
    found = []
    for key in sorted(sizes):
        name = key.removeprefix(prefix)
        to = target / name
        if key.startswith(files):
            name = key.removeprefix(files)
            file = name.removesuffix(_REASON)
            number = numbers.setdefault(file, len(numbers) + 1)
            to = target / "files" / f"{number}{'.csv' if file == name else _REASON}"
        elif key not in {f"{keys.quarantined_rows}{suffix}" for suffix in (".csv", ".parquet")}:
            continue
        found.append(Download(key=key, name=name, size=sizes[key], to=to))
    return found


def download(pipeline: "Pipeline", items: list[Download], screen: Screen) -> None:
    with screen.progress(of_bytes=True) as progress:
        bar = progress.add_task("downloading", total=sum(item.size for item in items))
        for item in items:
            item.to.parent.mkdir(parents=True, exist_ok=True)
            pipeline.client("s3").download_file(
                pipeline.settings.bucket,
                item.key,
                str(item.to),
                Callback=lambda count: progress.advance(bar, count),
            )


def render(found: Quarantine) -> list[Any]:
    parts: list[Any] = []
    if found.files:
        parts.append(
            table(
                "rejected and duplicate files",
                {"file": "left", "status": "left", "reason": "left", "detail": "left"},
                ((f.name, f.status, f.reason, f.detail or "") for f in found.files),
            )
        )
    if found.reasons:
        parts.append(
            table(
                f"{found.quarantined_rows:,} rows in quarantine, {found.held_rows:,} held back",
                {"reason": "left", "rows": "right"},
                ((reason, f"{count:,}") for reason, count in found.reasons.items()),
            )
        )
    parts += [
        f"{_printable(name)}: {reason}: {detail}"
        for name, details in found.details.items()
        for reason, detail in details.items()
    ]
    if found.rows:
        parts.append(
            table(
                f"the first {len(found.rows)} rows",
                {"file": "left", "line": "right", "reasons": "left", "as delivered": "left"},
                (
                    (row["file"], row["line"], ", ".join(row["reasons"]), _beginning(row["raw"]))
                    for row in found.rows
                ),
            )
        )
    if not parts:
        parts.append(f"run {found.run_id} has nothing in quarantine")
    else:
        parts.append(f"download everything: shopkpi quarantine {found.run_id} --download DIR")
    return parts


def render_downloads(items: list[Download], *, dry_run: bool) -> list[Any]:
    verb = "would download" if dry_run else "downloaded"
    size = sum(item.size for item in items)
    return [
        f"{verb} {len(items)} files, {size:,} bytes:",
        *(f"  {item.to}: {_printable(item.name)}" for item in items),
    ]


def _printable(name: str) -> str:
    """Return a name on one line, without what a terminal would act on."""
    return name if name.isprintable() else repr(name)


def _beginning(raw: str) -> str:
    text = raw.replace("\n", "⏎")
    return text if len(text) <= _SHOWN_RAW else f"{text[:_SHOWN_RAW]}…"
