"""The arithmetic of docs/scale.md: its formulas give its figures, from what is measured and set."""

import ast
import json
import math
import operator
import re
from decimal import Decimal
from pathlib import Path

import pytest

from chalice_app.chalicelib.prices import PriceTable
from chalice_app.chalicelib.settings import Settings
from spark_jobs.publish.tables import MAX_ACTIONS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text()
STATES = json.loads((ROOT / "statemachine.asl.json").read_text())["States"]
SIZES = {"10 GB": 10e9, "1 TB": 1e12, "100 TB": 100e12}
_OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}
_FUNCTIONS = {"ceil": math.ceil, "max": max}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first column is called so."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, heading
    lines = table[1].splitlines()
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def number(text: str) -> float:
    return float(text.replace(",", ""))


GIVEN = {name: number(value) for name, value, _ in rows("given")}
FIGURES = rows("per day")


def evaluate(formula: str, names: dict[str, float]) -> float:
    """Sums, products, quotients, ceil and max over names and numbers; nothing else."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as constant):
                return constant
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _FUNCTIONS[name](*map(value, arguments))
        raise ValueError(ast.dump(node))

    return value(ast.parse(formula, mode="eval").body)


def shown(value: float) -> str:
    """Three digits that count, as the page writes them."""
    places = max(0, 2 - math.floor(math.log10(value)))
    return f"{round(value, 2 - math.floor(math.log10(value))):,.{places}f}"


@pytest.mark.parametrize("size", SIZES)
def test_every_figure_is_what_its_formula_gives(size: str) -> None:
    names = GIVEN | {"day_bytes": SIZES[size]}
    column = 2 + list(SIZES).index(size)
    wrong = []
    for name, formula, *cells in FIGURES:
        names[name] = evaluate(formula, names)
        if cells[column - 2] != shown(names[name]):
            wrong.append(f"{name} = {formula}: {cells[column - 2]}, not {shown(names[name])}")
    assert wrong == []


def test_what_is_measured_is_what_the_benchmarks_say() -> None:
    bench = (ROOT / "bench" / "README.md").read_text()
    [sail] = re.findall(r"^\| sail \| (.*) \|$", bench, re.MULTILINE)
    [validator] = re.findall(r"^\| validator \| ([\d., |]+) \|$", bench, re.MULTILINE)
    _, _, _, m_cpu, _, _, l_wall, l_peak, _ = sail.split(" | ")
    wall, cpu, peak = validator.split(" | ")
    assert {name: GIVEN[name] for name in GIVEN if name.startswith(("m_", "l_"))} == {
        "m_bytes": GIVEN["m_bytes"],
        "l_bytes": GIVEN["l_bytes"],
        "m_orders": 1e6,
        "m_validate_seconds": float(wall),
        "m_validate_cpu_seconds": float(cpu),
        "m_validate_peak_mb": float(peak),
        "m_transform_cpu_seconds": float(m_cpu),
        "l_transform_seconds": float(l_wall),
        "l_transform_peak_mb": float(l_peak),
    }


def test_what_is_set_is_what_the_code_and_the_machine_have() -> None:
    settings = Settings(bucket="b", state_machine_arn="arn:x:stateMachine:x")
    assert GIVEN["batch_files"] == settings.max_batch_files
    assert GIVEN["validate_limit_seconds"] == STATES["ValidateFiles"]["TimeoutSeconds"]
    assert GIVEN["transform_limit_seconds"] == STATES["TransformFiles"]["TimeoutSeconds"]
    assert GIVEN["transaction_items"] == MAX_ACTIONS


def test_prices_are_those_of_a_runs_own_estimate() -> None:
    prices = PriceTable()
    assert {name: Decimal(str(GIVEN[f"usd_{name}"])) for name in (
        "fargate_vcpu_hour", "fargate_gb_hour", "dynamodb_write_unit", "s3_write_request",
        "s3_read_request",
    )} == {
        "fargate_vcpu_hour": prices.fargate_vcpu_hour,
        "fargate_gb_hour": prices.fargate_gb_hour,
        "dynamodb_write_unit": prices.dynamodb_write_unit,
        "s3_write_request": prices.s3_write_request,
        "s3_read_request": prices.s3_read_request,
    }  # fmt: skip
