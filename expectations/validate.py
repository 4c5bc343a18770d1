"""Validate a delivery; the container's entry and a command for a laptop.

    python -m expectations.validate --input samples/incoming --output out/validated
    python -m expectations.validate --manifest s3://BUCKET/runs/RUN/manifest.json \\
        --output s3://BUCKET

The steps pass records to each other: read, check and set aside (one suite after the other),
write, report.

Exit codes: 0 with a verdict, however bad the data; 2 for wrong usage or settings; 1 when the
run itself failed and wrote no verdict. A summary goes to stdout, progress to stderr. With
--manifest everything goes to stderr as JSON lines.
"""

import argparse
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Self

import duckdb

from contract.keys import RunKeys
from contract.typed_json import DocumentError
from contract.verdict import Verdict
from delivery import examples
from delivery.bad_row_limit import BadRowLimit, SettingsError
from delivery.container_log import Phases, container_log, one_line
from delivery.landed_files import DeliveryError
from delivery.mapping import STANDARD, FileMapping, mapping_of
from delivery.rules import SUITES, SuiteError
from delivery.storage import Storage, open_storage

from . import check_tables, data_docs, report, summary
from .check import CHECKS, check_and_set_aside
from .found import file_verdicts, warnings
from .known_ids import KnownBefore
from .read import THREADS, Delivery, read
from .verdict import compose, not_recognised
from .write import write_rows

# Not __name__, which is __main__ in the container.
log = logging.getLogger("expectations.validate")

_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``memory_limit`` is that of DuckDB; Python needs 250 MB more.

    DuckDB spills to TMPDIR beyond it, but not everything: of 14 runs over 4 million rows with 100
    to 180 MB, 10 ran out of memory, with 512 MB 1 of 3. Then the limit is doubled.
    """

    bad_rows: BadRowLimit = field(default_factory=BadRowLimit)
    memory_limit: str = "512MB"

    @classmethod
    def from_env(cls, env: Mapping[str, str], memory_limit: str | None) -> Self:
        """Raise SettingsError when a setting or the limit can't be used."""
        bad_rows = BadRowLimit.from_env(env)
        limit = memory_limit or env.get("VALIDATOR_MEMORY_LIMIT", "512MB")
        if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", limit):
            raise SettingsError(
                f"the memory limit is '{limit}': set --memory-limit or VALIDATOR_MEMORY_LIMIT to a"
                " size such as 100MB"
            )
        return cls(bad_rows=bad_rows, memory_limit=limit)


def validate(
    delivery: Delivery,
    output: Storage,
    *,
    work: Path,
    known: KnownBefore | None,
    settings: Settings,
    now: datetime,
    suites: Traversable,
    mapping: FileMapping = STANDARD,
) -> Verdict:
    """Check a delivery, store all results in ``output``, and return the verdict.

    ``work`` is a folder for this run alone. The verdict is stored last: all that it names exists.

    Raises:
        SuiteError: the rules could not be loaded or computed.
    """
    run_id, results = delivery.run_id, work / "results"
    history = data_docs.read_history(output)
    phases = Phases()
    with _database(work, settings) as connection:
        with phases.timed("read"):
            readings, gx = read(delivery, connection, mapping)
        check_tables.create(connection, readings, typical_rows=history.typical_rows())
        checks = gx.Checks(connection)
        runs = []
        for each in CHECKS:
            with phases.timed(f"check {each.suite}"):
                run = check_and_set_aside(
                    connection,
                    each,
                    checks,
                    suites=suites,
                    known=known,
                    readings=readings,
                    limit=settings.bad_rows,
                    run_id=run_id,
                    now=now,
                )
            runs.append(run)
        details = examples.find(connection)
        files = file_verdicts(connection, readings, delivery.keys, settings.bad_rows, details)
        rules = [rule for run in runs for rule in run.rules]
        written = write_rows(connection, readings, results, RunKeys(run_id))
        verdict = compose(
            run_id=run_id,
            created_at=now,
            files=files,
            others=[not_recognised(key, name) for key, name in delivery.not_recognised],
            warnings=warnings(connection, rules, details),
            accepted=written.accepted,
            held=written.held,
            quarantined_rows=written.quarantined,
        )
        report.report(connection, verdict, runs=runs, history=history, folder=results)
    with phases.timed("write"):
        rejected = report.rejected_files(verdict, readings, output, work / "rejected")
        _store(verdict, results, rejected, output)
    return verdict


def _database(work: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        work / "delivery.duckdb",
        config={
            "memory_limit": settings.memory_limit,
            "temp_directory": str(work / "spill"),
            "threads": THREADS,
        },
    )


