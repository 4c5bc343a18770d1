"""Each expectation passes on a good delivery and fails on exactly the row that breaks it."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from contract.keys import DATA_DOCS_RUNS
from delivery import datasets, reader, rejected_rows
from delivery.apply_rules import apply_rules
from delivery.bad_row_limit import BadRowLimit
from delivery.landed_files import files_in
from delivery.rules import SUITES, Rule, SuiteError, rule_of
from delivery.words import STATUSES
from expectations import data_docs, gx
from tests.conftest import HEADERS, ROOT, write_delivery

from .conftest import NOW, ROWS, Outcome, Validate, clean_files

DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(SUITES.glob("*.json"))
}
RULES = {
    (suite, rule.reason): rule
    for suite, document in DOCUMENTS.items()
    for expectation in document["expectations"]
    for rule in [rule_of(expectation, source=Path(suite))]
}

# A row, or the whole text of a file, that breaks one expectation. A row is the second of its
# file, on line 3, and differs from a good one in these columns; in a raw file, {header} is its
# header and {rows} are twenty good rows.
ROW_FAULTS: dict[tuple[str, str], Mapping[str, str]] = {
    ("orders", "missing_order_id"): {"order_id": " "},
    ("orders", "missing_order_date"): {"order_date": ""},
    ("orders", "missing_total_amount"): {"total_amount": ""},
    ("orders", "missing_status"): {"status": ""},
    ("orders", "bad_order_date"): {"order_date": "2026-02-30"},
    ("orders", "bad_total_amount"): {"total_amount": "12345678901234567.00"},
    ("orders", "malformed_order_id"): {"order_id": "O" * 65},
    ("orders", "order_date_out_of_range"): {"order_date": "2026-03-03"},
    ("orders", "total_amount_out_of_range"): {"total_amount": "-0.01"},
    ("orders", "unknown_status"): {"status": "lost"},
    ("orders", "missing_user_id"): {"user_id": ""},
    ("orders", "malformed_user_id"): {"user_id": "U\t1"},
    ("orders", "mangled_order_id"): {"order_id": "4.50603E+15"},
    ("orders", "mangled_user_id"): {"user_id": "4.5e+15"},
    ("order_items", "mangled_order_id"): {"order_id": "1E+15"},
    ("order_items", "mangled_product_id"): {"product_id": "4.50603E+15"},
    ("products", "mangled_product_id"): {"product_id": "4.50603E+15"},
    ("order_items", "missing_order_id"): {"order_id": ""},
    ("order_items", "missing_product_id"): {"product_id": ""},
    ("order_items", "missing_quantity"): {"quantity": ""},
    ("order_items", "missing_unit_price"): {"unit_price": ""},
    ("order_items", "bad_quantity"): {"quantity": "1.5"},
    ("order_items", "bad_unit_price"): {"unit_price": "5,00"},
    ("order_items", "malformed_order_id"): {"order_id": "O\t1"},
    ("order_items", "malformed_product_id"): {"product_id": "P\t1"},
    ("order_items", "quantity_out_of_range"): {"quantity": "1000001"},
    ("order_items", "unit_price_out_of_range"): {"unit_price": "10000000.01"},
    ("order_items", "unknown_order"): {"order_id": "nobody's"},
    ("order_items", "unknown_product"): {"product_id": "nobody's"},
    ("products", "missing_product_id"): {"product_id": ""},
    ("products", "missing_category"): {"category": ""},
    ("products", "missing_price"): {"price": ""},
    ("products", "bad_price"): {"price": "free"},
    ("products", "malformed_product_id"): {"product_id": "P\u20281"},
    ("products", "malformed_category"): {"category": "C" * 1025},
    ("products", "price_out_of_range"): {"price": "-1"},
    ("relations", "total_mismatch"): {"total_amount": "10.01"},
}
FILE_FAULTS: dict[str, bytes] = {
    "empty_file": b"\n",
    "not_csv": b"PK\x03\x04 and so on",
    "not_utf8": "order_id".encode("utf-16"),
    "missing_column": b"a,b\n1,2\n",
    "duplicate_column": b"{header},{header}\n",
    "duplicate_file": b"{good}",
    "wrong_field_count": b"{header}\n{row}\nx\n{rows}",
    "malformed_quoting": b'{header}\n{row}\n"x" y,1,1,1,1\n{rows}',
    "invalid_encoding": b"{header}\n{row}\n{bad_row}\n{rows}",
    "row_too_long": b"{header}\n{row}\n{long_row}\n{rows}",
    "stray_quote": b'{header}\n{row}\n"x,1,1,1,1\n{row}\ny",1,1,1,1\n{rows}',
    "damaged_gzip": gzip.compress(b"order_id")[:-4],
    "volume": b"{header}\n{many}",
}
# A malformed id is unknown, too; the row goes to quarantine for its own fault only.
UNKNOWN_TOO = {
    ("order_items", "malformed_order_id"): ("unknown_order", 1, "warning"),
    ("order_items", "malformed_product_id"): ("unknown_product", 1, "warning"),
    ("order_items", "mangled_order_id"): ("unknown_order", 1, "warning"),
    ("order_items", "mangled_product_id"): ("unknown_product", 1, "warning"),
}
REPEATED = {("orders", "repeated_order_id"), ("products", "repeated_product_id")}
AMBIGUOUS = {
    ("orders", "ambiguous_total_amount"): "10",
    ("order_items", "ambiguous_unit_price"): "5",
    ("products", "ambiguous_price"): "1",
}
IN_OTHER_WAYS = {
    ("relations", "order_without_lines"),
    ("relations", "differing_lines"),
}


MANY = 11 * ROWS


def good_row(dataset: str, tag: str, n: int) -> dict[str, str]:
    return {
        "orders": {
            "order_id": f"{tag}-{n}",
            "user_id": "U1",
            "order_date": "2026-02-01",
            "total_amount": "10.00",
            "status": "delivered",
        },
        # The line of an order that is there and known from before: its totals are not compared.
        "order_items": {
            "order_id": f"K{n % ROWS}",
            "product_id": "P1",
            "quantity": "2",
            "unit_price": "5.00",
        },
        "products": {"product_id": f"{tag}-{n}", "category": "C", "name": "N", "price": "1"},
    }[dataset]


def lines_of(tag: str, orders: int = ROWS) -> list[dict[str, str]]:
    """Return a line for each of the orders whose ids begin with ``tag``."""
    return [
        {"order_id": f"{tag}-{n}", "product_id": "P1", "quantity": "2", "unit_price": "5"}
        for n in range(orders)
    ]


def as_text(dataset: str, rows: list[dict[str, str]]) -> bytes:
    return "".join(",".join(row[name] for name in HEADERS[dataset]) + "\n" for row in rows).encode()


@pytest.fixture(scope="module")
def faulty_run(validate_folder: Validate, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One delivery in which every expectation is broken, each by a file of its own."""
    folder = tmp_path_factory.mktemp("faulty")
    files = clean_files()
    known = tmp_path_factory.mktemp("known")
    lines = files["order_items_0.csv"]
    for (suite, reason), change in ROW_FAULTS.items():
        dataset = RULES[suite, reason].rows_of or suite
        tag = f"{suite}-{reason}"
        rows = [good_row(dataset, tag, n) for n in range(ROWS)]
        rows[1] |= change
        files[f"{dataset}_{tag}.csv"] = rows
        if dataset == "orders":
            lines += lines_of(tag)
    for (dataset, reason), amount in AMBIGUOUS.items():
        column = reason.removeprefix("ambiguous_")
        # No other amount of the file shows decimals.
        rows = [good_row(dataset, reason, n) | {column: amount} for n in range(ROWS)]
        rows[1][column] = f"{amount}.000"
        files[f"{dataset}_{reason}.csv"] = rows
        if dataset == "orders":
            lines += lines_of(reason)
    for dataset, reason in REPEATED:
        rows = [good_row(dataset, reason, n) for n in range(ROWS)]
        rows[1] = rows[0]
        files[f"{dataset}_{reason}.csv"] = rows
        if dataset == "orders":
            lines += lines_of(reason)
    files["orders_order_without_lines.csv"] = [
        good_row("orders", "known" if n != 1 else "without", n) for n in range(ROWS)
    ]
    lines += lines_of("known", MANY)
    differing = [good_row("order_items", "", n) for n in range(ROWS)]
    differing[1] = {"order_id": "O1-1", "product_id": "P1", "quantity": "1", "unit_price": "5.00"}
    files["order_items_differing_lines.csv"] = differing
    write_delivery(folder, files)

    for dataset in datasets.DATASETS:
        header = ",".join(HEADERS[dataset]).encode()
        for reason, text in FILE_FAULTS.items():
            rows = [good_row(dataset, "known", n) for n in range(MANY)]
            row = as_text(dataset, rows[:1]).strip()
            first, rest = row.split(b",", 1)
            content = (
                text.replace(b"{header}", header)
                .replace(b"{rows}", as_text(dataset, rows[2:ROWS]))
                .replace(b"{many}", as_text(dataset, rows))
                .replace(b"{row}", row)
                .replace(b"{bad_row}", first + b"\xff," + rest)
                .replace(b"{long_row}", first + b"x" * 1_100_000 + b"," + rest)
                .replace(
                    b"{good}",
                    (folder / next(n for n in files if n.startswith(dataset))).read_bytes(),
                )
            )
            (folder / f"{dataset}_z_{reason}.csv").write_bytes(content)
    return _with_history(validate_folder, tmp_path_factory, folder, known)


