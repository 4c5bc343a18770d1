"""The commands of shopkpi: each collects data with another module, then prints it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from . import (
    history,
    kpis,
    log_lines,
    policy,
    quarantine,
    redrive,
    start,
    status,
    unlock,
)
from .errors import EXIT_CODES, Exit, OperatorError, UsageError
from .options import Category, DryRun, From, RunId, To, Wait, with_shared_options
from .pipeline import Pipeline
from .screen import Screen
from .times import parse_range

_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(
    f"{code:>5} {text}" for code, text in EXIT_CODES.items()
)

app = typer.Typer(
    name="shopkpi",
    help="Shows the state of the KPI pipeline, and starts, repeats and repairs runs. It talks to "
    "the stage of --stage in AWS, with boto3's configuration, or with --local to the embedded AWS "
    "of `make localcloud`. Data goes to standard output, everything else to standard error. Times "
    "are UTC.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(name: str) -> Callable[[Callable[..., int | None]], Callable[..., int]]:
    """Register a command: a function of the pipeline, the screen, and the command's options."""

    def register(function: Callable[..., int | None]) -> Callable[..., int]:
        run = with_shared_options(function)
        app.command(name)(run)
        return run

    return register


def _show_version(shown: bool) -> None:  # noqa: FBT001 - Typer calls it with the option's value
    if shown:
        # 70 ms, which no other command pays.
        from importlib import metadata

        typer.echo(f"shopkpi {metadata.version('shop-kpi-pipeline')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that come before a command."""


@command("status")
def _status(pipeline: Pipeline, screen: Screen) -> None:
    """Show waiting files, the lock, and runs in progress.

    The files in the landing folder and how many a batch still needs; the lock and whether it is
    stale; the runs in progress and their states.
    """
    found = status.collect(pipeline)
    screen.show(found, *status.render(found))


@command("runs")
def _runs(
    pipeline: Pipeline,
    screen: Screen,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help=f"Only {', '.join(history.STATES)}."),
    ] = None,
) -> None:
    """List the latest runs, newest first.

    Runs of the last twelve months, with their files, rows, dates and estimated costs.
    """
    found = history.latest(pipeline, limit, history.parse_state(state))
    screen.show(
        history.documents(found), history.render_list(found) if found else "no such runs yet"
    )


@command("show")
def _show(pipeline: Pipeline, screen: Screen, *, run: RunId) -> None:
    """Show all details of a run.

    Its states and their seconds, the verdict on its files, its cost, the cause of its failure, and
    the alert message about it.
    """
    found = history.collect(pipeline, run)
    screen.show(found, *history.render(found))


