"""shopkpi: the commands. Each gathers, then shows; what they gather is in the other modules."""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from . import (
    completion,
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
from .aws_errors import explained
from .errors import EXIT_CODES, Exit, OperatorError
from .pipeline import Pipeline, Place
from .screen import Screen
from .times import parse_range

_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(
    f"{code:>5} {text}" for code, text in EXIT_CODES.items()
)

app = typer.Typer(
    name="shopkpi",
    help="What the KPI pipeline is doing, and what to do about it. It talks to the stage of "
    "--stage in AWS, with boto3's own configuration, or with --local to the embedded AWS that "
    "`make localcloud` keeps running. Data goes to standard output, everything else to standard "
    "error. Times are UTC.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who types, as a command sees it: the pipeline asked about, and the screen."""

    pipeline: Pipeline
    screen: Screen


# What every command takes besides its own.
_SHARED: Final = {
    "stage": (
        Annotated[
            str | None,
            typer.Option(metavar="STAGE", help="The deployment. [default: $SHOPKPI_STAGE, or dev]"),
        ],
        None,
    ),
    "profile": (
        Annotated[str | None, typer.Option(metavar="NAME", help="The AWS profile.")],
        None,
    ),
    "region": (
        Annotated[
            str | None,
            typer.Option(
                metavar="REGION", help="The AWS region. [default: the profile's, or eu-north-1]"
            ),
        ],
        None,
    ),
    "local": (
        Annotated[bool, typer.Option("--local", help="The embedded AWS of `make localcloud`.")],
        False,
    ),
    "as_json": (
        Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")],
        False,
    ),
}
RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id.", autocompletion=completion.run_ids),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the run's end; exit code 1 if it fails.")
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first order date.")]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last, included.")]


def command(name: str) -> Callable[[Callable[..., int | None]], Callable[..., int]]:
    """Register a command; it takes an Operator, then its own parameters."""

    def register(function: Callable[..., int | None]) -> Callable[..., int]:
        @wraps(function)
        def run(**given: Any) -> int:
            shared = {option: given.pop(option) for option in _SHARED}
            screen = Screen(as_json=shared.pop("as_json"))
            place = Place.of(**shared, environment=os.environ, folder=Path.cwd())
            pipeline = Pipeline(place)
            try:
                return function(Operator(pipeline=pipeline, screen=screen), **given) or Exit.DONE
            except (OperatorError, KeyboardInterrupt):
                raise
            except Exception as error:
                meant = explained(error, stage=pipeline.stage, where=pipeline.where)
                if meant is None:
                    raise
                raise meant from error

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared = [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for option, (annotation, default) in _SHARED.items()
        ]
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {}
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
def _status(at: Operator) -> None:
    """What waits, who has the lock, what runs.

    Files in the landing folder and how many are missing for a batch; the lock, its owner and
    whether that is alive; the runs that go on and the states they are in.
    """
    found = status.look(at.pipeline)
    at.screen.show(found, *status.draw(found))


@command("runs")
def _runs(
    at: Operator,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help=f"Only {', '.join(history.STATES)}."),
    ] = None,
) -> None:
    """The latest runs, newest first.

    Runs of the last twelve months, with their files, rows, dates and estimated cost.
    """
    found = history.latest(at.pipeline, limit, history.parse_state(state))
    at.screen.show(
        history.documents(found), history.draw_list(found) if found else "no such runs yet"
    )


@command("show")
def _show(at: Operator, *, run: RunId) -> None:
    """One run in all its detail.

    Its states and how long each took, the verdict on its files, its cost, why it failed, and the
    message about it.
    """
    found = history.show(at.pipeline, run)
    at.screen.show(found, *history.draw(found))