def _with_history(
    validate_folder: Validate,
    tmp_path_factory: pytest.TempPathFactory,
    folder: Path,
    known: Path,
) -> Outcome:
    """Validate after three runs with files of twenty rows; the orders K0 to K19 are known."""
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'K' || n AS order_id FROM range({ROWS}) AS t(n))"
            f" TO '{known}/orders.parquet' (FORMAT parquet)"
        )
    root = tmp_path_factory.mktemp("output")
    history = data_docs.History()
    for n in range(3):
        history = history.with_run(entry(f"before-{n}", rows=ROWS))
    target = root / DATA_DOCS_RUNS
    target.parent.mkdir(parents=True)
    target.write_text(history.to_json())
    return validate_folder(folder, output=root, known=known)


def entry(run_id: str, *, rows: int) -> data_docs.RunEntry:
    return data_docs.RunEntry(
        run_id=run_id,
        created_at="2026-02-01T00:00:00+00:00",
        outcome="accepted",
        files=3,
        rejected_files=0,
        rows=3 * rows,
        accepted_rows=3 * rows,
        quarantined_rows=0,
        held_rows=0,
        failing_rows=None,
        pages={},
        median_rows=dict.fromkeys(datasets.DATASETS, rows),
    )


def failing_fixture(suite: str, reason: str) -> str:
    """Return the name of the file that breaks an expectation."""
    dataset = RULES[suite, reason].rows_of or suite
    if (suite, reason) in ROW_FAULTS:
        return f"{dataset}_{suite}-{reason}.csv"
    if (suite, reason) in REPEATED | IN_OTHER_WAYS | AMBIGUOUS.keys():
        return f"{dataset}_{reason}.csv"
    assert reason in FILE_FAULTS, f"{suite}: {reason} has no failing fixture; add one"
    return f"{dataset}_z_{reason}.csv"


