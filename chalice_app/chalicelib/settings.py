"""The settings of the Lambda functions: the only reader of the environment in this package."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, Self, TypeVar, get_args

from contract.keys import INCOMING, LOCK, WAITING_SINCE

from .prices import PriceTable, Sizes, TaskSize

T = TypeVar("T")
Check = Literal["volume", "return_rate", "avg_order_value", "freshness"]
# What SILENCED_WARNINGS takes.
WARNINGS: Final = ("quarantined_rows", "ambiguous_amounts", *get_args(Check))
# How many weeks before a day it is compared with.
HISTORY_WEEKS: Final = 8


class SettingsError(ValueError):
    """A setting is missing or cannot be used; the message names the variable."""


def _require(env: Mapping[str, str], *names: str) -> None:
    missing = [name for name in names if not env.get(name, "").strip()]
    if missing:
        raise SettingsError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: after make "
            "deploy the outputs of the stack have them, after make localcloud run: "
            ". .localcloud/functions.environment"
        )


def _state_machine_arn(env: Mapping[str, str]) -> str:
    arn = env["STEP_FUNCTION_ARN"].strip()
    if ":stateMachine:" not in arn:
        raise SettingsError(
            f"STEP_FUNCTION_ARN is {arn!r}, not a state machine's ARN: "
            "take StateMachineArn from the outputs of infra/"
        )
    return arn


# These read the text of a variable, and raise ValueError with what follows its name in a message.


def _folder(text: str) -> str:
    return text if text.endswith("/") else f"{text}/"


def _count(text: str, *, least: int = 0, most: int | None = None) -> int:
    if text.isdecimal() and least <= int(text) and (most is None or int(text) <= most):
        return int(text)
    limits = f"{least} or more" if most is None else f"from {least} to {most}"
    raise ValueError(f"is {text!r}: give a whole number, {limits}")


def _duration(text: str, *, unit: Literal["minutes", "seconds"]) -> timedelta:
    try:
        found = timedelta(**{unit: float(text)})
    except (OverflowError, ValueError):
        found = timedelta(-1)
    if found < timedelta(0):
        raise ValueError(f"is {text!r}: give a number of {unit}, 0 or more")
    return found


def _window(text: str) -> timedelta:
    """A function that waits longer has no time for its check: it ends after 60 s."""
    found = _duration(text, unit="seconds")
    if found > timedelta(seconds=30):
        raise ValueError(f"is {text!r}: give a number of seconds, 0 to 30")
    return found


def _silenced(text: str) -> frozenset[str]:
    given = {word.strip() for word in text.split(",")} - {"", "none"}
    if unknown := sorted(given - {*WARNINGS}):
        raise ValueError(
            f"has {unknown[0]!r}: there are {', '.join(WARNINGS)}; "
            "give some of them, separated by commas, or none"
        )
    return frozenset(given)


def _variable(name: str, parse: Callable[[str], T], default: T) -> T:
    """Declare a setting that an environment variable gives; an empty variable is not set."""
    declared: T = field(default=default, metadata={"variable": name, "parse": parse})
    return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``waiting_key`` is the object that says since when files wait for the thresholds.

    Without ``topic_arn`` no message is sent.
    """

    bucket: str
    state_machine_arn: str
    prefix: str = _variable("S3_PREFIX", _folder, INCOMING)
    lock_key: str = _variable("LOCK_KEY", str, LOCK)
    waiting_key: str = _variable("THRESHOLD_MET_TIMESTAMP_KEY", str, WAITING_SINCE)
    min_order_files: int = _variable("MIN_ORDER_FILES", _count, 5)
    min_item_files: int = _variable("MIN_ITEM_FILES", _count, 5)
    min_product_files: int = _variable("MIN_PRODUCT_FILES", _count, 1)
    force_after: timedelta = _variable(
        "FORCE_PROCESS_AFTER_MINUTES", partial(_duration, unit="minutes"), timedelta(minutes=30)
    )
    # How long the uploads are gathered that one check lists. A check is late by as much.
    check_window: timedelta = _variable("CHECK_WINDOW_SECONDS", _window, timedelta(seconds=2))
    max_batch_files: int = _variable("MAX_BATCH_FILES", partial(_count, least=1), 500)
    max_attempts: int = _variable("MAX_BATCH_ATTEMPTS", partial(_count, least=1), 3)
    # A function that dies between taking the lock and StartExecution blocks others for this long.
    # It must be longer than the function's own time-out (60 s).
    lock_grace: timedelta = _variable(
        "LOCK_GRACE_SECONDS", partial(_duration, unit="seconds"), timedelta(seconds=120)
    )
    runs_table: str = _variable("RUNS_TABLE", str, "PipelineRuns")
    category_kpis_table: str = _variable("CATEGORY_KPIS_TABLE", str, "CategoryKPIs")
    order_kpis_table: str = _variable("ORDER_KPIS_TABLE", str, "OrderKPIs")
    prices: PriceTable = _variable("PRICE_TABLE", PriceTable.parse, PriceTable())
    validator_size: TaskSize = _variable(
        "VALIDATOR_TASK_SIZE", TaskSize.parse, TaskSize(cpu_units=1024, memory_mib=4096)
    )
    transformer_size: TaskSize = _variable(
        "TRANSFORMER_TASK_SIZE", TaskSize.parse, TaskSize(cpu_units=1024, memory_mib=4096)
    )
    # Lambda itself sets this variable.
    function_mib: int = _variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _count, 512)
    stage: str = _variable("STAGE", str, "dev")
    topic_arn: str = _variable("TOPIC_ARN", str, "")
    silenced: frozenset[str] = _variable("SILENCED_WARNINGS", _silenced, frozenset())
    min_history: int = _variable(
        "MIN_HISTORY_WEEKS", partial(_count, least=1, most=HISTORY_WEEKS), 4
    )
    # UTC. The orders of a day are due by this hour of the next one.
    day_complete_hour: int = _variable("DAY_COMPLETE_HOUR", partial(_count, most=23), 6)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Raise SettingsError for a variable that is missing or cannot be used."""
        _require(env, "S3_BUCKET", "STEP_FUNCTION_ARN")
        given: dict[str, Any] = {}
        for setting in fields(cls):
            variable = setting.metadata.get("variable", "")
            if text := env.get(variable, "").strip():
                try:
                    given[setting.name] = setting.metadata["parse"](text)
                except ValueError as error:
                    raise SettingsError(f"{variable} {error}") from error
        return cls(
            bucket=env["S3_BUCKET"].strip(), state_machine_arn=_state_machine_arn(env), **given
        )

    @property
    def sizes(self) -> Sizes:
        return Sizes(
            validator=self.validator_size,
            transformer=self.transformer_size,
            function_mib=self.function_mib,
        )

    @property
    def place(self) -> tuple[str, str, str]:
        """Return the partition, region and account that the pipeline is deployed to."""
        _, partition, _, region, account, *_ = self.state_machine_arn.split(":")
        return partition, region, account

    def execution_arn(self, run_id: str) -> str:
        """Return the ARN of the execution of that name: run ids are execution names."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{run_id}"


def settings_or_exit(env: Mapping[str, str]) -> Settings:
    """Return the settings, or end with one line: Chalice prints the traceback of an exception."""
    try:
        return Settings.from_env(env)
    except SettingsError as error:
        # chalice local imports the app in a thread of this worker, and would wait for ever.
        if "CHALICE_WORKER" in env:
            print(f"error: {error}", file=sys.stderr, flush=True)
            os._exit(2)
        raise SystemExit(f"error: {error}") from error
