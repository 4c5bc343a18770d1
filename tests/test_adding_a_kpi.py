"""A KPI is added in two files; with the generated documents, every place shows it."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, write_delivery
from tests.spark_jobs.deliveries import PRODUCTS, line, order

SOURCES = ("chalice_app", "contract", "dashboard", "delivery", "shopkpi", "spark_jobs")
DEFINITION = """
ITEMS_PER_ORDER: Final = KpiColumn(
    name="items_per_order",
    type=ColumnType.DECIMAL,
    unit="items",
    label="Items per order",
    meaning="total_items_sold ÷ total_orders",
    over_dates=Quotient(TOTAL_ITEMS_SOLD, TOTAL_ORDERS),
)

# Where an item comes from"""
EDITS = {
    "contract/kpi_columns.py": [
        ("\n# Where an item comes from", DEFINITION),
        ("RETURN_RATE, UNIQUE_CUSTOMERS)", "RETURN_RATE, UNIQUE_CUSTOMERS, ITEMS_PER_ORDER)"),
    ],
    "spark_jobs/kpis.py": [
        (
            '        _percentage("returned_orders", "total_orders").alias("return_rate"),\n',
            '        _percentage("returned_orders", "total_orders").alias("return_rate"),\n'
            '        _quotient(F.col("total_items_sold"), F.col("total_orders"))\n'
            '        .cast(AMOUNT).alias("items_per_order"),\n',
        ),
    ],
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's sources with the new KPI."""
    folder = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", ".chalice")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "statemachine.asl.json", folder)
    for name, replacements in EDITS.items():
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in replacements:
            assert text.count(old) == 1, f"{name}: {old!r}"
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    run(folder, "-m", "chalice_app.openapi")
    return folder


def run(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def changed(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not filecmp.cmp(path, ROOT / name, shallow=False):
            found.add(str(name))
    return found


def test_a_new_kpi_is_in_the_table_the_api_its_document_the_command_and_the_dashboard(
    copy: Path, tmp_path: Path
) -> None:
    assert changed(copy) == {*EDITS, "chalice_app/openapi.yaml"}

    # 8 items in 3 orders: 2.666… is rounded half up.
    delivery = write_delivery(
        tmp_path / "in",
        {
            "products.csv": PRODUCTS,
            "orders_1.csv": [order("1"), order("2"), order("3"), order("4", "2026-02-02")],
            "order_items_1.csv": [line("1", quantity="7"), line("2", "p2"), line("4")],
        },
    )
    probe = shutil.copy(ROOT / "tests/new_kpi.py", copy)
    dates = ("2026-02-01", "2026-02-02")
    found = json.loads(run(copy, probe, str(delivery), str(tmp_path / "out"), *dates))

    written = (tmp_path / "out/order_kpis.jsonl").read_text().splitlines()
    assert [json.loads(row)["items_per_order"] for row in written] == ["2.67", "1.00"]
    assert "2.67" in found["transform"]

    assert [item["items_per_order"] for item in found["api"]] == ["2.67", "1.00"]
    document = yaml.safe_load((copy / "chalice_app/openapi.yaml").read_text(encoding="utf-8"))
    schema = document["components"]["schemas"]["DailyKpi"]
    assert "items_per_order" in schema["required"]
    assert schema["properties"]["items_per_order"] == {
        "$ref": "#/components/schemas/Decimal",
        "description": "total_items_sold ÷ total_orders. Unit: items",
    }

    [heading] = [row for row in found["command"].splitlines() if "order_date" in row]
    [row] = [row for row in found["command"].splitlines() if "2026-02-01" in row and "│" in row]
    place = [cell.strip() for cell in heading.split("┃")].index("items_per_order")
    assert row.split("│")[place].strip() == "2.67"

    view = found["dashboard"]["views"]["daily"]
    assert "items_per_order" in view["charts"]
    assert "items_per_order" in view["tiles"]
    [column] = [column for column in view["columns"] if column["name"] == "items_per_order"]
    assert column["label"] == "Items per order"
    # The page divides these: they need no new figures for dates that were published before.
    assert column["quotient"] == {
        "dividend": "total_items_sold",
        "divisor": "total_orders",
        "factor": 100,
    }
