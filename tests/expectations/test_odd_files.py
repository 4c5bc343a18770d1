"""One odd file among eleven: it is judged alone, and the other ten are not touched."""

import csv
import io
import zipfile
from pathlib import Path

import pytest

from expectations import validate
from tests.conftest import write_delivery

from .conftest import NOW, ROWS, Outcome, Validate, clean_files

ODD = "orders_2.csv"
HEADER = "order_id,user_id,order_date,total_amount,status"


def text(**changes: str) -> str:
    rows = [{**row, **changes} for row in clean_files()[ODD]]
    return "".join(f"{line}\n" for line in (HEADER, *(",".join(row.values()) for row in rows)))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(ODD, text())
    return buffer.getvalue()


def swapped() -> str:
    rows = clean_files()[ODD]
    columns = ["status", "note", "total_amount", "order_date", "user_id", "order_id"]
    lines = [",".join({**row, "note": "x"}[name] for name in columns) for row in rows]
    return "\n".join([",".join(columns), *lines]) + "\n"


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))
ten_megabytes = text().replace("O2-1,U2", f"O2-1,{'x' * 10_000_000}")

REJECTED = {
    "no header": (text().removeprefix(f"{HEADER}\n").encode(), "missing_column"),
    "wrong delimiter": (text().replace(",", ";").encode(), "missing_column"),
    "binary": (PNG, "not_csv"),
    "UTF-16": (text().encode("utf-16"), "not_utf8"),
    "empty": (b"", "empty_file"),
    "column twice": (text().replace("status\n", "status,status\n", 1).encode(), "duplicate_column"),
    "NUL bytes": (text().replace("U2", "U\0002").encode(), "not_csv"),
    "zip": (zipped(), "not_csv"),
    "too many bad rows": (text(total_amount="much").encode(), "too_many_bad_rows"),
}
ACCEPTED = {
    "header only": (f"{HEADER}\n".encode(), 0),
    "byte order mark": (b"\xef\xbb\xbf" + text().encode(), ROWS),
    "CRLF": (text().replace("\n", "\r\n").encode(), ROWS),
    "newlines in quotes": (text(user_id='"U\n2"').encode(), ROWS),
    "extra and swapped columns": (swapped().encode(), ROWS),
}


def deliver(folder: Path, odd: bytes) -> Path:
    write_delivery(folder, clean_files())
    (folder / ODD).write_bytes(odd)
    return folder


def others(outcome: Outcome) -> list[tuple[str, int]]:
    return [
        (file["name"], file["accepted_rows"] + file["held_rows"])
        for file in outcome.verdict["files"]
        if file["name"] != ODD and file["status"] == "accepted"
    ]


ALL_OTHERS = [(name, ROWS) for name in sorted(clean_files()) if name != ODD]


@pytest.mark.parametrize("kind", REJECTED)
def test_a_file_that_is_no_csv_of_its_dataset_is_rejected_alone(
    kind: str, validate_folder: Validate, tmp_path: Path
) -> None:
    content, reason = REJECTED[kind]
    outcome = validate_folder(deliver(tmp_path, content))
    odd = outcome.file(ODD)
    assert (odd["status"], odd["reason"], odd["accepted_rows"]) == ("rejected", reason, 0)
    assert odd["detail"]
    number = outcome.verdict["files"].index(odd) + 1
    assert (outcome.root / f"quarantine/run/files/{number}.csv").read_bytes() == content
    assert others(outcome) == ALL_OTHERS
    # Its orders' lines wait for it to be delivered again.
    assert outcome.file("order_items_2.csv")["reasons"] == {"unknown_order": ROWS}
    assert outcome.verdict["outcome"] == "partly_accepted"


@pytest.mark.parametrize("kind", ACCEPTED)
def test_an_unusual_but_readable_file_is_accepted(
    kind: str, validate_folder: Validate, tmp_path: Path
) -> None:
    content, rows = ACCEPTED[kind]
    outcome = validate_folder(deliver(tmp_path, content))
    odd = outcome.file(ODD)
    assert (odd["status"], odd["reason"], odd["accepted_rows"]) == ("accepted", None, rows)
    assert outcome.verdict["quarantined_rows"] is None
    assert others(outcome) == ALL_OTHERS


