"""Report: the rejected files with their reasons, the quality history, and Data Docs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from contract import typed_json
from contract.keys import RunKeys
from contract.verdict import Verdict
from delivery.reader import FileReading
from delivery.storage import Storage

from . import data_docs, quality_history

if TYPE_CHECKING:
    from .gx import SuiteRun


def report(
    connection: duckdb.DuckDBPyConnection,
    verdict: Verdict,
    *,
    runs: Sequence["SuiteRun"],
    history: data_docs.History,
    folder: Path,
) -> None:
    """Write to ``folder`` what explains the verdict; ``history`` lists the earlier runs."""
    quality_history.write(connection, verdict, runs, folder)
    data_docs.write_site(folder, verdict=verdict, runs=runs, history=history)


def rejected_files(
    verdict: Verdict, readings: Sequence[FileReading], output: Storage, folder: Path
) -> Iterator[tuple[Path, str]]:
    """Yield each rejected file with its key in ``output``, and a document with the reason.

    The documents are written to ``folder``. Their local names are numbers, because a name in S3
    may be too long for a disk, or lead out of a folder.
    """
    folder.mkdir()
    quarantine = RunKeys(verdict.run_id).quarantined_file("")
    # The files that are not recognised follow those that were read.
    for number, (reading, file) in enumerate(zip(readings, verdict.files, strict=False), start=1):
        if file.status == "rejected":
            key = output.key_of_delivered(quarantine, file.name, number)
            reason = folder / f"{number}.json"
            reason.write_text(typed_json.to_json(file), encoding="utf-8")
            yield reading.file.path, key
            yield reason, f"{key}.reason.json"
