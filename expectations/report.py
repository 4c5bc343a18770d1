"""Report: the rejected files with their reasons, the quality history, and Data Docs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from contract import typed_json
from contract.keys import RunKeys
from contract.verdict import Verdict
from delivery.reader import FileReading

from . import data_docs, quality_history

if TYPE_CHECKING:
    from .gx import SuiteRun


def report(
    connection: duckdb.DuckDBPyConnection,
    verdict: Verdict,
    *,
    runs: Sequence["SuiteRun"],
    readings: Sequence[FileReading],
    history: data_docs.History,
    folder: Path,
) -> None:
    """Write to ``folder`` what explains the verdict; ``history`` lists the earlier runs."""
    _write_rejected_files(verdict, readings, folder)
    quality_history.write(connection, verdict, runs, folder)
    data_docs.write_site(folder, verdict=verdict, runs=runs, history=history)


def _write_rejected_files(verdict: Verdict, readings: Sequence[FileReading], folder: Path) -> None:
    keys = RunKeys(verdict.run_id)
    for reading, file in zip(readings, verdict.files, strict=True):
        if file.status == "rejected":
            target = folder / keys.quarantined_file(file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(reading.file.path.resolve())
            reason = target.with_name(f"{target.name}.reason.json")
            reason.write_text(typed_json.to_json(file), encoding="utf-8")