# The first is of a ledger that is too large to be read: tests/expectations/test_known_ids.py. The
# other needs a row beside it that can't be read: tests/field_cases.
IN_OTHER_TESTS = {"order_left_to_ledger", "ambiguous_quantity"}
CHECKED = [
    (suite, reason)
    for (suite, reason), rule in RULES.items()
    if rule.effect != "stop_run" and reason not in IN_OTHER_TESTS
]


@pytest.mark.parametrize(("suite", "reason"), CHECKED)
def test_an_expectation_fails_on_the_row_that_breaks_it_and_on_no_other(
    suite: str, reason: str, faulty_run: Outcome
) -> None:
    name = failing_fixture(suite, reason)
    rule = RULES[suite, reason]
    failed = faulty_run.query(
        "SELECT reason, unexpected, severity FROM '{root}/quality_history/{run}.parquet'"
        f" WHERE NOT success AND file = '{name}'"
    )
    too = UNKNOWN_TOO.get((suite, reason))
    assert set(failed) == {(reason, 1, rule.severity)} | ({too} if too else set())

    line = {(name, 3, (reason,))}
    file = faulty_run.file(name)
    warnings = [w for w in faulty_run.verdict["warnings"] if w["file"] == name]
    match rule.effect:
        case "quarantine_row" | "unreadable_row":
            assert {row for row in faulty_run.quarantined() if row[0] == name} == line
            assert (file["quarantined_rows"], file["held_rows"]) == (1, 0)
        case "hold_row":
            assert set(
                faulty_run.query(
                    "SELECT _file_name, _line, _reasons[1]"
                    " FROM '{root}/runs/{run}/held/order_items.parquet'"
                    f" WHERE _file_name = '{name}'"
                )
            ) == {(name, 3, reason)}
            assert (file["quarantined_rows"], file["held_rows"]) == (0, 1)
        case "reject_file":
            assert (file["status"], file["reason"]) == ("rejected", reason)
            number = faulty_run.verdict["files"].index(file) + 1
            copy = faulty_run.root / f"quarantine/run/files/{number}.csv"
            assert copy.is_file()
            explained = json.loads(copy.with_name(f"{number}.csv.reason.json").read_text())
            assert (explained["name"], explained["reason"]) == (name, reason)
        case "count_once":
            assert (file["status"], file["reason"]) == ("duplicate", reason)
        case "warn":
            assert [(w["reason"], w["count"]) for w in warnings] == [(reason, 1)]
            assert file["accepted_rows"] == file["rows"]
    if rule.effect != "warn":
        assert warnings == []


