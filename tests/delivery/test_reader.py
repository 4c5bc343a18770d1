"""The reader accounts for every row: read, or set aside with its file, line and reason."""

from pathlib import Path

import duckdb
import pytest

from contract.keys import dataset_of
from delivery import datasets, reader, set_aside
from delivery.datasets import DATASETS
from delivery.landed_files import DeliveryError, LandedFile, duplicates, files_in, not_recognised_in
from delivery.rejected_rows import raw_text

GOOD = b"product_id,category,name,price\n1,Books,Atlas,10.00\n2,Toys,Ball,5\n"


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


def read(db, folder: Path, name: str, data: bytes) -> reader.FileReading:
    path = folder / name
    path.write_bytes(data)
    dataset = dataset_of(name)
    assert dataset is not None
    return reader.read([LandedFile(name=name, path=path, dataset=dataset)], db)[0]


def products(db) -> list[tuple]:
    return db.execute(
        "SELECT product_id, category, name, price::VARCHAR, _line, _lines FROM products"
        " WHERE _unreadable IS NULL ORDER BY _line"
    ).fetchall()


def unreadable(db) -> list[tuple]:
    return db.execute("SELECT _line, _lines, reason FROM unreadable_rows ORDER BY _line").fetchall()


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.rstrip(b"\n"),
        GOOD.replace(b",", b", "),
        GOOD.replace(b",", b" ,\t"),
        b'"product_id","category","name","price"\n"1","Books","Atlas","10.00"\n"2","Toys","Ball","5"\n',
        b"price,name,extra,category,product_id,\n10.00,Atlas,?,Books,1,\n5,Ball,?,Toys,2,\n",
        GOOD.replace(b"product_id,category", b"Product_ID, CATEGORY "),
        GOOD.replace(b"10.00", b"1e1").replace(b"5\n", b"5.000\n"),
        GOOD.replace(b"\n", b"\r"),
    ],
    ids=[
        "plain", "BOM", "CRLF", "no last line end", "spaces", "tabs", "quotes",
        "other order and extra columns", "header in capitals", "number formats", "CR alone",
    ],
)  # fmt: skip
def test_unusual_spellings_of_a_file_give_the_same_rows(data: bytes, db, tmp_path: Path) -> None:
    reading = read(db, tmp_path, "products.csv", data)
    assert (reading.status, reading.rows) == ("read", 2)
    assert products(db) == [
        ("1", "Books", "Atlas", "10.00", 2, 1),
        ("2", "Toys", "Ball", "5.00", 3, 1),
    ]
    assert unreadable(db) == []


def test_embedded_newlines_and_blank_lines_do_not_shift_line_numbers(db, tmp_path: Path) -> None:
    data = GOOD.replace(b"Atlas", b'"At\r\nlas, the ""big"" one"') + b"\n\n3,Toys,Kite,7\n"
    reading = read(db, tmp_path, "products.csv", data)
    assert reading.rows == 3
    assert products(db) == [
        ("1", "Books", 'At\r\nlas, the "big" one', "10.00", 2, 2),
        ("2", "Toys", "Ball", "5.00", 4, 1),
        ("3", "Toys", "Kite", "7.00", 7, 1),
    ]


def test_each_record_that_does_not_split_is_named_by_line_and_its_neighbours_are_kept(
    db, tmp_path: Path
) -> None:
    data = (
        b"product_id,category,name,price\n"
        b"1,Books,Atlas\n"  # 2: too few
        b"2,Toys,Ball,5,6\n"  # 3: too many
        b'3,Toys,"Ki"te,7\n'  # 4: text after a quote
        b"4,Toys,\xff\xfe,7\n"  # 5: not UTF-8
        b"5,Toys," + b"x" * (datasets.MAX_ROW_BYTES + 10) + b",7\n"  # 6: too long
        b"6,Toys,Yo-yo,8\n"
        b'7,Toys,"open,9\n'  # 8: never closed
        b"8,Toys,Top,10\n"
    )
    reading = read(db, tmp_path, "products.csv", data)
    assert unreadable(db) == [
        (2, 1, "wrong_field_count"),
        (3, 1, "wrong_field_count"),
        (4, 1, "malformed_quoting"),
        (5, 1, "invalid_encoding"),
        (6, 1, "row_too_long"),
        (8, 1, "malformed_quoting"),
    ]
    assert [(row[0], row[4]) for row in products(db)] == [("6", 7), ("8", 9)]
    assert reading.rows == 8
    found = dict(raw_text(reading.file, [(3, 1), (8, 1)]))
    assert found == {3: "2,Toys,Ball,5,6", 8: '7,Toys,"open,9'}


