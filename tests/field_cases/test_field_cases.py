"""The same answer for each case stand-alone, on both engines, and from the validator."""

from decimal import Decimal
from pathlib import Path

import pytest

from contract.verdict import AMBIGUOUS
from delivery.bad_row_limit import BadRowLimit
from delivery.landed_files import files_in
from delivery.rejected_rows import RejectedRow
from spark_jobs import transform
from tests.conftest import Compute, write_delivery
from tests.expectations.conftest import NOW, Validate, clean_files
from tests.field_cases.cases import CASES, ITEMS, ORDERS, Case, line, order, table

NAMES = pytest.mark.parametrize("case", CASES.values(), ids=[*CASES])
# What a folder's name must not say about its rows: each is a column's name and a value.
FOLDERS = ["category=All", "dt=2025-03-04", "order_date=2020-01-01", "status=returned", "a[1]*?"]


def written(case: Case, folder: Path) -> Path:
    folder.mkdir()
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    return folder


def check_kpis(case: Case, folder: Path, compute: Compute) -> None:
    tables = compute(folder)
    [day] = tables.daily
    assert day["total_orders"] == case.orders
    assert day["total_revenue"] == Decimal(case.revenue)
    assert day["unique_customers"] == case.customers
    assert day["returned_orders"] == case.returned
    revenue = {row["category"]: row["daily_revenue"] for row in tables.category}
    assert revenue == {name: Decimal(amount) for name, amount in case.categories.items()}


@NAMES
def test_a_case_gives_the_right_kpis_stand_alone(
    case: Case, tmp_path: Path, compute: Compute
) -> None:
    check_kpis(case, written(case, tmp_path / "in"), compute)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folders_name_is_neither_data_nor_a_pattern(
    name: str, tmp_path: Path, compute: Compute
) -> None:
    case = next(iter(CASES.values()))
    check_kpis(case, written(case, tmp_path / name), compute)


def left_out(folder: Path, scratch: Path) -> list[RejectedRow]:
    read = transform.read_and_stage(files_in(folder), scratch, BadRowLimit(), today=NOW.date())
    return [row for row in read.left_out if row.outcome == "quarantined"]


@NAMES
def test_a_case_leaves_out_the_right_rows_stand_alone(case: Case, tmp_path: Path) -> None:
    rows = left_out(written(case, tmp_path / "in"), tmp_path)
    assert {(row.file, row.line, *row.reasons) for row in rows} == case.rejected


@NAMES
def test_the_validator_sets_the_same_rows_aside(
    case: Case, tmp_path: Path, validate_folder: Validate
) -> None:
    found = validate_folder(written(case, tmp_path / "in"))
    assert {(file, line, *reasons) for file, line, reasons in found.quarantined()} == case.rejected
    assert all(file["status"] == "accepted" for file in found.verdict["files"])


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.warned or case.details])
def test_values_that_need_a_person_are_named_in_both_stages(
    case: Case, tmp_path: Path, validate_folder: Validate
) -> None:
    folder = written(case, tmp_path / "in")
    found = validate_folder(folder).verdict
    warned = sorted(
        (each["file"], each["reason"], each["count"], each["detail"])
        for each in found["warnings"]
        if each["reason"].startswith(AMBIGUOUS)
    )
    assert [each[:3] for each in warned] == [each[:3] for each in case.warned]
    details = {
        (file["name"], reason): detail
        for file in found["files"]
        for reason, detail in file["details"].items()
    }
    assert details == case.details
    for (*_, part), (*_, detail) in zip(case.warned, warned, strict=True):
        assert part in detail

    alone = transform.read_and_stage(files_in(folder), tmp_path, BadRowLimit(), today=NOW.date())
    said = {
        (alone.readings[ordinal].file.name, reason): detail
        for ordinal, reasons in alone.details.items()
        for reason, detail in reasons.items()
    }
    assert said == details | {(file, reason): detail for file, reason, _, detail in warned}


def test_every_line_of_a_swallowed_record_is_named(tmp_path: Path) -> None:
    case = CASES["a stray quote swallows no row"]
    [row] = left_out(written(case, tmp_path / "in"), tmp_path)
    assert (row.line, row.last_line) == (12, 14)
    assert [text[:3] for text in row.raw.splitlines()] == ["O11", "O12", "O13"]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_validator_takes_nothing_from_a_folders_name(
    name: str, tmp_path: Path, validate_folder: Validate
) -> None:
    case = next(iter(CASES.values()))
    verdict = validate_folder(written(case, tmp_path / name)).verdict
    rows = sum(data.count(b"\n") - 1 for data in case.files.values())
    assert verdict["totals"]["rows"] == verdict["totals"]["accepted_rows"] == rows


def test_the_nearest_folder_says_what_a_file_is(tmp_path: Path, validate_folder: Validate) -> None:
    files = CASES["gzip files are read"].files
    for name, place in (
        ("orders_1.csv.gz", "orders/2025-03-30/part-00000.csv.gz"),
        ("order_items_1.csv.gz", "orders/order-items/dt=2025-03-30/part-00000.csv.gz"),
        ("products.csv", "orders/products.csv"),
    ):
        path = tmp_path / "in" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    found = validate_folder(tmp_path / "in").verdict["files"]
    assert {file["name"]: file["dataset"] for file in found} == {
        "orders/2025-03-30/part-00000.csv.gz": "orders",
        "orders/order-items/dt=2025-03-30/part-00000.csv.gz": "order_items",
        "orders/products.csv": "products",
    }
    assert all(file["status"] == "accepted" for file in found)


def test_an_ordinary_second_day_is_accepted_whole(
    tmp_path: Path, validate_folder: Validate
) -> None:
    first = tmp_path / "first"
    write_delivery(first, clean_files())
    day1 = validate_folder(first)
    second = tmp_path / "second"
    second.mkdir()
    (second / "orders_6.csv").write_bytes(table(ORDERS, order("N1"), order("N2")))
    (second / "order_items_6.csv").write_bytes(
        table(ITEMS, line("N1", "P1"), line("N2", "P2"), line("O0-1", "P3"))
    )
    verdict = validate_folder(second, known=day1.root / "runs/run/accepted").verdict
    assert verdict["outcome"] == "accepted"
    assert verdict["totals"]["held_rows"] == 0
    assert verdict["totals"]["accepted_rows"] == 5
