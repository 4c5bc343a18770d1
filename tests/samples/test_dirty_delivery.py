"""A dirty delivery: the ledger names every planted thing, and nothing that is not there."""

import csv
import io
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from delivery import datasets
from delivery.datasets import DATASETS
from delivery.landed_files import files_in
from delivery.reader import FileReading, read
from delivery.words import STATUSES
from samples.faults import FAULTS, ODDITIES
from samples.generate import main

# The rules that are not the reader's, as SQL that finds the rows breaking them.
ID = "'[^[:cntrl:]]{1,64}'"
RULES = {
    "orders": {
        "malformed_order_id": f"NOT regexp_full_match(order_id, {ID})",
        "order_date_out_of_range": "order_date NOT BETWEEN '2000-01-01' AND '2030-01-01'",
        "total_amount_out_of_range": "total_amount < 0",
        "unknown_status": f"status NOT IN {STATUSES}",
    },
    "order_items": {
        "malformed_order_id": f"NOT regexp_full_match(order_id, {ID})",
        "malformed_product_id": f"NOT regexp_full_match(product_id, {ID})",
        "quantity_out_of_range": "quantity NOT BETWEEN 1 AND 1000000",
        "unit_price_out_of_range": "unit_price NOT BETWEEN 0 AND 10000000",
    },
    "products": {
        "malformed_product_id": f"NOT regexp_full_match(product_id, {ID})",
        "price_out_of_range": "price < 0",
    },
}
HELD = {"unknown_order", "unknown_product"}
WARNINGS = {
    "malformed_user_id",
    "missing_user_id",
    "total_mismatch",
    "order_without_lines",
    "repeated_order_id",
    "repeated_product_id",
    "differing_lines",
}
TOLERATED = {
    *(oddity.name for oddity in ODDITIES),
    *("byte_order_mark", "crlf", "extra_columns", "swapped_columns", "spaces_after_commas"),
    *("no_final_newline", "header_only", "overlapping_export"),
}


@dataclass(frozen=True)
class Dirty:
    folder: Path
    ledger: list[dict[str, Any]]
    connection: duckdb.DuckDBPyConnection
    readings: list[FileReading]

    def planted(self, outcome: str) -> set[tuple[str, int | None, tuple[str, ...]]]:
        records = [record for record in self.ledger if record["outcome"] == outcome]
        found = {(record["file"], record["line"], tuple(record["reasons"])) for record in records}
        assert len(found) == len(records)
        return found

    def bad_rows(self) -> set[tuple[str, int | None, tuple[str, ...]]]:
        """Return the rows that the project's reader and the rules above find bad."""
        reasons: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for file, line, reason in self.connection.execute(
            "SELECT _file, _line, reason FROM unreadable_rows"
        ).fetchall():
            reasons[file, line].add(reason)
        for table, rules in RULES.items():
            for file, line, unreadable in self.connection.execute(
                f"SELECT _file, _line, _unreadable FROM {table} WHERE _unreadable IS NOT NULL"
            ).fetchall():
                reasons[file, line].update(unreadable)
            for reason, broken in rules.items():
                for file, line in self.connection.execute(
                    f"SELECT _file, _line FROM {table} WHERE {broken}"
                ).fetchall():
                    reasons[file, line].add(reason)
        names = {reading.ordinal: reading.file.name for reading in self.readings}
        return {
            (names[file], line, tuple(sorted(found)))
            for (file, line), found in reasons.items()
            if names[file] != "orders_too_many_bad_rows.csv"
        }


def make(output: Path, *arguments: str) -> Dirty:
    assert main(["--output", str(output), "--dirty", *arguments]) == 0
    with (output / "ledger.jsonl").open() as lines:
        ledger = [json.loads(line) for line in lines]
    connection = duckdb.connect()
    readings = read(files_in(output / "incoming"), connection)
    return Dirty(output / "incoming", ledger, connection, readings)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dirty]:
    made = make(tmp_path_factory.mktemp("dirty"))
    with made.connection:
        yield made