@pytest.mark.parametrize(
    ("name", "row", "reasons"),
    [
        ("orders.csv", "1,u,2025-03-01,1.00,shipped", None),
        ("orders.csv", "1,,2025-03-01,1.00,shipped", None),
        ("orders.csv", "1,u,2025-03-01T23:59:59+02:00,1.00,shipped", None),
        ("orders.csv", "1,u,not-a-date,1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,2025-02-30,1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,epoch,1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,infinity,1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,2025-03-01 (BC),1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,20250301,1.00,shipped", ["bad_order_date"]),
        ("orders.csv", "1,u,2025-03-01,abc,shipped", ["bad_total_amount"]),
        ("orders.csv", '1,u,2025-03-01,"1,00",shipped', ["bad_total_amount"]),
        ("orders.csv", "1,u,2025-03-01,NaN,shipped", ["bad_total_amount"]),
        ("orders.csv", "1,u,2025-03-01,10000000000000000,shipped", ["bad_total_amount"]),
        (
            "orders.csv",
            " ,u,,x,",
            ["missing_order_id", "missing_order_date", "bad_total_amount", "missing_status"],
        ),
        ("order_items.csv", "1,p,2.0,1", None),
        ("order_items.csv", "1,p,2.5,1", ["bad_quantity"]),
        ("order_items.csv", "1,p,,", ["missing_quantity", "missing_unit_price"]),
        ("order_items.csv", "1,p,-1,-1", None),  # whether it may be so is for the suites to say
        ("products.csv", "1,,n,abc", ["missing_category", "bad_price"]),
        ("products.csv", "1,c,,1", None),
    ],
)  # fmt: skip
def test_a_row_is_unreadable_for_all_its_reasons(
    name: str, row: str, reasons: list[str] | None, db, tmp_path: Path
) -> None:
    dataset = dataset_of(name)
    assert dataset is not None
    header = ",".join(DATASETS[dataset].column_names)
    read(db, tmp_path, name, f"{header}\n{row}\n".encode())
    assert db.execute(f"SELECT _unreadable FROM {dataset}").fetchall() == [(reasons,)]


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "empty_file", "first line must name the columns"),
        (b"\xef\xbb\xbf \r\n\n", "empty_file", "first line must name the columns"),
        (GOOD.decode().encode("utf-16"), "not_utf8", "save it as UTF-8"),
        (b"PK\x03\x04" + GOOD, "not_csv", "zip"),
        (GOOD + b"3,Toys,\x00,1\n", "not_csv", "line 4 has a NUL byte"),
        (GOOD.split(b"\n", 1)[1], "missing_column", "its first line is '1,Books,Atlas,10.00'"),
        (GOOD.replace(b",", b";"), "missing_column", "columns are separated by commas"),
        (GOOD.replace(b"price", b"cost", 1), "missing_column", "line 1: no column price"),
        (GOOD.replace(b"name", b"price", 1), "missing_column", "no column name"),
        (GOOD.replace(b"price\n", b"price,price\n", 1), "duplicate_column", "more than once"),
    ],
    ids=[
        "empty", "white space", "UTF-16", "zip", "NUL", "no header", "semicolons",
        "other name", "column missing", "column twice",
    ],
)  # fmt: skip
def test_a_file_that_is_no_csv_of_its_dataset_is_rejected_with_what_to_do(
    data: bytes, reason: str, detail: str, db, tmp_path: Path
) -> None:
    reading = read(db, tmp_path, "products.csv", data)
    assert (reading.status, reading.reason) == ("rejected", reason)
    assert detail in (reading.detail or "")
    assert products(db) == []


def test_a_file_of_only_a_header_is_read_and_has_no_rows(db, tmp_path: Path) -> None:
    reading = read(db, tmp_path, "products.csv", b"product_id,category,name,price\n")
    assert (reading.status, reading.rows) == ("read", 0)


