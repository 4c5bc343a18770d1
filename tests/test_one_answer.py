"""The stand-alone job and the validator give the same answer, row by row and reason by reason."""

from pathlib import Path

import pytest

from delivery.bad_row_limit import BadRowLimit
from samples import generate
from tests.conftest import ROOT, write_delivery

from .one_answer import compare, random_delivery


@pytest.mark.parametrize("folder", sorted(ROOT.glob("samples/incoming*")), ids=lambda p: p.name)
def test_both_give_the_same_answer_for_each_sample(folder: Path) -> None:
    accepted, _, _ = compare(folder).rows
    assert accepted > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("percent", [0, 10, 100])
def test_both_give_the_same_answer_for_a_dirty_delivery(
    seed: int, percent: float, tmp_path: Path
) -> None:
    assert generate.main(["--output", str(tmp_path), "--dirty", "--seed", str(seed)]) == 0
    answer = compare(tmp_path / "incoming", BadRowLimit(percent=percent, least=1))
    # With 0 percent every file of order items is rejected whole, and no line is left to wait.
    outcomes = {"file_rejected", "file_skipped", "quarantined"} | ({"held"} if percent else set())
    assert {outcome for *_, outcome in answer.left_out} == outcomes


@pytest.mark.parametrize("seed", range(8))
def test_both_give_the_same_answer_for_a_random_delivery(seed: int, tmp_path: Path) -> None:
    compare(random_delivery(tmp_path / "incoming", seed))


def test_rules_on_values_apply_without_great_expectations(tmp_path: Path) -> None:
    files = {
        "products.csv": [{"product_id": "P1", "category": "A", "name": "n", "price": "1"}],
        "orders_1.csv": [
            {
                "order_id": order,
                "user_id": "U",
                "order_date": "2026-02-01",
                "total_amount": amount,
                "status": status,
            }
            for order, amount, status in (
                ("O1", "10.00", "delivered"),
                ("O2", "-10.00", "delivered"),
                ("O3", "1.00", "lost"),
            )
        ],
        "order_items_1.csv": [
            {"order_id": order, "product_id": "P1", "quantity": quantity, "unit_price": "1.00"}
            for order, quantity in (("O1", "1"), ("O1", "-1"), ("O2", "1"))
        ],
    }
    answer = compare(write_delivery(tmp_path, files))
    assert set(answer.left_out) == {
        ("orders_1.csv", 3, ("total_amount_out_of_range",), "quarantined"),
        ("orders_1.csv", 4, ("unknown_status",), "quarantined"),
        ("order_items_1.csv", 3, ("quantity_out_of_range",), "quarantined"),
        ("order_items_1.csv", 4, ("unknown_order",), "held"),
    }
    assert answer.rows == (3, 3, 1)
    assert answer.counted["orders"].total() == answer.counted["lines"].total() == 1
