"""The demonstration with the real validator and transformer, on KPIs worked out by hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATES = ["2025-03-01", "2025-03-01", "2025-03-01", "2025-03-02", "2025-03-02"]


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """Five orders of two books at 10.00; the last one, of the second day, is returned."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "sales.csv").write_text("a file that is not recognised does not keep the demo\n")
    for n, date in enumerate(DATES):
        status = "returned" if n == 4 else "delivered"
        (folder / f"orders_{n}.csv").write_text(
            "order_id,user_id,order_date,total_amount,status\n"
            f"o{n},u{n % 2},{date},20.00,{status}\n"
        )
        (folder / f"order_items_{n}.csv").write_text(
            f"order_id,product_id,quantity,unit_price\no{n},p1,2,10.00\n"
        )
    (folder / "products.csv").write_text("product_id,category,name,price\np1,Books,Dune,10.00\n")
    return folder


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localcloud", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def rows(output: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]


def test_a_delivery_with_one_bad_file_ends_in_exact_kpis_a_message_and_quarantine(
    delivery: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    result = demo("--delivery", str(delivery), "--engine", "sail", "--fail", "--home", str(home))
    assert result.returncode == 0, result.stderr
    assert rows(result.stdout) == [
        ["2025-03-01", "3", "60.00", "6", "0.00", "2"],
        ["2025-03-02", "2", "40.00", "4", "50.00", "2"],
        ["2025-03-01", "Books", "60.00", "20.00", "0.00"],
        ["2025-03-02", "Books", "40.00", "20.00", "50.00"],
    ]
    assert "orders_without_header.csv: rejected, missing_column" in result.stdout
    assert "12 files (1 rejected), 11 rows: 11 accepted" in result.stdout
    assert "Run succeeded, 1 file rejected, 1 file not recognised - dev" in result.stdout
    assert "sales.csv: not_recognised, unknown_name: No dataset has this name" in result.stdout
    page = next((home / "data_docs" / "runs").glob("*.html")).read_text(encoding="utf-8")
    assert "sales.csv" in page
    assert "not recognised" in page
    assert "- orders_without_header.csv: missing_column" in result.stdout
    assert (home / "data_docs" / "index.html").as_uri() in result.stdout
    assert (home / "data_docs" / "index.html").read_text(encoding="utf-8").startswith("<")
    assert "first upload to last KPI item" in result.stdout
    assert "ValidateFiles" in result.stderr


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    result = demo("--delivery", str(tmp_path), "--home", str(tmp_path / "home"))
    assert result.returncode == 2
    assert result.stderr == (f"error: {tmp_path}: no file in it; name a folder with --delivery\n")


def test_the_files_of_a_shop_with_its_own_names_and_columns_are_processed_as_they_are(
    tmp_path: Path,
) -> None:
    shop = ROOT / "samples" / "mappings" / "olist"
    result = demo(
        *("--delivery", str(shop / "incoming"), "--mapping", str(shop / "mapping.toml")),
        *("--engine", "sail", "--home", str(tmp_path / "home")),
    )
    assert result.returncode == 0, result.stderr
    [day] = [row for row in rows(result.stdout) if row[1:3] == ["2", "178.68"]]
    assert day[3] == "3"
    assert "not recognised" not in result.stdout


def test_a_delivery_of_files_that_are_not_recognised_ends_at_once_and_names_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "delivery").mkdir()
    (tmp_path / "delivery" / "olist_products_dataset.csv").write_text("product_id\np1\n")
    result = demo("--delivery", str(tmp_path / "delivery"), "--home", str(tmp_path / "home"))
    assert result.returncode == 1, result.stderr
    assert "not recognised: olist_products_dataset.csv. No dataset has this name" in result.stdout
