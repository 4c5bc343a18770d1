"""The trigger's settings: the only reader of the environment in this package."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, Self, get_args

from contract.keys import INCOMING, LOCK, WAITING_SINCE

from .prices import PriceError, PriceTable, Sizes, TaskSize

Check = Literal["volume", "return_rate", "avg_order_value", "freshness"]
# What SILENCED_WARNINGS takes.
WARNINGS: Final = ("quarantined_rows", *get_args(Check))
# How many weeks before a day it is compared with.
HISTORY_WEEKS: Final = 8
_LAST_HOUR: Final = 23


class SettingsError(ValueError):
    """A setting is missing or cannot be used; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What DESIGN calls the Lambda environment, parsed.

    ``waiting_key`` is THRESHOLD_MET_TIMESTAMP_KEY: the object that says since when
    files have been waiting for the thresholds.
    """

    bucket: str
    state_machine_arn: str
    prefix: str = INCOMING
    lock_key: str = LOCK
    waiting_key: str = WAITING_SINCE
    min_order_files: int = 5
    min_item_files: int = 5
    min_product_files: int = 1
    force_after: timedelta = timedelta(minutes=30)
    max_batch_files: int = 500
    max_attempts: int = 3
    # A Lambda that dies between taking the lock and StartExecution blocks others for
    # this long. It must be longer than the function's own time-out (60 s).
    lock_grace: timedelta = timedelta(seconds=120)
    runs_table: str = "PipelineRuns"
    category_kpis_table: str = "CategoryKPIs"
    order_kpis_table: str = "OrderKPIs"
    prices: PriceTable = field(default_factory=PriceTable)
    sizes: Sizes = field(default_factory=Sizes)
    stage: str = "dev"
    # Empty where nobody is told anything: outside the deployed functions.
    topic_arn: str = ""
    silenced: frozenset[str] = frozenset()
    min_history: int = 4
    # UTC. A day's orders ought to have arrived by this hour of the next one.
    day_complete_hour: int = 6

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Raise SettingsError for a missing or unreadable variable."""
        return cls(
            bucket=required(env, "S3_BUCKET"),
            state_machine_arn=_state_machine_arn(env),
            prefix=_folder(env, "S3_PREFIX", INCOMING),
            lock_key=env.get("LOCK_KEY") or LOCK,
            waiting_key=env.get("THRESHOLD_MET_TIMESTAMP_KEY") or WAITING_SINCE,
            min_order_files=_count(env, "MIN_ORDER_FILES", 5),
            min_item_files=_count(env, "MIN_ITEM_FILES", 5),
            min_product_files=_count(env, "MIN_PRODUCT_FILES", 1),
            force_after=timedelta(minutes=_amount(env, "FORCE_PROCESS_AFTER_MINUTES", 30)),
            max_batch_files=max(1, _count(env, "MAX_BATCH_FILES", 500)),
            max_attempts=max(1, _count(env, "MAX_BATCH_ATTEMPTS", 3)),
            lock_grace=timedelta(seconds=_amount(env, "LOCK_GRACE_SECONDS", 120)),
            runs_table=env.get("RUNS_TABLE") or "PipelineRuns",
            category_kpis_table=env.get("CATEGORY_KPIS_TABLE") or "CategoryKPIs",
            order_kpis_table=env.get("ORDER_KPIS_TABLE") or "OrderKPIs",
            prices=_prices(env),
            sizes=Sizes(
                validator=_task_size(env, "VALIDATOR_TASK_SIZE", "1024/4096"),
                transformer=_task_size(env, "TRANSFORMER_TASK_SIZE", "1024/4096"),
                # Lambda itself sets it.
                function_mib=_count(env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 512),
            ),
            stage=env.get("STAGE") or "dev",
            topic_arn=env.get("TOPIC_ARN") or "",
            silenced=_silenced(env, "SILENCED_WARNINGS"),
            min_history=_count_of(env, "MIN_HISTORY_WEEKS", 4, least=1, most=HISTORY_WEEKS),
            day_complete_hour=_count_of(env, "DAY_COMPLETE_HOUR", 6, least=0, most=_LAST_HOUR),
        )

    @property
    def place(self) -> tuple[str, str, str]:
        """Return the partition, region and account that the pipeline is deployed to."""
        _, partition, _, region, account, *_ = self.state_machine_arn.split(":")
        return partition, region, account

    def execution_arn(self, run_id: str) -> str:
        """Return the ARN of the execution of that name: run ids are execution names."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{run_id}"


def required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set: deploy infra/ first, its outputs hold the value")
    return value


def _state_machine_arn(env: Mapping[str, str]) -> str:
    arn = required(env, "STEP_FUNCTION_ARN")
    if ":stateMachine:" not in arn:
        raise SettingsError(
            f"STEP_FUNCTION_ARN is {arn!r}, not a state machine's ARN: "
            "take StateMachineArn from the outputs of infra/"
        )
    return arn


def _folder(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name) or default
    return value if value.endswith("/") else f"{value}/"


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        raise SettingsError(f"{name} is {text!r}: give a whole number such as {default}")
    return int(text)


def _count_of(env: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    count = _count(env, name, default)
    if not least <= count <= most:
        raise SettingsError(f"{name} is {count}: give a number from {least} to {most}")
    return count


def _silenced(env: Mapping[str, str], name: str) -> frozenset[str]:
    given = {word.strip() for word in env.get(name, "").split(",")} - {"", "none"}
    if unknown := sorted(given - {*WARNINGS}):
        raise SettingsError(
            f"{name} has {unknown[0]!r}: there are {', '.join(WARNINGS)}; "
            "give some of them, separated by commas, or none"
        )
    return frozenset(given)


def _amount(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        value = float(text) if text else float(default)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: give a number such as {default}") from error
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {text!r}: give a positive number such as {default}")
    return value


def _prices(env: Mapping[str, str]) -> PriceTable:
    try:
        return PriceTable.parse(env.get("PRICE_TABLE") or "{}")
    except PriceError as error:
        raise SettingsError(f"PRICE_TABLE {error}") from error


def _task_size(env: Mapping[str, str], name: str, default: str) -> TaskSize:
    text = env.get(name, "").strip() or default
    cpu_units, _, memory_mib = text.partition("/")
    if not (cpu_units.isdecimal() and memory_mib.isdecimal()):
        raise SettingsError(f"{name} is {text!r}: give CPU units and MiB such as {default}")
    return TaskSize(cpu_units=int(cpu_units), memory_mib=int(memory_mib))