def _store(
    verdict: Verdict, results: Path, rejected: Iterable[tuple[Path, str]], output: Storage
) -> None:
    """Store the results, whose paths are their keys, the rejected files, and then the verdict."""
    paths = [path for path in sorted(results.rglob("*")) if path.is_file()]
    files = [*((path, path.relative_to(results).as_posix()) for path in paths), *rejected]
    output.put_all(files)
    log.info(
        "wrote %(written)d files to %(place)s", {"written": len(files), "place": output.uri("")}
    )
    key = RunKeys(verdict.run_id).verdict
    (results / key).write_text(verdict.to_json(), encoding="utf-8")
    output.put(results / key, key)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m expectations.validate",
        description="Validate a delivery of orders, order items and products.",
        epilog="Exit codes: 0 with a verdict, however bad the data; 1 the run failed and wrote no"
        " verdict; 2 wrong usage or settings. Environment: MAX_BAD_ROW_PERCENT (10),"
        " MIN_BAD_ROWS (5), VALIDATOR_MEMORY_LIMIT, and boto3's own.",
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
        help="orders.parquet and products.parquet with ids accepted before; by default those of"
        " the ledger in the manifest's bucket",
    )
    parser.add_argument(
        "--mapping",
        metavar="FILE",
        type=Path,
        default=mapping_of(os.environ),
        help="mapping.toml, with --input: other column and file names (default MAPPING)",
    )
    parser.add_argument("--run-id", help="with --input; by default the time of the start")
    parser.add_argument(
        "--memory-limit", metavar="SIZE", help="for DuckDB, such as 200MB (default 512MB)"
    )
    arguments = parser.parse_args(argv)
    if arguments.manifest and arguments.mapping:
        parser.error("--mapping (MAPPING) is for --input; a run has the mapping of its manifest")
    return arguments


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
        mapping = FileMapping.from_settings(arguments.mapping, os.environ)
        with tempfile.TemporaryDirectory(prefix="validate-") as scratch:
            work = Path(scratch)
            if arguments.manifest:
                delivery = Delivery.of_manifest(arguments.manifest, work / "incoming")
            else:
                run_id = arguments.run_id or f"local-{now:%Y%m%dT%H%M%SZ}"
                delivery = Delivery.of_folder(arguments.input, run_id, mapping)
            output = open_storage(arguments.output, work)
            known = _known(arguments, delivery, work / "known")

            def attempt(within: Settings, number: int) -> Verdict:
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
                    mapping=mapping,
                )

            verdict = _with_enough_memory(attempt, settings)
    except SettingsError as error:
        return _failed(error, code=2)
    except DeliveryError as error:
        # A person gives a folder: wrong usage. A manifest names files that existed.
        return _failed(error, code=2 if arguments.input else 1)
    except (DocumentError, SuiteError) as error:
        return _failed(error, code=1)
    except duckdb.OutOfMemoryException as error:
        limit = settings.memory_limit
        return _failed(
            f"DuckDB needs more than {limit}: set VALIDATOR_MEMORY_LIMIT higher ({error})", code=1
        )
    except Exception as error:  # a container's last line must name the cause
        return _failed(f"{type(error).__name__}: {error}", code=1, crash=error)
    if arguments.manifest:
        log.info("verdict: %(outcome)s", {"outcome": verdict.outcome, **asdict(verdict.totals)})
    else:
        summary.show(verdict, output)
    return 0


def _known(arguments: argparse.Namespace, delivery: Delivery, scratch: Path) -> KnownBefore | None:
    if arguments.known:
        return KnownBefore.of_folder(arguments.known, scratch)
    return KnownBefore.of_run(delivery.manifest, scratch) if delivery.manifest else None


def _with_enough_memory(attempt: Callable[[Settings, int], Verdict], settings: Settings) -> Verdict:
    """Try again with twice the memory when DuckDB runs out of it, three times at most.

    Nothing is stored by then: results are stored once all rules are computed.
    """
    for number in range(_ATTEMPTS):
        try:
            return attempt(settings, number)
        except duckdb.OutOfMemoryException:
            if number + 1 == _ATTEMPTS:
                raise
            more = _doubled(settings.memory_limit)
            log.warning(
                "DuckDB needs more than %s: trying again with %s", settings.memory_limit, more
            )
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
    # Great Expectations imports pyspark, and pandas imports pyarrow, where they are installed. The
    # validator needs neither, and without them the import takes 0.8 s and 60 MB less.
    for optional in ("pyspark", "pyarrow"):
        sys.modules[optional] = None  # type: ignore[assignment]
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A normal exit makes duckdb's binding list 60 "leaked" types on stderr, after our last line.
    os._exit(code)
