"""A mapping renames columns, files and words; it changes nothing else, and says what is wrong."""

import re
from pathlib import Path

import duckdb
import pytest

from delivery import identity, reader
from delivery.landed_files import files_in
from delivery.mapping import FileMapping, MappingError

ORDERS = "order_id,user_id,order_date,total_amount,status\n1,u,2025-03-01,5.00,completed\n"
LINES = "id,order_id,product_id,quantity,unit_price\n"


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


def mapping(folder: Path, text: str) -> FileMapping:
    path = folder / "mapping.toml"
    path.write_text(text)
    return FileMapping.read(path)


def read(db, folder: Path, text: str, **files: str) -> list[reader.FileReading]:
    found = mapping(folder, text)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return reader.read(files_in(folder, found.dataset_of), db, mapping=found)


@pytest.mark.parametrize("quoted", ["Atlas", '"At\nlas"'], ids=["plain", "line by line"])
def test_columns_have_the_files_names_and_constants(db, tmp_path: Path, quoted: str) -> None:
    text = '[products]\nproduct_id = "ID"\nname = "Title"\nprice = { constant = "1.50" }\n'
    table = f"id,product_id,name,Title,category\n7,x,y,{quoted},Books\n"
    [reading] = read(db, tmp_path, text, products=table)
    assert (reading.status, reading.rows) == ("read", 1)
    [(product, category, name, price)] = db.execute(
        "SELECT product_id, category, name, price::VARCHAR FROM products"
    ).fetchall()
    assert (product, category, name, price) == ("7", "Books", quoted.strip('"'), "1.50")


def test_a_constant_with_a_quote_is_text(db, tmp_path: Path) -> None:
    text = '[products]\ncategory = { constant = "O\'Neill" }\n'
    read(db, tmp_path, text, products="product_id,name,price\n1,n,2\n")
    assert db.execute("SELECT category FROM products").fetchall() == [("O'Neill",)]


@pytest.mark.parametrize(("header", "date"), [("b,a", 1), ("a", 2), ("b", 1)])
def test_of_several_names_the_first_that_is_present_wins(
    db, tmp_path: Path, header: str, date: int
) -> None:
    text = '[orders]\norder_date = ["b", "a"]\n'
    values = ",".join({"b": "2025-03-01", "a": "2025-03-02"}[name] for name in header.split(","))
    table = f"order_id,user_id,total_amount,status,{header}\n1,u,5,completed,{values}\n"
    read(db, tmp_path, text, orders=table)
    assert db.execute("SELECT day(order_date) FROM orders").fetchall() == [(date,)]


def test_words_for_a_status_are_those_of_the_mapping(db, tmp_path: Path) -> None:
    table = ORDERS.replace("completed", "Zurück")
    read(db, tmp_path, '[statuses]\n"Zurück" = "returned"\n', orders=table)
    assert db.execute("SELECT status FROM orders").fetchall() == [("returned",)]


def test_files_are_recognised_by_the_mappings_patterns_and_by_the_usual_names(
    tmp_path: Path,
) -> None:
    found = mapping(tmp_path, '[files]\norders = ["Bestell*.csv"]\norder_items = "orders_lines*"\n')
    assert found.dataset_of("in/bestellungen.CSV") == "orders"
    assert found.dataset_of("orders_lines.csv") == "order_items"
    assert found.dataset_of("orders_1.csv") == "orders"
    assert found.dataset_of("notes.csv") is None


def test_twin_lines_in_two_files_count_twice_if_their_line_ids_differ(db, tmp_path: Path) -> None:
    found = '[order_items]\nline_id = "id"\n'
    files = {
        "orders": ORDERS,
        "products": "product_id,category,name,price\np,Books,n,1\n",
        "order_items_1": f"{LINES}1,1,p,1,2.50\n",
        "order_items_2": f"{LINES}1,1,p,1,2.50\n2,1,p,1,2.50\n",
    }
    read(db, tmp_path, found, **files)
    identity.resolve(db)
    assert db.execute("SELECT count(*) FROM current_lines").fetchall() == [(2,)]


def test_without_line_ids_the_same_lines_of_two_files_count_once(db, tmp_path: Path) -> None:
    files = {
        "orders": ORDERS,
        "products": "product_id,category,name,price\np,Books,n,1\n",
        "order_items_1": f"{LINES}1,1,p,1,2.50\n",
        "order_items_2": f"{LINES}2,1,p,1,2.50\n",
    }
    read(db, tmp_path, "", **files)
    identity.resolve(db)
    assert db.execute("SELECT count(*) FROM current_lines").fetchall() == [(1,)]


def test_a_missing_column_names_the_line_that_a_mapping_needs(db, tmp_path: Path) -> None:
    [reading] = read(db, tmp_path, "", products="id,category,name,price\n")
    assert reading.reason == "missing_column"
    assert reading.detail == (
        "line 1: no column product_id: its first line is 'id,category,name,price'; name the columns"
        " as product_id,category,name,price, or add to mapping.toml under [products]:"
        ' product_id = "ITS NAME IN THE FILE"'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[order]", "mapping.toml order: an unknown key; use files, statuses, orders"),
        ("[orders]\nuser = 'u'", "mapping.toml: [orders] user: an unknown key; use order_id, "),
        ("[products]\nline_id = 'u'", "mapping.toml: [products] line_id: an unknown key"),
        ("[orders]\nuser_id = 7", 'mapping.toml: [orders] user_id: is 7; write "NAME"'),
        ("[orders]\nuser_id = []", 'mapping.toml: [orders] user_id: is []; write "NAME"'),
        ("[orders]\nuser_id = { from = 'lines' }", "[orders] user_id: is {'from': 'lines'}; write"),
        ("[orders]\ntotal_amount = { from = 'x' }", 'or { from = "lines" }'),
        ("[orders]\nuser_id = { constant = 'a', b = 1 }", "[orders] user_id: is {'constant'"),
        ("[statuses]\nPaid = 'good'", "mapping.toml: [statuses] Paid: is 'good'; use one of "),
        ("[files]\nlines = '*'", "mapping.toml: [files] lines: an unknown key; use orders"),
        ("orders = 1", "mapping.toml orders: not a table; write [orders] on a line before"),
        ("[orders", "mapping.toml: not TOML: "),
    ],
)
def test_a_mapping_that_cannot_be_used_is_an_error_that_names_the_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(MappingError, match=re.escape(message)):
        mapping(tmp_path, text)


def test_a_mapping_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="No such file or directory; check MAPPING or --mapping"):
        FileMapping.read(tmp_path / "none.toml")
