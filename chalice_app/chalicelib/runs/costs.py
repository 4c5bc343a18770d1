"""What a run costs, estimated from what it has done and a table of prices. In US dollars.

Storage, logs and the network are not in it: they are not a run's. Nor is anything that AWS
gives away each month.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Final, Self

from contract.states import CONTAINERS, FUNCTION_STATES, State

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


class PriceError(ValueError):
    """The price table cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """List prices of eu-north-1 for Linux on x86, in dollars, as of mid-2025."""

    fargate_vcpu_hour: Decimal = Decimal("0.0445")
    fargate_gb_hour: Decimal = Decimal("0.0049")
    # Spot's prices move: these are 70 % below, the most that AWS advertises.
    fargate_spot_vcpu_hour: Decimal = Decimal("0.01335")
    fargate_spot_gb_hour: Decimal = Decimal("0.00147")
    # Of us-east-1.
    emr_vcpu_hour: Decimal = Decimal("0.052624")
    emr_gb_hour: Decimal = Decimal("0.0057785")
    emr_storage_gb_hour: Decimal = Decimal("0.000111")
    lambda_gb_second: Decimal = Decimal("0.0000166667")
    lambda_request: Decimal = Decimal("0.0000002")
    step_functions_transition: Decimal = Decimal("0.000025")
    dynamodb_write_unit: Decimal = Decimal("0.00000067115")
    s3_write_request: Decimal = Decimal("0.000005")
    s3_read_request: Decimal = Decimal("0.0000004")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``{"fargate_vcpu_hour": "0.04", …}``; what it leaves out keeps its list price.

        Raises PriceError for anything else.
        """
        known = [field.name for field in fields(cls)]
        try:
            document = json.loads(text, parse_float=Decimal, parse_int=Decimal)
            given = {name: Decimal(price) for name, price in document.items()}
        except (AttributeError, TypeError, ValueError, InvalidOperation) as error:
            raise PriceError(f'is {text!r}: give JSON such as {{"{known[0]}": "0.05"}}') from error
        for name, price in given.items():
            if name not in known:
                raise PriceError(f"has {name!r}: the prices are {', '.join(known)}")
            if not price.is_finite() or price < 0:
                raise PriceError(f"has {name} = {price}: give dollars, 0 or more")
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSize:
    """A container's size as its task definition writes it: 1,024 CPU units are one vCPU."""

    cpu_units: int
    memory_mib: int

    def hour(self, prices: PriceTable, *, on_spot: bool) -> Decimal:
        vcpu, gb = Decimal(self.cpu_units) / 1024, Decimal(self.memory_mib) / 1024
        if on_spot:
            return vcpu * prices.fargate_spot_vcpu_hour + gb * prices.fargate_spot_gb_hour
        return vcpu * prices.fargate_vcpu_hour + gb * prices.fargate_gb_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large what runs is. ``function_mib`` is a Lambda function's memory."""

    validator: TaskSize = TaskSize(cpu_units=1024, memory_mib=4096)
    transformer: TaskSize = TaskSize(cpu_units=1024, memory_mib=4096)
    function_mib: int = 512

    def container(self, name: str) -> TaskSize:
        return self.validator if name == "validator" else self.transformer


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
    """Return None where one of them has not told what it used: a job's size changes as it runs."""
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