def test_every_reason_is_planted(dirty: Dirty) -> None:
    columns = [column for dataset in DATASETS.values() for column in dataset.columns]
    reader_rows = {
        *(column.missing for column in columns if column.required),
        *(column.bad for column in columns if column.sql_type != "VARCHAR"),
        datasets.WRONG_FIELD_COUNT,
        datasets.MALFORMED_QUOTING,
        datasets.INVALID_ENCODING,
        datasets.ROW_TOO_LONG,
    }
    reader_files = {
        datasets.EMPTY_FILE,
        datasets.NOT_CSV,
        datasets.NOT_UTF8,
        datasets.MISSING_COLUMN,
        datasets.DUPLICATE_COLUMN,
    }
    rules = {reason for reasons in RULES.values() for reason in reasons}
    planted: defaultdict[str, set[str]] = defaultdict(set)
    for record in dirty.ledger:
        planted[record["outcome"]].update(record["reasons"])
        assert record["reasons"] == sorted(record["reasons"])
        assert record["detail"]
    assert planted == {
        "quarantined": reader_rows | rules,
        "held": HELD,
        "file_rejected": reader_files | {"too_many_bad_rows"},
        "file_skipped": {datasets.DUPLICATE_FILE},
        "warning": WARNINGS,
        "tolerated": TOLERATED,
    }


def test_the_reader_finds_exactly_the_bad_rows_of_the_ledger(dirty: Dirty) -> None:
    assert dirty.bad_rows() == dirty.planted("quarantined")
    assert len(dirty.planted("quarantined")) == len(FAULTS)
    assert any(len(reasons) > 1 for _, _, reasons in dirty.planted("quarantined"))


def test_the_reader_sets_aside_exactly_the_files_of_the_ledger(dirty: Dirty) -> None:
    rejected = {
        (reading.file.name, None, (reading.reason,))
        for reading in dirty.readings
        if reading.status == "rejected"
    }
    too_many = ("orders_too_many_bad_rows.csv", None, ("too_many_bad_rows",))
    assert rejected | {too_many} == dirty.planted("file_rejected")
    duplicates = {reading.file.name for reading in dirty.readings if reading.status == "duplicate"}
    assert {file for file, _, _ in dirty.planted("file_skipped")} == duplicates


def test_only_the_file_meant_for_it_has_more_than_ten_percent_bad_rows(dirty: Dirty) -> None:
    bad = Counter(file for file, _, _ in dirty.planted("quarantined"))
    held = Counter(file for file, _, _ in dirty.planted("held"))
    for reading in dirty.readings:
        if reading.status == "read":
            name = reading.file.name
            assert (bad[name] + held[name]) * 10 <= reading.rows, name
    assert bad.total() == len(FAULTS)


def test_exactly_the_held_lines_have_no_order_or_no_product(dirty: Dirty) -> None:
    bad = {(file, line) for file, line, _ in dirty.planted("quarantined")}
    names = {reading.ordinal: reading.file.name for reading in dirty.readings}

    def good(table: str, columns: str) -> list[tuple[Any, ...]]:
        return [
            (names[file], line, *values)
            for file, line, *values in dirty.connection.execute(
                f"SELECT _file, _line, {columns} FROM {table} WHERE _unreadable IS NULL"
            ).fetchall()
            if (names[file], line) not in bad and names[file] != "orders_too_many_bad_rows.csv"
        ]

    orders = {order for _, _, order in good("orders", "order_id")}
    products = {product for _, _, product in good("products", "product_id")}
    held = set()
    for file, line, order, product in good("order_items", "order_id, product_id"):
        missing = {"unknown_order": order not in orders, "unknown_product": product not in products}
        if any(missing.values()):
            held.add((file, line, tuple(reason for reason, there in missing.items() if there)))
    assert held == dirty.planted("held")


