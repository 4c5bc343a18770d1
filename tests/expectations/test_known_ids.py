"""Lines may refer to what earlier runs accepted; what is too large to look up is not held back."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from contract.known_ids import KnownIds, OrderFile
from delivery.storage import Folder
from expectations.known_ids import KnownBefore
from tests.conftest import write_delivery
from tests.spark_jobs.deliveries import PRODUCTS, line, order

from .conftest import Validate


def parquet(path: Path, column: str, ids: Sequence[str]) -> Path:
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT unnest($ids) AS {column}) TO '{path}' (FORMAT parquet)", {"ids": ids}
        )
    return path


def known(folder: Path, *files: Sequence[str], max_bytes: int = 10_000_000) -> KnownBefore:
    """Return a ledger's list: the products p1 and p2, and one file for each of these order ids."""
    folder.mkdir()
    parquet(folder / "products.parquet", "product_id", ["p1", "p2"])
    orders = []
    for number, ids in enumerate(files):
        path = parquet(folder / f"{number}.parquet", "order_id", ids)
        orders.append(
            OrderFile(key=path.name, size=path.stat().st_size, first_id=min(ids), last_id=max(ids))
        )
    ids = KnownIds(
        ledger="ledger/main", ledger_version=1, products="products.parquet", orders=tuple(orders)
    )
    return KnownBefore(storage=Folder(folder), ids=ids, max_bytes=max_bytes)


def test_lines_of_orders_of_earlier_days_are_accepted_and_those_of_unknown_ones_held_back(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = {"order_items_1.csv": [line("b2"), line("b3"), line("a1", "p9")]}
    outcome = validate_folder(
        write_delivery(tmp_path / "files", files),
        known=known(tmp_path / "known", ["a1", "a9"], ["b1", "b2", "b4"]),
    )
    [file] = outcome.verdict["files"]
    assert (file["accepted_rows"], file["held_rows"]) == (1, 2)
    assert file["reasons"] == {"unknown_order": 1, "unknown_product": 1}
    assert outcome.verdict["warnings"] == []


def test_only_files_whose_range_has_an_id_that_the_delivery_lacks_are_read(
    validate_folder: Validate, tmp_path: Path
) -> None:
    before = known(tmp_path / "known", ["a1", "a9"], ["b1", "b9"])
    (tmp_path / "known" / "0.parquet").unlink()
    files = {"orders_1.csv": [order("a5")], "order_items_1.csv": [line("a5"), line("b9")]}
    outcome = validate_folder(write_delivery(tmp_path / "files", files), known=before)
    assert outcome.verdict["outcome"] == "accepted"


@pytest.mark.parametrize("reason", ["too large", "deleted"])
def test_a_line_whose_order_cannot_be_looked_up_is_left_to_the_ledger(
    validate_folder: Validate, tmp_path: Path, reason: str
) -> None:
    before = known(
        tmp_path / "known", ["a1", "a9"], max_bytes=10 if reason == "too large" else 10_000
    )
    if reason == "deleted":
        (tmp_path / "known" / "0.parquet").unlink()
    files = {"order_items_1.csv": [line("a5"), line("c1")]}
    outcome = validate_folder(write_delivery(tmp_path / "files", files), known=before)
    [file] = outcome.verdict["files"]
    assert (file["accepted_rows"], file["held_rows"]) == (1, 1)
    assert file["reasons"] == {"unknown_order": 1}
    [warning] = outcome.verdict["warnings"]
    assert (warning["reason"], warning["count"]) == ("order_left_to_ledger", 1)


def test_an_order_that_is_returned_without_its_lines_is_not_reported_when_it_was_known(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = {
        "orders_1.csv": [order("a1", status="returned"), order("c1")],
        "order_items_1.csv": [line("c1") | {"unit_price": "10.00"}],
    }
    outcome = validate_folder(
        write_delivery(tmp_path / "files", files), known=known(tmp_path / "known", ["a1", "a9"])
    )
    assert (outcome.verdict["outcome"], outcome.verdict["warnings"]) == ("accepted", [])


def test_a_product_that_is_in_quarantine_now_and_was_accepted_before_is_known(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = {
        "products.csv": [PRODUCTS[0] | {"price": "free"}, PRODUCTS[1]],
        "order_items_1.csv": [line("a1", "p1")],
    }
    outcome = validate_folder(
        write_delivery(tmp_path / "files", files), known=known(tmp_path / "known", ["a1"])
    )
    assert outcome.verdict["totals"]["held_rows"] == 0
