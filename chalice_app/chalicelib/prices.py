"""The prices and sizes that the cost of a run is estimated with. Prices are in US dollars."""

import json
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Self


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

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1024/4096``, CPU units and MiB. Raises ValueError for anything else."""
        cpu_units, _, memory_mib = text.partition("/")
        if not (cpu_units.isdecimal() and memory_mib.isdecimal()):
            raise ValueError(f"is {text!r}: give CPU units and MiB such as 1024/4096")
        return cls(cpu_units=int(cpu_units), memory_mib=int(memory_mib))

    def hour(self, prices: PriceTable, *, on_spot: bool) -> Decimal:
        vcpu, gb = Decimal(self.cpu_units) / 1024, Decimal(self.memory_mib) / 1024
        if on_spot:
            return vcpu * prices.fargate_spot_vcpu_hour + gb * prices.fargate_spot_gb_hour
        return vcpu * prices.fargate_vcpu_hour + gb * prices.fargate_gb_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of the containers, and the memory of a Lambda function."""

    validator: TaskSize
    transformer: TaskSize
    function_mib: int

    def container(self, name: str) -> TaskSize:
        return self.validator if name == "validator" else self.transformer