@pytest.mark.parametrize(("suite", "reason"), list(RULES))
def test_an_expectation_passes_on_a_good_delivery(
    suite: str, reason: str, clean_run: Outcome
) -> None:
    rows = clean_run.query(
        "SELECT file, success, unexpected FROM '{root}/quality_history/{run}.parquet'"
        f" WHERE reason = '{reason}' AND dataset = '{RULES[suite, reason].rows_of or suite}'"
    )
    assert len(rows) == (1 if suite == "products" else 5)
    assert {(success, unexpected) for _, success, unexpected in rows} == {(True, 0)}


def test_a_clean_delivery_is_accepted_whole(clean_run: Outcome) -> None:
    verdict = clean_run.verdict
    assert verdict["outcome"] == "accepted"
    assert verdict["totals"] == {
        "files": 11,
        "rejected_files": 0,
        "not_recognised_files": 0,
        "rows": 220,
        "accepted_rows": 220,
        "quarantined_rows": 0,
        "held_rows": 0,
    }
    assert verdict["warnings"] == []
    assert verdict["quarantined_rows"] is None
    assert clean_run.query(
        "SELECT column_name, column_type"
        " FROM (DESCRIBE FROM '{root}/runs/{run}/accepted/orders.parquet')"
    ) == [
        ("order_id", "VARCHAR"),
        ("user_id", "VARCHAR"),
        ("order_date", "DATE"),
        ("total_amount", "DECIMAL(18,2)"),
        ("status", "VARCHAR"),
        ("_file_name", "VARCHAR"),
        ("_landed_at", "TIMESTAMP"),
        ("_line", "BIGINT"),
    ]
    assert clean_run.query(
        "SELECT quantity * unit_price, count(*)"
        " FROM '{root}/runs/{run}/accepted/order_items.parquet'"
        " GROUP BY ALL"
    ) == [(10, 100)]


@pytest.mark.parametrize("suite", DOCUMENTS)
def test_great_expectations_holds_exactly_what_the_suite_says(suite: str) -> None:
    loaded = gx.load_suite(SUITES / f"{suite}.json")
    held = [expectation.configuration.to_json_dict() for expectation in loaded.expectations]
    for expectation in held:
        meta = expectation["meta"]
        assert expectation.pop("description") == f"{meta['reason']}: {meta['explanation']}"
    assert held == DOCUMENTS[suite]["expectations"]


def test_every_reason_of_the_reader_has_an_expectation() -> None:
    common = {
        value for name, value in vars(datasets).items() if name.isupper() and isinstance(value, str)
    }
    for dataset in datasets.DATASETS.values():
        reasons = {reason for suite, reason in RULES if suite == dataset.name}
        missing = {column.missing for column in dataset.columns if column.required}
        bad = {column.bad for column in dataset.columns if column.sql_type != "VARCHAR"}
        mangled = {column.mangled for column in dataset.columns if column.is_id}
        assert common | missing | bad | mangled <= reasons


