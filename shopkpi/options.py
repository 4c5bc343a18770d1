"""The options that several commands have, and the function that adds those of every command."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from . import completion
from .aws_errors import explained
from .errors import Exit, OperatorError
from .pipeline import Pipeline, Target
from .screen import Screen

# The options of every command.
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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, and do nothing.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until the run ends; exit code 1 if it fails.")
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first order date.")]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last, included.")]
Category = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only this category.", autocompletion=completion.categories),
]


def with_shared_options(function: Callable[..., int | None]) -> Callable[..., int]:
    """Return a command for Typer: ``function`` gets a pipeline, a screen, and its own options.

    The command raises OperatorError for every known error, and returns an exit code.
    """

    @wraps(function)
    def run(**given: Any) -> int:
        shared = {option: given.pop(option) for option in _SHARED}
        screen = Screen(as_json=shared.pop("as_json"))
        target = Target.of(**shared, environment=os.environ, folder=Path.cwd())
        pipeline = Pipeline(target)
        try:
            return function(pipeline, screen, **given) or Exit.DONE
        except (OperatorError, KeyboardInterrupt):
            raise
        except Exception as error:
            known = explained(error, stage=pipeline.stage, where=pipeline.where)
            if known is None:
                raise
            raise known from error

    own = list(inspect.signature(function, eval_str=True).parameters.values())[2:]
    shared = [
        inspect.Parameter(
            option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for option, (annotation, default) in _SHARED.items()
    ]
    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run