def test_the_same_bytes_under_another_name_count_once(db, tmp_path: Path) -> None:
    for name in ("products_1.csv", "products_2.csv"):
        (tmp_path / name).write_bytes(GOOD)
    (tmp_path / "products_3.csv").write_bytes(GOOD.replace(b"Ball", b"Doll"))
    readings = reader.read(files_in(tmp_path), db)
    assert [(r.status, r.reason) for r in readings] == [
        ("read", None),
        ("duplicate", "duplicate_file"),
        ("read", None),
    ]
    assert "products_1.csv" in (readings[1].detail or "")
    assert len(products(db)) == 4


@pytest.mark.parametrize(
    ("landings", "duplicate"),
    [
        (["orders_1=a", "orders_1=b", "orders_1=a"], []),
        (["orders_1=a", "orders_1=a", "orders_1=b"], [1]),
        (["orders_1=a", "orders_1=b", "orders_1=a", "orders_1=a"], [3]),
        (["orders_1=a", "orders_2=a", "orders_1=b", "orders_2=a", "orders_1=a"], [1, 3]),
        (["orders_1=a", "orders_1=longer", "orders_1=a"], []),
    ],
)
def test_bytes_that_return_after_another_version_of_their_name_are_no_duplicate(
    tmp_path: Path, landings: list[str], duplicate: list[int]
) -> None:
    files = []
    for number, landing in enumerate(landings):
        name, _, content = landing.partition("=")
        path = tmp_path / str(number)
        path.write_text(content)
        files.append(LandedFile(name=f"{name}.csv", path=path, dataset="orders"))
    assert sorted(duplicates(files)) == duplicate


def test_a_folder_without_files_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"no orders_\*\.csv.*give the folder"):
        files_in(tmp_path)
    with pytest.raises(DeliveryError, match="no such folder"):
        files_in(tmp_path / "nowhere")


def test_what_is_not_recognised_in_a_folder_is_listed_without_hidden_files(tmp_path: Path) -> None:
    for name in ("orders_1.csv", "sales.csv", "more/notes.txt", ".DS_Store", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("order_id\n")
    files = files_in(tmp_path)
    assert [file.name for file in files] == ["orders_1.csv"]
    assert not_recognised_in(tmp_path, files) == ["more/notes.txt", "sales.csv"]


def test_line_numbers_are_right_in_a_file_that_duckdb_reads_in_parallel(db, tmp_path: Path) -> None:
    rows = 400_000  # 10 MB: several of DuckDB's scan ranges
    data = b"product_id,category,name,price\n" + b"".join(
        b"%d,c,name of %d,1.00\n" % (n, n) for n in range(2, rows + 2)
    )
    reading = read(db, tmp_path, "products.csv", data)
    assert reading.rows == rows
    wrong = db.execute("SELECT count(*) FROM products WHERE product_id::BIGINT <> _line").fetchone()
    assert wrong == (0,)


def test_a_messy_file_reads_as_the_clean_one_does(db, tmp_path: Path) -> None:
    """One malformed record sends a file through csv; its other rows must not change by it."""
    rows = b"".join(b' %d ,"c, %d",\t"n""%d",%d.50\n' % (n, n, n, n) for n in range(500))
    header = b"product_id,category,name,price\n"
    read(db, tmp_path, "products_1.csv", header + rows)
    clean = [row[:4] for row in products(db)]
    db.execute("DROP TABLE orders; DROP TABLE order_items; DROP TABLE products")
    db.execute("DROP TABLE unreadable_rows; DROP TABLE ambiguous_amounts")
    read(db, tmp_path, "products_2.csv", header + b"bad\n" + rows)
    assert [row[:4] for row in products(db)] == clean
    assert len(clean) == 500


def test_a_delivery_may_have_more_files_than_two_bytes_can_number(db, tmp_path: Path) -> None:
    set_aside.create(db, [read(db, tmp_path, "products.csv", GOOD)])
    # A rebuild reads all files that were ever processed.
    tables = ("orders", "order_items", "products", "unreadable_rows", "files", "failing")
    for table in (*tables, "quarantined", "rejected_files"):
        db.execute(f"INSERT INTO {table} (_file) VALUES (65536)")
        assert db.execute(f"SELECT max(_file) FROM {table}").fetchall() == [(65536,)]
