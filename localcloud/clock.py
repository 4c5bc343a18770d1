"""Faster time in the embedded AWS: every wait is multiplied by one setting.

Waits are the Wait states, the intervals between retries and the schedules of rules.
Time-outs are not scaled, because work is not faster.
"""

import time
from types import SimpleNamespace
from typing import Any

import moto.stepfunctions.parser.asl.component.common.retry.retrier_decl as retrier
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import (
    WaitFunction,
)


def install(time_scale: float) -> None:
    """Multiply Step Functions' waits by ``time_scale``."""

    def wait_interval(self: Any, env: Any, wait_seconds: float) -> None:
        del self
        ends = time.monotonic() + wait_seconds * time_scale
        # The event is set when the state times out or the execution is stopped.
        while env.is_running() and (left := ends - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    WaitFunction._wait_interval = wait_interval  # type: ignore[method-assign]
    scaled: Any = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * time_scale))
    retrier.time = scaled  # type: ignore[attr-defined]