def test_a_line_of_the_ledger_is_the_physical_line_where_the_record_starts(dirty: Dirty) -> None:
    """Checked without the reader, by counting line ends."""
    marks = {
        "unknown_status": (b"lost", b"teleported"),
        "text after": (b'"ab"c',),
        "Latin-1": (b"\xe9",),
        "not-a-date": (b"not-a-date",),
        "never closes": (b'"',),
        "status is ''": (b"x",),
        "embedded_newline": (b'"',),
        "two": (b"two",),
        "abc": (b"abc",),
        "a field too many": (b"surplus",),
        "canceled": (b"canceled",),
        "teleported": (b"teleported",),
    }
    checked = Counter[str]()
    for record in dirty.ledger:
        if record["line"] is None:
            continue
        lines = (dirty.folder / record["file"]).read_bytes().split(b"\n")
        text = lines[record["line"] - 1]
        for mark, needles in marks.items():
            listed = mark in record["reasons"] or record["detail"].endswith((mark, f"'{mark}'"))
            if listed or mark in record["detail"].split(" is "):
                assert any(needle in text for needle in needles), record
                checked[mark] += 1
    assert checked["embedded_newline"] == 3
    assert checked["canceled"] == 1
    assert checked["unknown_status"] == 3


def test_oddities_do_not_change_what_the_clean_rows_mean(dirty: Dirty, tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    clean = duckdb.connect()
    with clean:
        read(files_in(tmp_path / "incoming"), clean)
        for table, key in (("orders", "order_id"), ("order_items", "order_id")):
            columns = ", ".join(DATASETS[table].column_names)  # type: ignore[index]
            wanted = clean.execute(f"SELECT {columns} FROM {table}").fetchall()
            found = dirty.connection.execute(
                f"SELECT {columns} FROM {table} WHERE _unreadable IS NULL AND {key} < 'O9'"
            ).fetchall()
            assert not Counter(wanted) - Counter(found), table


def test_the_same_arguments_plant_the_same_things(dirty: Dirty, tmp_path: Path) -> None:
    again = make(tmp_path)
    with again.connection:
        assert again.ledger == dirty.ledger
    for path in dirty.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_more_bad_rows_than_files_can_take_stand_in_files_of_their_own(tmp_path: Path) -> None:
    many = make(tmp_path, "--dirty-rows", "3000")
    with many.connection:
        planted = many.planted("quarantined")
        assert len(planted) == 3000
        assert many.bad_rows() == planted
        assert {"orders_bad_rows.csv", "order_items_bad_rows.csv"} <= {
            file for file, _, _ in planted
        }
        assert not (many.folder / "orders_too_many_bad_rows.csv").exists()


def test_a_large_delivery_takes_its_bad_rows_within_ten_percent(tmp_path: Path) -> None:
    large = make(tmp_path, "--size", "S", "--dirty-rows", "1200")
    with large.connection:
        planted = large.planted("quarantined")
        assert len(planted) == 1200
        assert large.bad_rows() == planted
        bad = Counter(file for file, _, _ in planted)
        rows = {reading.file.name: reading.rows for reading in large.readings}
        assert all(count * 10 <= rows[file] for file, count in bad.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dirty", "--order-files", "2"], "needs 5 files"),
        (["--dirty", "--days", "1"], "would be more than 8 % of its rows"),
        (["--dirty", "--dirty-rows", "3"], f"must be {len(FAULTS)} or more"),
        (["--dirty-rows", "300"], "needs --dirty"),
        (["--days", "0"], "must be 1 or more"),
        (["--days", "1", "--orders-per-day", "2"], "2 orders can't fill more than 2 files"),
        (["--start", "9999-12-30"], "the calendar ends before that"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--output", str(tmp_path), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.csv"))


def test_a_folder_with_other_csv_files_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "incoming" / "orders_2024.csv"
    other.parent.mkdir()
    other.write_text("mine")
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert "orders_2024.csv" in capsys.readouterr().err
    assert list(other.parent.iterdir()) == [other]


def test_help_and_write_errors_come_from_the_command_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "samples.generate"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "exit codes:" in shown.stdout
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "file")
    failed = subprocess.run(
        [*command, "--output", output], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert output in failed.stderr


def test_dates_of_planted_orders_lie_within_the_delivery(dirty: Dirty) -> None:
    text = (dirty.folder / "orders_001.csv").read_text(encoding="utf-8", errors="replace")
    for row in csv.DictReader(io.StringIO(text)):
        if row["order_id"].startswith("O9") and row["status"] in ("shipped", "pending"):
            assert date(2025, 3, 1) <= date.fromisoformat(row["order_date"]) <= date(2025, 3, 14)