def test_a_field_of_ten_megabytes_costs_its_row_only(
    validate_folder: Validate, tmp_path: Path
) -> None:
    outcome = validate_folder(deliver(tmp_path, ten_megabytes.encode()))
    assert outcome.quarantined() == {(ODD, 3, ("row_too_long",))}
    assert outcome.file(ODD)["accepted_rows"] == ROWS - 1
    [(raw,)] = outcome.query("SELECT raw FROM '{root}/quarantine/{run}/rows.parquet'")
    assert raw.startswith("O2-1,xxx")
    assert raw.endswith("… (10,000,032 characters)")
    assert others(outcome) == ALL_OTHERS


def orders_with(faults: list[dict[str, str]]) -> str:
    """Return a file of nine orders, the first of which differ in the given columns."""
    rows = clean_files()[ODD][:9]
    changes = faults + [{}] * (len(rows) - len(faults))
    changed = [{**row, **change} for row, change in zip(rows, changes, strict=True)]
    return "".join(f"{line}\n" for line in (HEADER, *(",".join(row.values()) for row in changed)))


def test_one_unreadable_row_of_nine_is_set_aside_and_its_file_accepted(
    validate_folder: Validate, tmp_path: Path
) -> None:
    odd = orders_with([{"total_amount": "much"}])
    outcome = validate_folder(deliver(tmp_path, odd.encode()))
    assert outcome.quarantined() == {(ODD, 2, ("bad_total_amount",))}
    assert (outcome.file(ODD)["status"], outcome.file(ODD)["accepted_rows"]) == ("accepted", 8)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"total_amount": "-5.00"}, "total_amount_out_of_range"),
        ({"status": "lost"}, "unknown_status"),
        ({"order_date": ""}, "missing_order_date"),
    ],
)
def test_rows_that_break_a_rule_are_set_aside_one_by_one_however_many(
    fault: dict[str, str], reason: str, validate_folder: Validate, tmp_path: Path
) -> None:
    odd = orders_with([fault] * 8)
    outcome = validate_folder(deliver(tmp_path, odd.encode()))
    assert outcome.quarantined() == {(ODD, line, (reason,)) for line in range(2, 10)}
    assert (outcome.file(ODD)["status"], outcome.file(ODD)["accepted_rows"]) == ("accepted", 1)


def test_files_of_credit_notes_keep_their_other_rows(
    validate_folder: Validate, tmp_path: Path
) -> None:
    """In 51 of 53 files of a real shop more than 10 % of the rows were credit notes."""
    files = clean_files()
    credit_notes = [name for name in files if name.startswith("order_items")]
    for name in credit_notes:
        for row in files[name][:7]:
            row["quantity"] = "-1"
    outcome = validate_folder(write_delivery(tmp_path, files))
    assert {
        (outcome.file(name)["status"], outcome.file(name)["accepted_rows"]) for name in credit_notes
    } == {("accepted", ROWS - 7)}
    assert outcome.verdict["totals"]["rejected_files"] == 0


def test_the_command_ends_well_and_names_file_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    incoming = deliver(tmp_path / "incoming", text(total_amount="much").encode())
    code = validate.main(
        ["--input", str(incoming), "--output", str(tmp_path / "out"), "--run-id", "r1"],
        clock=lambda: NOW,
    )
    printed = capsys.readouterr()
    assert code == 0
    assert "partly accepted: 180 of 220 rows accepted" in " ".join(printed.out.split())
    assert ODD in printed.out
    assert str(tmp_path / "out/quarantine/r1/rows.csv") in printed.out
    assert "read 220 rows" in printed.err


def test_a_delivery_without_a_single_good_row_is_all_rejected(
    validate_folder: Validate, tmp_path: Path
) -> None:
    for name in clean_files():
        (tmp_path / name).write_bytes(PNG + name.encode())
    verdict = validate_folder(tmp_path).verdict
    assert verdict["outcome"] == "all_rejected"
    assert verdict["totals"]["rejected_files"] == 11
    assert verdict["accepted"] == {}


def test_a_file_with_an_unknown_name_is_not_recognised_and_the_others_are_judged(
    validate_folder: Validate, tmp_path: Path
) -> None:
    folder = write_delivery(tmp_path, clean_files())
    (folder / "olist_order_items_dataset.csv").write_text("order_id,product_id\n1,2\n")
    outcome = validate_folder(folder)
    other = outcome.file("olist_order_items_dataset.csv")
    found = other["status"], other["reason"], other["rows"]
    assert found == ("not_recognised", "unknown_name", 0)
    assert "name the file orders*.csv, order_items*.csv or products*.csv" in other["detail"]
    totals = outcome.verdict["totals"]
    assert (totals["files"], totals["not_recognised_files"]) == (11, 1)
    assert outcome.verdict["outcome"] == "accepted"
    page = (outcome.root / "data_docs/runs/run.html").read_text()
    assert "olist_order_items_dataset.csv" in page
    assert "files not recognised" in page


