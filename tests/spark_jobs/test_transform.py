"""The command, as a user types it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from samples.generate import main as generate
from spark_jobs import report
from spark_jobs.engine import jvm
from tests.conftest import IN_CI, ROOT, write_delivery

SAMPLE = ROOT / "samples" / "incoming"


def transform(
    *arguments: str | Path, launcher: tuple[str, ...] = (sys.executable,), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launcher, "spark_jobs/transform.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_both_tables_are_printed_and_written_as_csv_and_json_lines(tmp_path: Path) -> None:
    done = transform("--input", SAMPLE, "--output", tmp_path, "--engine", "sail")
    assert done.returncode == 0, done.stderr
    assert "OrderKPIs: per day" in done.stdout
    assert "CategoryKPIs: per category and day" in done.stdout
    for name, key in (("category_kpis", "category"), ("order_kpis", "order_date")):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert [row[key] for row in rows] == [line[key] for line in lines]
        assert len(rows) >= 14
        assert rows[0].keys() == lines[0].keys()


def test_dates_are_limited_on_both_sides_included(tmp_path: Path) -> None:
    arguments = ("--input", SAMPLE, "--output", tmp_path, "--engine", "sail")
    done = transform(*arguments, "--from", "2025-03-03", "--to", "2025-03-04")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "order_kpis.csv").open(newline="") as file:
        assert [row["order_date"] for row in csv.DictReader(file)] == ["2025-03-03", "2025-03-04"]


def test_the_plan_can_be_looked_at(tmp_path: Path) -> None:
    arguments = ("--input", SAMPLE, "--output", tmp_path, "--engine", "sail")
    assert "Join" in transform(*arguments, "--explain-plan").stdout


def test_what_is_left_out_is_listed_with_file_line_reasons_and_text(tmp_path: Path) -> None:
    folder = write_delivery(tmp_path / "in", {})
    (folder / "orders_1.csv").write_text(
        "order_id,user_id,order_date,total_amount,status\n"
        "1,u,2025-03-01,1.00,shipped\n2,u,not-a-date,abc,shipped\n"
    )
    (folder / "orders_2.csv").write_text("order_id,user_id,order_date,status\n")
    (folder / "order_items_1.csv").write_text(
        "order_id,product_id,quantity,unit_price\n1,p,1,abc\n1,p,1\n1,p,1,1.00\n9,p,1,1.00\n"
    )
    (folder / "products.csv").write_text("product_id,category,name,price\np,Books,n,1\n")
    done = transform("--input", folder, "--output", tmp_path / "out", "--engine", "sail")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [
            [
                *("orders_2.csv", "", "", "missing_column"),
                "line 1: no column total_amount: its first line is"
                " 'order_id,user_id,order_date,status'; name the columns as"
                " order_id,user_id,order_date,total_amount,status, or add to mapping.toml under"
                ' [orders]: total_amount = "ITS NAME IN THE FILE"',
                "file_rejected",
            ],
            ["order_items_1.csv", "2", "2", "bad_unit_price", "1,p,1,abc", "quarantined"],
            ["order_items_1.csv", "3", "3", "wrong_field_count", "1,p,1", "quarantined"],
            ["order_items_1.csv", "5", "5", "unknown_order", "9,p,1,1.00", "held"],
            [
                *("orders_1.csv", "3", "3", "bad_order_date;bad_total_amount"),
                *("2,u,not-a-date,abc,shipped", "quarantined"),
            ],
        ]
    assert "4 files, 7 rows read: 3 accepted, 3 set aside, 1 held back." in done.stdout
    assert "orders_2.csv: missing_column: line 1: no column total_amount" in done.stderr
    assert "1  bad_unit_price" in done.stdout


def test_a_file_that_is_not_recognised_is_named_on_the_screen_and_in_rejected_csv(
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(SAMPLE, tmp_path / "in")
    (folder / "olist_order_items_dataset.csv").write_text("order_id\n1\n")
    done = transform("--input", folder, "--output", tmp_path / "out", "--engine", "sail")
    assert done.returncode == 0, done.stderr
    assert "olist_order_items_dataset.csv: unknown_name: No dataset has this name" in done.stderr
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        [row] = [row for row in csv.DictReader(file) if row["outcome"] == "not_recognised"]
    assert (row["file"], row["line"]) == ("olist_order_items_dataset.csv", "")
    assert "name the file orders*.csv, order_items*.csv or products*.csv" in row["raw"]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _: None, r"no orders_*.csv, order_items_*.csv or products.csv in it"),
        (lambda folder: folder.rmdir(), "no such folder"),
        (
            lambda folder: (folder / "orders_1.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0"),
            "not_csv",
        ),
    ],
    ids=["empty folder", "no folder", "not a CSV file"],
)
def test_nothing_to_work_on_is_one_clear_line_and_exit_code_2(
    prepare, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    prepare(folder)
    done = transform("--input", folder, "--output", tmp_path / "out", "--engine", "sail")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["--input", "x", "--from", "yesterday"], {}, 2, "'yesterday' is no date"),
        (["--engine", "sail"], {}, 2, "--input --manifest --ledger is required"),
        (["--input", "x", "--engine", "duck"], {}, 2, "invalid choice: 'duck'"),
        (["--input", SAMPLE, "--engine", "spark"], {"JAVA_HOME": "/nowhere"}, 1, "no Java 17"),
        (["--input", SAMPLE, "--output", "/dev/null/out", "--engine", "sail"], {}, 1, "/dev/null"),
        (["--manifest", "s3://b/runs/r/manifest.json", "--engine", "sail"], {}, 2,
         "CATEGORY_KPIS_TABLE is not set"),
    ],
)  # fmt: skip
def test_what_a_user_can_get_wrong_is_told_in_a_line(
    arguments: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    done = transform(*arguments, **environment)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_java_the_demo_says_so_and_runs_on_sail(tmp_path: Path) -> None:
    arguments = ("--input", SAMPLE, "--output", tmp_path)
    done = transform(*arguments, JAVA_HOME="/nowhere", ENGINE="auto")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == "no Java 17 or newer found: running on sail instead"


@pytest.fixture(scope="module")
def written_by_sail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sail")
    assert transform("--input", SAMPLE, "--output", out, "--engine", "sail").returncode == 0
    return out


def test_spark_submit_writes_the_same_bytes(written_by_sail: Path, tmp_path: Path) -> None:
    if jvm.find_java() is None:
        assert not IN_CI, "CI must have Java 17"
        pytest.skip("no Java 17: spark-submit is not tested")
    submit = Path(sys.executable).with_name("spark-submit")
    done = transform(
        "--input", SAMPLE, "--output", tmp_path,
        launcher=(str(submit),),
        PATH=f"{submit.parent}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _assert_same_files(written_by_sail, tmp_path)


def test_a_spark_connect_server_named_by_spark_remote_is_used(
    written_by_sail: Path, tmp_path: Path
) -> None:
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    try:
        remote = f"sc://127.0.0.1:{server.listening_address[1]}"
        done = transform(
            "--input", SAMPLE, "--output", tmp_path, "--engine", "spark", SPARK_REMOTE=remote
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    _assert_same_files(written_by_sail, tmp_path)


def _assert_same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_dirty_delivery_leaves_out_exactly_what_its_ledger_says(tmp_path: Path) -> None:
    assert generate(["--output", str(tmp_path), "--dirty"]) == 0
    out = tmp_path / "out"
    done = transform("--input", tmp_path / "incoming", "--output", out, "--engine", "sail")
    assert done.returncode == 0, done.stderr
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    planted = {
        (record["file"], record["line"], ";".join(record["reasons"]), record["outcome"])
        for record in ledger
        if record["outcome"] in {"quarantined", "held", "file_rejected", "file_skipped"}
    }
    csv.field_size_limit(2**25)
    with (out / "rejected.csv").open(newline="") as file:
        found = {
            (row["file"], int(row["line"]) if row["line"] else None, row["reasons"], row["outcome"])
            for row in csv.DictReader(file)
        }
    rejected = {record["file"] for record in ledger if record["outcome"] == "file_rejected"}
    assert {row for row in found if row[1] is None or row[0] not in rejected} == planted
    assert len(planted) > 70


def test_a_category_that_looks_like_a_formula_is_text_in_csv_and_exact_in_json(
    tmp_path: Path,
) -> None:
    table = pa.table({"category": ["=1+1", "Books"], "net_revenue": [Decimal("-5.00"), None]})
    report.write(table, tmp_path / "kpis")
    assert (tmp_path / "kpis.csv").read_text() == ("category,net_revenue\n'=1+1,-5.00\nBooks,\n")
    first = (tmp_path / "kpis.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == {"category": "=1+1", "net_revenue": "-5.00"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MAX_BAD_ROW_PERCENT", "ten", "MAX_BAD_ROW_PERCENT is 'ten': set a number from 0 to 100"),
        ("MIN_BAD_ROWS", "0", "MIN_BAD_ROWS is '0': set a whole number from 1"),
    ],
)
def test_a_limit_of_bad_rows_that_cannot_be_used_is_exit_code_2(
    name: str, value: str, message: str, tmp_path: Path
) -> None:
    done = transform("--input", SAMPLE, "--output", tmp_path, **{name: value})
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"error: {message}")