def test_the_statuses_are_the_ones_that_the_readers_know() -> None:
    [value_set] = [
        expectation["kwargs"]["value_set"]
        for expectation in DOCUMENTS["orders"]["expectations"]
        if expectation["meta"]["reason"] == "unknown_status"
    ]
    assert value_set == list(STATUSES)


def broken(folder: Path, change: dict[str, Any] | None) -> Path:
    """Copy the suites, with the last expectation of orders changed, or none at all."""
    for name, document in DOCUMENTS.items():
        copy = json.loads(json.dumps(document))
        if name == "orders" and change is None:
            copy["expectations"] = []
        elif name == "orders" and change is not None:
            copy["expectations"][-1] |= change
        (folder / f"{name}.json").write_text(json.dumps(copy))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"orders\.json: has no expectations and would pass anything"),
        ({"type": "unexpected_rowz"}, r"orders\.json: volume has the type unexpected_rowz, which"),
        (
            {"type": "expect_column_max_to_be_between", "kwargs": {"column": "user_id"}},
            r"orders\.json: volume has the type expect_column_max_to_be_between, which has no SQL",
        ),
        (
            {
                "type": "expect_column_values_to_not_be_null",
                "kwargs": {"column": "user_id", "row_condition": "status = 'shipped'"},
            },
            r"volume \(expect_column_values_to_not_be_null\): .*unexpected .*'row_condition'",
        ),
        ({"severity": "grave"}, r"orders\.json: .*loaded 29 of 30"),
        (
            {
                "kwargs": {
                    "unexpected_rows_query": "SELECT _file, _line, _lines FROM {batch} WHERE nope"
                }
            },
            r"suite orders: expectation volume .* could not be computed: .*nope",
        ),
        (
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "nope"}},
            r"suite orders: expectation volume .* could not be computed: .*nope",
        ),
        ({"meta": {"reason": "volume"}}, r"orders\.json: .* has no 'effect'"),
        (
            {"meta": {"reason": "volume", "effect": "ignore", "explanation": "."}},
            r"volume has the effect 'ignore'; use one of",
        ),
        (
            {"meta": {"reason": "volume", "effect": "quarantine_row", "explanation": "."}},
            r"volume is warning but its effect is quarantine_row",
        ),
        (
            {"meta": {"reason": "not_csv", "effect": "warn", "explanation": "."}},
            r"not_csv is the reason of more than one expectation",
        ),
    ],
    ids=[
        "empty suite",
        "misspelt type",
        "type without SQL",
        "condition on rows",
        "unknown severity",
        "failing query",
        "missing column",
        "no effect",
        "unknown effect",
        "severity and effect disagree",
        "reason twice",
    ],
)
def test_rules_that_cannot_be_trusted_are_a_failure_of_the_run(
    change: dict[str, Any] | None,
    message: str,
    validate_folder: Validate,
    tmp_path: Path,
) -> None:
    incoming = write_delivery(tmp_path / "incoming", clean_files())
    suites = tmp_path / "suites"
    suites.mkdir()
    with pytest.raises(SuiteError, match=message):
        validate_folder(incoming, output=tmp_path / "out", suites=broken(suites, change))
    assert not (tmp_path / "out").exists()


def test_a_fault_that_no_expectation_names_is_a_failure_of_the_run(
    validate_folder: Validate, tmp_path: Path
) -> None:
    files = clean_files()
    files["orders_0.csv"][0]["total_amount"] = "much"
    suites = tmp_path / "suites"
    suites.mkdir()
    broken(suites, {})
    document = DOCUMENTS["orders"]
    kept = [e for e in document["expectations"] if e["meta"]["reason"] != "bad_total_amount"]
    (suites / "orders.json").write_text(json.dumps({**document, "expectations": kept}))
    with pytest.raises(
        SuiteError, match="no expectation for what the reader calls bad_total_amount"
    ):
        validate_folder(write_delivery(tmp_path / "incoming", files), suites=suites)