def test_a_delivery_without_a_recognised_file_has_a_verdict(
    validate_folder: Validate, tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text("order_id\n1\n")
    outcome = validate_folder(tmp_path)
    assert outcome.verdict["outcome"] == "not_recognised"
    assert outcome.file("sales.csv")["status"] == "not_recognised"


def test_a_delivery_of_lines_alone_waits_for_its_parents(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = {k: v for k, v in clean_files().items() if k.startswith("order_items")}
    outcome = validate_folder(write_delivery(tmp_path, files))
    assert outcome.verdict["outcome"] == "partly_accepted"
    assert outcome.verdict["totals"]["held_rows"] == 100
    assert outcome.query(
        "SELECT _reasons, count(*) FROM '{root}/runs/{run}/held/order_items.parquet' GROUP BY ALL"
    ) == [(["unknown_order", "unknown_product"], 100)]


def test_lines_whose_parents_were_accepted_by_an_earlier_run_are_accepted(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = clean_files()
    lines = {name: rows for name, rows in files.items() if name.startswith("order_items")}
    parents = {name: rows for name, rows in files.items() if name not in lines}
    first = validate_folder(write_delivery(tmp_path / "first", parents))
    second = validate_folder(
        write_delivery(tmp_path / "second", lines), known=first.root / "runs/run/accepted"
    )
    assert second.verdict["outcome"] == "accepted"
    assert second.verdict["totals"]["accepted_rows"] == 100


def test_the_line_of_an_order_in_quarantine_is_held(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = clean_files()
    files[ODD][4]["status"] = "lost"
    outcome = validate_folder(write_delivery(tmp_path, files))
    assert outcome.quarantined() == {(ODD, 6, ("unknown_status",))}
    assert outcome.query(
        "SELECT order_id, _file_name, _line, _reasons"
        " FROM '{root}/runs/{run}/held/order_items.parquet'"
    ) == [("O2-4", "order_items_2.csv", 6, ["unknown_order"])]


def test_a_bad_line_is_quarantined_for_all_its_own_faults_and_not_held(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = clean_files()
    files["order_items_3.csv"][0] |= {"quantity": "0", "unit_price": "x", "order_id": "nobody's"}
    outcome = validate_folder(write_delivery(tmp_path, files))
    assert outcome.quarantined() == {
        ("order_items_3.csv", 2, ("bad_unit_price", "quantity_out_of_range"))
    }
    assert outcome.file("order_items_3.csv")["held_rows"] == 0
    [(raw,)] = outcome.query("SELECT raw FROM '{root}/quarantine/{run}/rows.parquet'")
    assert raw == "nobody's,P0,0,x"


def test_an_order_that_comes_again_in_another_file_is_no_error(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = clean_files()
    files["orders_4.csv"].append({**files["orders_0.csv"][0], "status": "returned"})
    files["products_again.csv"] = files["products.csv"][:5]
    outcome = validate_folder(write_delivery(tmp_path, files))
    assert outcome.verdict["outcome"] == "accepted"
    assert outcome.verdict["warnings"] == []


FORMULA = '=HYPERLINK("http://evil","x")\t'


def test_a_formula_in_a_quarantined_row_is_text_in_the_csv_and_exact_in_parquet(
    validate_folder: Validate, tmp_path: Path
) -> None:
    rows = orders_with([]).splitlines(keepends=True)
    rows[3] = f"{FORMULA}\n"
    outcome = validate_folder(deliver(tmp_path, "".join(rows).encode()))
    [(exact,)] = outcome.query("SELECT raw FROM '{root}/quarantine/{run}/rows.parquet'")
    assert exact == FORMULA
    with (outcome.root / "quarantine/run/rows.csv").open(newline="") as sheet:
        [row] = csv.DictReader(sheet)
    assert (row["line"], row["raw"]) == ("4", f"'{FORMULA}")
    assert {path.name for path in (outcome.root / "quarantine/run").iterdir()} == {
        "rows.csv",
        "rows.parquet",
    }
