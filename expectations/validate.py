"""Validate a delivery; the container's entry and a command for a laptop.

    python -m expectations.validate --input samples/incoming --output out/validated
    python -m expectations.validate --manifest s3://BUCKET/runs/RUN/manifest.json \\
        --output s3://BUCKET

Exit codes: 0 with a verdict, however bad the data; 2 for wrong usage or settings; 1 when the
run itself failed, and then there is no verdict. A summary goes to stdout, progress to stderr.
With --manifest all of it is JSON lines on stderr.
"""

import argparse
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

import duckdb

from contract.keys import DATA_DOCS_RUNS, RunKeys
from contract.typed_json import DocumentError
from delivery import reader
from delivery.container_log import Stages, container_log, one_line
from delivery.datasets import DATASETS
from delivery.landed_files import DeliveryError, LandedFile, files_in, in_order_of_landing
from delivery.reader import FileReading

from . import data_docs, judgement, quality_history, quarantine, storage, summary, verdict
from .rules import SUITES, SuiteError

# Not __name__, which is __main__ in the container.
log = logging.getLogger("expectations.validate")

_THREADS: Final = 2
_ATTEMPTS: Final = 4


class SettingsError(ValueError):
    """A setting can't be used; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``memory_limit`` is DuckDB's own, Python's 250 MB come on top.

    DuckDB spills to TMPDIR beyond it, but not all: of fourteen runs over 4 million rows with 100
    to 180 MB ten ended for lack of memory, with 512 MB one of three. Then it is doubled.
    """

    max_bad_row_percent: float = 10
    memory_limit: str = "512MB"

    @classmethod
    def from_env(cls, env: Mapping[str, str], memory_limit: str | None) -> Self:
        """Raise SettingsError when MAX_BAD_ROW_PERCENT or the limit can't be used."""
        text = env.get("MAX_BAD_ROW_PERCENT", "10")
        try:
            percent = float(text)
        except ValueError:
            percent = -1
        if not 0 <= percent <= 100:
            raise SettingsError(f"MAX_BAD_ROW_PERCENT is '{text}': set a number from 0 to 100")
        limit = memory_limit or env.get("VALIDATOR_MEMORY_LIMIT", "512MB")
        if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", limit):
            raise SettingsError(
                f"the memory limit is '{limit}': set --memory-limit or VALIDATOR_MEMORY_LIMIT to a"
                " size such as 100MB"
            )
        return cls(max_bad_row_percent=percent, memory_limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The files of a run in the order of their landing, and the keys they were claimed under."""

    run_id: str
    files: Sequence[LandedFile]
    keys: Sequence[str]

    @classmethod
    def of_folder(cls, folder: Path, run_id: str) -> Self:
        files = files_in(folder)
        return cls(run_id=run_id, files=files, keys=[file.name for file in files])

    @classmethod
    def of_manifest(cls, uri: str, folder: Path) -> Self:
        manifest = storage.fetch_manifest(uri)
        fetched = storage.fetch_files(manifest, folder)
        pairs = sorted(
            zip(fetched, (file.key for file in manifest.files), strict=True),
            key=lambda pair: in_order_of_landing(pair[0]),
        )
        return cls(
            run_id=manifest.run_id,
            files=[file for file, _ in pairs],
            keys=[key for _, key in pairs],
        )


def validate(
    delivery: Delivery,
    output: storage.Place,
    *,
    work: Path,
    known: Path | None,
    settings: Settings,
    now: datetime,
    suites: Path,
) -> dict[str, Any]:
    """Judge a delivery, put everything that comes of it into ``output``, and return the verdict.

    ``work`` is a folder for this run alone. The verdict is written last, so that it never
    speaks of things that are not there.

    Raises:
        SuiteError: the rules could not be loaded or computed.
    """
    keys = RunKeys(delivery.run_id)
    history = _history(output)
    stages = Stages()
    with (
        duckdb.connect(
            work / "delivery.duckdb",
            config={
                "memory_limit": settings.memory_limit,
                "temp_directory": str(work / "spill"),
                "threads": _THREADS,
            },
        ) as connection,
        ThreadPoolExecutor(max_workers=1) as beside,
    ):
        # Importing Great Expectations takes seconds, of which the reading hides a part.
        imported = beside.submit(_import_gx)
        with stages.stage("read"):
            readings = reader.read(delivery.files, connection, threads=_THREADS)
            gx = imported.result()
        log.info(
            "read %(rows)d rows",
            {"rows": sum(reading.rows for reading in readings), "files": len(readings)},
        )
        # Only now: the reader tells a row's line by the order of rows.
        connection.execute("SET preserve_insertion_order = false")

        judgement.prepare(connection, readings, typical_rows=history.typical_rows(), known=known)
        checks = gx.Checks(connection)
        runs = []
        for step in judgement.STEPS:
            judgement.prepare_step(connection, step)
            suite = gx.load_suite(suites / f"{step.suite}.json")
            with stages.stage(f"check {step.suite}"):
                run = checks.run(
                    suite,
                    table=step.table,
                    parameters={"latest_order_date": (now.date() + timedelta(days=1)).isoformat()},
                    run_id=delivery.run_id,
                    run_time=now,
                )
            judgement.record(connection, run.outcomes)
            if step.dataset is not None:
                judgement.set_aside(
                    connection,
                    step.dataset,
                    readings,
                    max_bad_row_percent=settings.max_bad_row_percent,
                )
            runs.append((suite, step.table, run))
            log.info(
                "%(suite)s: %(failed)d of %(expectations)d expectations failed",
                {
                    "suite": step.suite,
                    "failed": sum(not outcome.success for outcome in run.outcomes),
                    "expectations": len(run.outcomes),
                },
            )

        files = [
            verdict.judge(facts)
            for facts in judgement.file_facts(
                connection,
                readings,
                delivery.keys,
                max_bad_row_percent=settings.max_bad_row_percent,
            )
        ]
        rules = [(suite.name, o.rule) for suite, _, run in runs for o in run.outcomes]
        results = work / "results"
        accepted = {
            dataset: keys.accepted(dataset)
            for dataset in DATASETS
            if quarantine.write_accepted(connection, dataset, results / keys.accepted(dataset))
        }
        held = {
            dataset: keys.held(dataset)
            for dataset in DATASETS
            if quarantine.write_held(connection, dataset, results / keys.held(dataset))
        }
        bad = quarantine.write_failing_rows(connection, readings, results / keys.quarantined_rows)
        document = verdict.document(
            run_id=delivery.run_id,
            created_at=now,
            files=files,
            warnings=judgement.warnings(connection, [rule for _, rule in rules]),
            accepted=accepted,
            held=held,
            quarantined_rows=f"{keys.quarantined_rows}.csv" if bad else None,
            data_docs=keys.data_docs,
        )
        quality_history.write(connection, rules, results, run_id=delivery.run_id, run_time=now)

    data_docs.write_site(results, verdict=document, run_time=now, runs=runs, history=history)

    _set_aside(document, readings, results, keys)
    produced = [path for path in sorted(results.rglob("*")) if path.is_file()]
    with stages.stage("write"):
        output.put_all([(path, path.relative_to(results).as_posix()) for path in produced])
    log.info(
        "wrote %(written)d files to %(place)s",
        {"written": len(produced), "place": output.where("")},
    )
    last = work / "verdict.json"
    last.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    output.put(last, keys.verdict)
    return document


def _import_gx() -> Any:
    """Import what runs the suites as if there were no pyspark, as in the validator's image.

    Great Expectations imports that too where it is installed, and nothing here needs it: 0.9 of
    6.6 s.
    """
    if "pyspark" in sys.modules or "great_expectations" in sys.modules:
        return import_module("expectations.gx")
    sys.modules["pyspark"] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        return import_module("expectations.gx")
    finally:
        del sys.modules["pyspark"]


def _history(output: storage.Place) -> data_docs.History:
    try:
        return data_docs.History.from_json(output.get(DATA_DOCS_RUNS))
    except data_docs.HistoryError as error:
        # Bad news for the index page only: not worth a delivery.
        log.warning("%s; the list of runs starts anew", error)
        return data_docs.History()


def _set_aside(
    document: Mapping[str, Any], readings: Sequence[FileReading], results: Path, keys: RunKeys
) -> None:
    """Put each rejected file and, beside it, the reason among the results."""
    for reading, file in zip(readings, document["files"], strict=True):
        if file["status"] == "rejected":
            target = results / keys.quarantined_file(reading.file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(reading.file.path.resolve())
            target.with_name(f"{target.name}.reason.json").write_text(
                json.dumps(file, indent=1, ensure_ascii=False), encoding="utf-8"
            )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m expectations.validate",
        description="Validate a delivery of orders, order items and products.",
        epilog="Exit codes: 0 with a verdict, however bad the data; 1 the run failed and left no"
        " verdict; 2 wrong usage or settings. Environment: MAX_BAD_ROW_PERCENT (10),"
        " VALIDATOR_MEMORY_LIMIT, and boto3's own.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", metavar="DIR", type=Path, help="a folder of CSV files")
    source.add_argument("--manifest", metavar="URI", help="a run's manifest: s3://… or a file")
    parser.add_argument(
        "--output", metavar="DIR|URI", required=True, help="a folder or s3://BUCKET"
    )
    parser.add_argument(
        "--known",
        metavar="DIR|URI",
        help="orders.parquet and products.parquet with ids accepted before",
    )
    parser.add_argument("--run-id", help="with --input; by default the time of the start")
    parser.add_argument(
        "--memory-limit", metavar="SIZE", help="for DuckDB, such as 200MB (default 512MB)"
    )
    return parser.parse_args(argv)


def main(
    argv: Sequence[str] | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> int:
    """Run the command line and return its exit code."""
    arguments = _arguments(argv)
    with container_log(errors_as="validate", manifest=arguments.manifest):
        return _run(arguments, clock())


def _run(arguments: argparse.Namespace, now: datetime) -> int:
    try:
        settings = Settings.from_env(os.environ, arguments.memory_limit)
        with tempfile.TemporaryDirectory(prefix="validate-") as scratch:
            work = Path(scratch)
            if arguments.manifest:
                delivery = Delivery.of_manifest(arguments.manifest, work / "incoming")
            else:
                run_id = arguments.run_id or f"local-{now:%Y%m%dT%H%M%SZ}"
                delivery = Delivery.of_folder(arguments.input, run_id)
            output = storage.place(arguments.output)
            known = (
                storage.fetch_known(arguments.known, work / "known") if arguments.known else None
            )

            def attempt(within: Settings, number: int) -> dict[str, Any]:
                own = work / f"attempt-{number}"
                own.mkdir()
                return validate(
                    delivery,
                    output,
                    work=own,
                    known=known,
                    settings=within,
                    now=now,
                    suites=SUITES,
                )

            document = _with_enough_memory(attempt, settings)
    except SettingsError as error:
        return _failed(error, code=2)
    except DeliveryError as error:
        # A folder was typed by a person; a manifest's files were there when it was written.
        return _failed(error, code=2 if arguments.input else 1)
    except (DocumentError, SuiteError) as error:
        return _failed(error, code=1)
    except duckdb.OutOfMemoryException as error:
        limit = settings.memory_limit
        return _failed(
            f"DuckDB could not do with {limit}: set VALIDATOR_MEMORY_LIMIT higher ({error})", code=1
        )
    except Exception as error:  # a container's last line must name the cause, whatever it is
        return _failed(f"{type(error).__name__}: {error}", code=1, crash=error)
    if arguments.manifest:
        log.info("verdict: %(outcome)s", {"outcome": document["outcome"], **document["totals"]})
    else:
        summary.show(document, output)
    return 0


def _with_enough_memory(
    attempt: Callable[[Settings, int], dict[str, Any]], settings: Settings
) -> dict[str, Any]:
    """Try again with twice the memory where DuckDB can't do with its limit, three times at most.

    Nothing has been written by then: results are stored once all rules have been computed.
    """
    for number in range(_ATTEMPTS):
        try:
            return attempt(settings, number)
        except duckdb.OutOfMemoryException:
            if number + 1 == _ATTEMPTS:
                raise
            more = _doubled(settings.memory_limit)
            log.warning("DuckDB could not do with %s: again with %s", settings.memory_limit, more)
            settings = replace(settings, memory_limit=more)
    raise AssertionError("the last attempt returns or raises")


def _doubled(limit: str) -> str:
    """Double a size such as 512MB."""
    number = limit.rstrip("KMGTiBkmgtb ")
    return f"{2 * float(number):g}{limit.removeprefix(number)}"


def _failed(error: object, *, code: int, crash: Exception | None = None) -> int:
    log.error("%s; no verdict was written", one_line(error), exc_info=crash)
    return code


if __name__ == "__main__":
    # Great Expectations imports pyspark, and pandas pyarrow, wherever they are installed. Nothing
    # here needs them, and without them the import is 0.8 s and 60 MB smaller.
    for optional in ("pyspark", "pyarrow"):
        sys.modules[optional] = None  # type: ignore[assignment]
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # An orderly end makes duckdb's binding list 60 "leaked" types on stderr, after our last line.
    os._exit(code)
