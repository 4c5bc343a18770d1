"""The trigger's settings: the only reader of the environment in this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self


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
    prefix: str = "incoming/"
    lock_key: str = "incoming/pipeline.lock"
    waiting_key: str = "incoming/threshold_not_met_timestamp.json"
    min_order_files: int = 5
    min_item_files: int = 5
    min_product_files: int = 1
    force_after: timedelta = timedelta(minutes=30)
    max_batch_files: int = 500
    max_attempts: int = 3
    # A Lambda that dies between taking the lock and StartExecution blocks others for
    # this long. It must be longer than the function's own time-out (60 s).
    lock_grace: timedelta = timedelta(seconds=120)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Raise SettingsError for a missing or unreadable variable."""
        return cls(
            bucket=required(env, "S3_BUCKET"),
            state_machine_arn=_state_machine_arn(env),
            prefix=_folder(env, "S3_PREFIX", "incoming/"),
            lock_key=env.get("LOCK_KEY") or "incoming/pipeline.lock",
            waiting_key=env.get("THRESHOLD_MET_TIMESTAMP_KEY")
            or "incoming/threshold_not_met_timestamp.json",
            min_order_files=_count(env, "MIN_ORDER_FILES", 5),
            min_item_files=_count(env, "MIN_ITEM_FILES", 5),
            min_product_files=_count(env, "MIN_PRODUCT_FILES", 1),
            force_after=timedelta(minutes=_amount(env, "FORCE_PROCESS_AFTER_MINUTES", 30)),
            max_batch_files=max(1, _count(env, "MAX_BATCH_FILES", 500)),
            max_attempts=max(1, _count(env, "MAX_BATCH_ATTEMPTS", 3)),
            lock_grace=timedelta(seconds=_amount(env, "LOCK_GRACE_SECONDS", 120)),
        )

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


def _amount(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        value = float(text) if text else float(default)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: give a number such as {default}") from error
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {text!r}: give a positive number such as {default}")
    return value
