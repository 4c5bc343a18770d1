"""The arithmetic of docs/costs.md."""

import re
from decimal import Decimal

import pytest

from chalice_app.chalicelib.prices import PriceTable
from chalice_app.chalicelib.runs import metrics
from infra.template import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs/costs.md").read_text(encoding="utf-8")
NUMBER = r"[\d.]+"
ROW = re.compile(rf"^\| ([^|*]+) \| ({NUMBER}) \| ({NUMBER}) \| ({NUMBER}) \|$", re.MULTILINE)
SUM = re.compile(rf"^\| \*\*sum\*\* \| \| \| \*\*({NUMBER})\*\* \|$", re.MULTILINE)


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("title", "rows"), [("One run", 10), ("One month", 12)])
def test_every_row_is_quantity_times_price_and_the_sum_is_their_sum(title: str, rows: int) -> None:
    found = ROW.findall(section(title))
    assert len(found) == rows
    for name, quantity, price, cost in found:
        exact = Decimal(quantity) * Decimal(price)
        assert exact.quantize(Decimal(cost)) == Decimal(cost), name
    [total] = SUM.findall(section(title))
    assert sum(Decimal(cost) for *_, cost in found) == Decimal(total)


def test_a_month_has_the_price_of_a_run() -> None:
    [total] = SUM.findall(section("One run"))
    assert f"| runs | 120 | {total} |" in section("One month")


def test_a_month_has_as_many_metrics_as_are_written() -> None:
    rows = re.findall(
        rf"^\| own metrics of [a-z ]+: (\d+) in (\d+) of 720 hours \| ({NUMBER}) \| ({NUMBER}) ",
        section("One month"),
        re.MULTILINE,
    )
    assert [int(number) for number, *_ in rows] == [
        len(metrics.OF_A_RUN),
        len(metrics.WAITING),
    ]
    for number, hours, quantity, _ in rows:
        exact = Decimal(number) * Decimal(hours) / 720
        assert exact.quantize(Decimal(quantity)) == Decimal(quantity)
    always = (len(metrics.OF_A_RUN) + len(metrics.WAITING)) * Decimal(rows[0][3])
    assert f"the two rows\nare {always}." in section("One month")


def test_the_prices_are_those_of_the_run_records() -> None:
    prices, run = PriceTable(), section("One run")
    for price in (
        prices.fargate_vcpu_hour,
        prices.fargate_gb_hour,
        prices.lambda_gb_second,
        prices.step_functions_transition,
        prices.dynamodb_write_unit,
        prices.s3_write_request,
        prices.s3_read_request,
    ):
        assert f"| {price:f} |" in run, price