@command("quarantine")
def _quarantine(
    at: Operator,
    *,
    run: RunId,
    rows: Annotated[int, typer.Option(min=0, help="How many of the bad rows to show.")] = 20,
    download: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Bring all of it to DIR/RUN: rows.csv and the files."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """What a run has put into quarantine.

    Files and rows with all their reasons; --download brings the whole of them.
    """
    if download is None:
        found = quarantine.look(at.pipeline, run, rows)
        at.screen.show(found, *quarantine.draw(found))
        return
    items = quarantine.downloads(at.pipeline, run, download)
    if not dry_run:
        quarantine.download(at.pipeline, items, at.screen)
    at.screen.show(items, *quarantine.draw_downloads(items, dry_run=dry_run))


@command("kpis")
def _kpis(
    at: Operator,
    *,
    category: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of this category.", autocompletion=completion.categories
        ),
    ] = None,
    first: From = None,
    last: To = None,
) -> None:
    """KPIs by day, of all orders or a category.

    Without dates, 30 days up to the newest that has KPIs. Money and rates are exact decimals;
    in JSON they are text.
    """
    start_date, end_date = kpis.choose_dates(at.pipeline, first, last)
    if category is None:
        found = kpis.daily(at.pipeline, start_date, end_date)
    else:
        found = kpis.of_category(at.pipeline, category, start_date, end_date)
    at.screen.show(found, *kpis.draw(found))


@command("replay")
def _replay(at: Operator, *, run: RunId, wait: Wait = False, dry_run: DryRun = False) -> int:
    """Do once more what a run did.

    Of a failed run, its files in the landing folder; of a finished one, those in processed/; of
    a backfill or rebuild, the same again.
    """
    return _start(at, start.replay(at.pipeline, run), wait=wait, dry_run=dry_run)


@command("backfill")
def _backfill(
    at: Operator,
    *,
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first order date.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="The last, included.")],
    wait: Wait = False,
    dry_run: DryRun = False,
) -> int:
    """Publish the KPIs of some dates again.

    They are computed from what the ledger holds, both dates included.
    `python -m spark_jobs.transform --dry-run` shows, item by item, what a run would change.
    """
    dates = parse_range(first, last)
    return _start(at, start.backfill(at.pipeline, *dates), wait=wait, dry_run=dry_run)


@command("rebuild")
def _rebuild(at: Operator, *, wait: Wait = False, dry_run: DryRun = False) -> int:
    """Make a fresh ledger, and all KPIs anew.

    It reads every file that was ever processed.
    """
    return _start(at, start.rebuild(at.pipeline), wait=wait, dry_run=dry_run)


@command("unlock")
def _unlock(at: Operator, *, dry_run: DryRun = False) -> None:
    """Free a lock whose run is dead.

    A lock that is alive stays (exit code 6), and you are told whose it is.
    """
    found = unlock.unlock(at.pipeline, dry_run=dry_run)
    at.screen.show(found, found.text)


@command("redrive")
def _redrive(
    at: Operator,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters back to their functions.

    Dead letters are events that a function has failed on three times. One leaves the queue
    only once its function has taken the event.
    """
    done = redrive.redrive(at.pipeline, limit=limit, dry_run=dry_run, screen=at.screen)
    at.screen.show(done, *redrive.draw(done))


@command("doctor")
def _doctor(at: Operator) -> int:
    """Check that everything is in its place.

    Credentials, clock, stack, settings, versioning, what uploads call, functions, schedule,
    tables, state machine, images, Java, dead letters, lock: each ok, or a problem and its fix.
    """
    from . import doctor

    found = doctor.examine(at.pipeline, at.screen)
    at.screen.show(found, *doctor.draw(found))
    return Exit.DONE if all(finding.ok for finding in found) else Exit.BAD


@command("logs")
def _logs(
    at: Operator,
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
    """Everything that a run has logged.

    Functions, containers and the state machine, by time: from CloudWatch Logs and the
    execution's history.
    """
    sources, least = log_lines.parse_sources(only), log_lines.parse_level(level)
    with at.screen.busy("reading the logs"):
        found = log_lines.collect(at.pipeline, run, sources, least)
    at.screen.show(found, *(() if at.screen.as_json else log_lines.draw(found)))


@command("policy")
def _policy(
    at: Operator,
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Without what starts, frees and sends back.")
    ] = False,
) -> None:
    """Print the IAM policy that all this needs.

    It names the stage's own resources, and holds no action that no command uses.
    """
    at.screen.show_json(policy.document(at.pipeline, read_only=read_only))


def _start(at: Operator, order: start.Order, *, wait: bool, dry_run: bool) -> int:
    if not dry_run:
        start.start(at.pipeline, order)
    if dry_run or not wait:
        at.screen.show(order, *start.draw(order, dry_run=dry_run))
        return Exit.DONE
    at.screen.note("\n".join(start.draw(order, dry_run=False)))
    ended = start.wait(at.pipeline, order.run_id, at.screen)
    at.screen.show(ended, *history.draw(ended))
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
        return _fail("stopped; what was started goes on", Exit.INTERRUPTED)
    except BrokenPipeError:
        # `shopkpi logs … | head`: the reader has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as error:
        if os.environ.get("SHOPKPI_TRACE"):
            raise
        return _fail(
            f"{type(error).__name__}: {error}: nobody has foreseen this; SHOPKPI_TRACE=1 shows "
            "where it happened, please report it",
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