def test_a_rule_of_a_native_type_is_added_without_python_and_both_stages_apply_it(
    validate_folder: Validate, tmp_path: Path
) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    added = {
        "type": "expect_column_values_to_not_match_regex",
        "severity": "critical",
        "kwargs": {"column": "order_id", "regex": "^O1-[12]$"},
        "meta": {"reason": "test_order", "effect": "quarantine_row", "explanation": "."},
    }
    incoming = write_delivery(tmp_path / "incoming", clean_files())
    outcome = validate_folder(incoming, suites=broken(suites, added))
    assert outcome.quarantined() == {
        ("orders_1.csv", 3, ("test_order",)),
        ("orders_1.csv", 4, ("test_order",)),
    }
    with duckdb.connect() as connection:
        readings = reader.read(files_in(incoming), connection)
        apply_rules(connection, readings, BadRowLimit(), today=NOW.date(), suites=suites)
        rows = rejected_rows.find(connection, readings, BadRowLimit())
        assert outcome.quarantined() == {
            (row.file, row.line, row.reasons) for row in rows if row.outcome == "quarantined"
        }


def test_a_row_condition_is_refused(validate_folder: Validate, tmp_path: Path) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    added = {
        "type": "expect_column_values_to_not_be_null",
        "severity": "critical",
        "kwargs": {
            "column": "user_id",
            "row_condition": "1 = 1",
            "condition_parser": "great_expectations",
        },
        "meta": {"reason": "test_order", "effect": "quarantine_row", "explanation": "."},
    }
    incoming = write_delivery(tmp_path / "incoming", clean_files())
    with pytest.raises(SuiteError, match="unexpected keyword argument 'row_condition'"):
        validate_folder(incoming, suites=broken(suites, added))


def test_the_lines_of_the_guide_run_a_suite_on_the_readers_tables() -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/validation.md").read_text(), re.S)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "missing_user_id False 3\n" in done.stdout
    assert "missing_order_id True 0\n" in done.stdout


def test_sql_is_only_for_what_has_no_other_form() -> None:
    sql = {reason for (_, reason), rule in RULES.items() if "unexpected_rows_query" in rule.kwargs}
    assert sql == {
        *("volume", "repeated_order_id", "repeated_product_id"),
        *("missing_user_id", "malformed_category", "order_left_to_ledger"),
        *("order_without_lines", "total_mismatch", "differing_lines"),
        *("ambiguous_total_amount", "ambiguous_quantity", "ambiguous_unit_price"),
        "ambiguous_price",
    }


def test_a_table_with_other_columns_is_a_failure_of_the_run(
    validate_folder: Validate, tmp_path: Path
) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    broken(suites, {})
    document = json.loads(json.dumps(DOCUMENTS["orders"]))
    for expectation in document["expectations"]:
        if expectation["meta"]["reason"] == "unexpected_columns":
            expectation["kwargs"]["column_set"].remove("status")
    (suites / "orders.json").write_text(json.dumps(document))
    incoming = write_delivery(tmp_path / "incoming", clean_files())
    with pytest.raises(SuiteError, match=r"unexpected_columns: .* Found .*status"):
        validate_folder(incoming, suites=suites)


def test_a_rule_reads_what_its_expectation_says() -> None:
    expectation = DOCUMENTS["relations"]["expectations"][0]
    assert rule_of(expectation, source=Path("relations.json")) == Rule(
        type="unexpected_rows_expectation",
        reason="order_without_lines",
        effect="warn",
        severity="warning",
        explanation=expectation["meta"]["explanation"],
        kwargs=expectation["kwargs"],
        rows_of="orders",
    )


@pytest.mark.parametrize("priced", [1, 0], ids=["most", "all"])
def test_products_are_set_aside_where_most_or_all_lack_a_price(
    priced: int, validate_folder: Validate, tmp_path: Path
) -> None:
    products = [
        {"product_id": f"P{n}", "category": "Books", "name": "", "price": "1.00" * (n < priced)}
        for n in range(3)
    ]
    incoming = write_delivery(tmp_path, {**clean_files(), "products.csv": products})
    file = validate_folder(incoming).file("products.csv")
    assert file["reasons"] == {"missing_price": 3 - priced}
    assert (file["status"], file["accepted_rows"]) == ("accepted", priced)
