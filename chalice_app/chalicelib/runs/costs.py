"""Estimates the cost of a run, in US dollars, from its timeline and a table of prices.

Storage, logs and the network are not included, and the free tier of AWS is not subtracted.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from contract.states import CONTAINERS, FUNCTION_STATES, State

from ..prices import PriceTable, Sizes, TaskSize
from .timeline import Attempt, Timeline

# Fargate bills a container by the second, and at least a minute.
_LEAST_CONTAINER_SECONDS: Final = 60
# A transactional write of an item of up to 1 KB.
_UNITS_OF_A_KPI: Final = 2
# A run's record is written three times, with its copy in the index; it has 1 to 2 KB.
_UNITS_OF_A_RECORD: Final = 12
# S3: a claimed file is copied once and read once; around that a run writes and reads its
# documents, reports, the lock and the ledger.
_WRITES_OF_A_FILE, _READS_OF_A_FILE = 1, 1
_WRITES_OF_A_RUN, _READS_OF_A_RUN = 40, 60
_MICRODOLLAR: Final = Decimal("0.000001")


def estimate(
    timeline: Timeline, *, files: int, kpi_writes: int, sizes: Sizes, prices: PriceTable
) -> dict[str, Decimal | None]:
    """Return dollars by service; None is unknown. ``kpi_writes``: KPI items written or deleted."""
    containers = sum(
        (
            _container(attempt, sizes.container(name), prices)
            for state, name in CONTAINERS.items()
            for attempt in timeline.attempts.get(state, ())
        ),
        Decimal(0),
    )
    calls = [a.seconds for state in FUNCTION_STATES for a in timeline.attempts.get(state, ())]
    function_gb_seconds = _decimal(sum(calls)) * sizes.function_mib / 1024
    costs: dict[str, Decimal | None] = {
        "fargate": containers,
        "lambda": function_gb_seconds * prices.lambda_gb_second
        + len(calls) * prices.lambda_request,
        "step_functions": timeline.transitions * prices.step_functions_transition,
        "dynamodb": (kpi_writes * _UNITS_OF_A_KPI + _UNITS_OF_A_RECORD)
        * prices.dynamodb_write_unit,
        "s3": (files * _WRITES_OF_A_FILE + _WRITES_OF_A_RUN) * prices.s3_write_request
        + (files * _READS_OF_A_FILE + _READS_OF_A_RUN) * prices.s3_read_request,
    }
    if jobs := timeline.attempts.get(State.TRANSFORM_BIG_BATCH):
        costs["emr_serverless"] = _jobs(jobs, prices)
    return {
        service: None if cost is None else cost.quantize(_MICRODOLLAR)
        for service, cost in costs.items()
    }


def _container(attempt: Attempt, size: TaskSize, prices: PriceTable) -> Decimal:
    billed = _decimal(max(attempt.seconds, _LEAST_CONTAINER_SECONDS))
    return billed * size.hour(prices, on_spot=attempt.on_spot) / Decimal(3600)


def _jobs(attempts: Iterable[Attempt], prices: PriceTable) -> Decimal | None:
    """Return None if the usage of a job is unknown: its size changes while it runs."""
    total = Decimal(0)
    for attempt in attempts:
        if attempt.usage is None:
            return None
        total += (
            attempt.usage.vcpu_hours * prices.emr_vcpu_hour
            + attempt.usage.memory_gb_hours * prices.emr_gb_hour
            + attempt.usage.storage_gb_hours * prices.emr_storage_gb_hour
        )
    return total


def _decimal(seconds: float) -> Decimal:
    return Decimal(str(round(seconds, 3)))