@command("quarantine")
def _quarantine(
    pipeline: Pipeline,
    screen: Screen,
    *,
    run: RunId,
    rows: Annotated[
        int, typer.Option(min=0, help="How many of the quarantined rows to show.")
    ] = 20,
    download: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Download all rows and files to DIR/RUN."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Show the files and rows that a run quarantined.

    Each with all its reasons; --download copies all of them.
    """
    if download is None:
        found = quarantine.collect(pipeline, run, rows)
        screen.show(found, *quarantine.render(found))
        return
    items = quarantine.downloads(pipeline, run, download)
    if not dry_run:
        quarantine.download(pipeline, items, screen)
    screen.show(items, *quarantine.render_downloads(items, dry_run=dry_run))


@command("kpis")
def _kpis(
    pipeline: Pipeline,
    screen: Screen,
    *,
    category: Category = None,
    first: From = None,
    last: To = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV with every column, for a spreadsheet.")
    ] = False,
) -> None:
    """Show KPIs by day, of all orders or of a category.

    Without dates: the last 30 days that end with the newest date that has KPIs. Money and rates
    are exact decimals; in JSON they are text.
    """
    if as_csv and screen.as_json:
        raise UsageError("--csv and --json are two forms of the same data: give one of them")
    start_date, end_date = kpis.choose_dates(pipeline, first, last)
    if category is None:
        found = kpis.daily(pipeline, start_date, end_date)
    else:
        found = kpis.of_category(pipeline, category, start_date, end_date)
    if as_csv:
        screen.show_csv(kpis.to_csv(found))
    else:
        screen.show(found, *kpis.render(found))


@command("replay")
def _replay(
    pipeline: Pipeline, screen: Screen, *, run: RunId, wait: Wait = False, dry_run: DryRun = False
) -> int:
    """Repeat a run.

    The files of a failed run are in the landing folder, those of a successful run in processed/. A
    backfill or rebuild is repeated as it was.
    """
    return _start(pipeline, screen, start.replay(pipeline, run), wait=wait, dry_run=dry_run)


@command("backfill")
def _backfill(
    pipeline: Pipeline,
    screen: Screen,
    *,
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first order date.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="The last, included.")],
    wait: Wait = False,
    dry_run: DryRun = False,
) -> int:
    """Publish the KPIs of some dates again.

    They are computed from the ledger; both dates are included.
    `python -m spark_jobs.transform --dry-run` shows, item by item, what a run would change.
    """
    dates = parse_range(first, last)
    return _start(pipeline, screen, start.backfill(pipeline, *dates), wait=wait, dry_run=dry_run)


@command("rebuild")
def _rebuild(
    pipeline: Pipeline, screen: Screen, *, wait: Wait = False, dry_run: DryRun = False
) -> int:
    """Make a new ledger, and publish all KPIs again.

    It reads every processed file.
    """
    return _start(pipeline, screen, start.rebuild(pipeline), wait=wait, dry_run=dry_run)


@command("unlock")
def _unlock(pipeline: Pipeline, screen: Screen, *, dry_run: DryRun = False) -> None:
    """Free a stale lock.

    If its run is running or may still start, the lock stays, and the exit code is 6.
    """
    found = unlock.unlock(pipeline, dry_run=dry_run)
    screen.show(found, found.text)


@command("redrive")
def _redrive(
    pipeline: Pipeline,
    screen: Screen,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 100,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters back to their functions.

    Dead letters are events that a function failed on three times. One leaves the queue when
    Lambda has accepted its event again.
    """
    done = redrive.redrive(pipeline, limit=limit, dry_run=dry_run, screen=screen)
    screen.show(done, *redrive.render(done))


@command("doctor")
def _doctor(pipeline: Pipeline, screen: Screen) -> int:
    """Check the deployment.

    Credentials, clock, stack, settings, versioning, upload events, functions, schedule, tables,
    state machine, images, Java, dead letters, lock: each is ok, or a problem with its fix.
    """
    from . import doctor

    found = doctor.collect(pipeline, screen)
    screen.show(found, *doctor.render(found))
    return Exit.DONE if all(finding.ok for finding in found) else Exit.BAD


@command("logs")
def _logs(
    pipeline: Pipeline,
    screen: Screen,
    *,
    run: RunId,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help=f"{', '.join(log_lines.SOURCES)}; may be repeated."),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help=f"At least {', '.join(log_lines.LEVELS[1:])}."),
    ] = None,
) -> None:
    """Show all log lines of a run.

    Lines of the functions, the containers and the state machine in the order of time: from
    CloudWatch Logs and the execution's history.
    """
    sources, least = log_lines.parse_sources(only), log_lines.parse_level(level)
    with screen.busy("reading the logs"):
        found = log_lines.collect(pipeline, run, sources, least)
    screen.show(found, *(() if screen.as_json else log_lines.render(found)))


@command("policy")
def _policy(
    pipeline: Pipeline,
    screen: Screen,
    *,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only",
            help="Only the permissions that change nothing.",
        ),
    ] = False,
) -> None:
    """Print the IAM policy that these commands need.

    It names the resources of the stage, and has no action that no command uses.
    """
    screen.show_json(policy.document(pipeline, read_only=read_only))


def _start(
    pipeline: Pipeline, screen: Screen, run: start.NewRun, *, wait: bool, dry_run: bool
) -> int:
    if not dry_run:
        start.start(pipeline, run)
    if dry_run or not wait:
        screen.show(run, *start.render(run, dry_run=dry_run))
        return Exit.DONE
    screen.note("\n".join(start.render(run, dry_run=False)))
    ended = start.wait(pipeline, run.run_id, screen)
    screen.show(ended, *history.render(ended))
    return Exit.DONE if ended.state == "SUCCEEDED" else Exit.BAD


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; every error is one line on standard error."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return int(app(args=arguments, prog_name="shopkpi", standalone_mode=False) or Exit.DONE)
    except OperatorError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(_usage(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped; a run that was started continues", Exit.INTERRUPTED)
    except BrokenPipeError:
        # `shopkpi logs … | head` closes the pipe early.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as error:
        if os.environ.get("SHOPKPI_TRACE"):
            raise
        return _fail(
            f"{type(error).__name__}: {error}: this is a bug of shopkpi; please report it with the "
            "traceback that SHOPKPI_TRACE=1 shows",
            Exit.BUG,
        )


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "shopkpi"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}: see {path} --help"


def _fail(text: str, code: int) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return int(code)
