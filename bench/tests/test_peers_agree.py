"""Every contestant of the bench computes the same KPIs, on a delivery small enough for a test."""

import os
from pathlib import Path

import pytest

from bench import faults, inputs, rounds, transform, validate
from bench.process import CommandError, run

# Not spark and spark-submit: they are the product itself, tested in tests/spark_jobs.
PEERS = ("naive", "duckdb", "polars", "pandas")
VALIDATORS = ("gx-pandas", "pandera", "pointblank", "duckdb")


@pytest.fixture(scope="session")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns, orders without lines and orders that straddle files are in it."""
    folder = tmp_path_factory.mktemp("delivery")
    inputs.generate(folder, "--days", "12", "--orders-per-day", "30")
    return folder / "incoming"


@pytest.fixture(scope="session")
def product(delivery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's own output, computed on Sail."""
    output = tmp_path_factory.mktemp("product")
    _run("sail", delivery, output)
    return output


def _run(name: str, delivery: Path, output: Path) -> None:
    ways = {way.name: way for way in transform.contestants()}
    if name not in ways:
        assert name in transform.NEED_JAVA
        assert os.environ.get("CI") != "true", "CI must have Java 17"
        pytest.skip("no Java 17")
    run(ways[name].command(delivery, output), ways[name].environment)


@pytest.mark.parametrize("name", PEERS)
def test_a_contestant_writes_the_same_bytes_as_the_product(name, delivery, product, tmp_path):
    _run(name, delivery, tmp_path)
    rounds.compare_files(transform.OUTPUTS)(product, tmp_path)
    assert len((tmp_path / "order_kpis.csv").read_text().splitlines()) == 1 + 12


@pytest.fixture(scope="session")
def faulty(delivery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    faults.plant(delivery, folder)
    return folder


@pytest.fixture(scope="session")
def judged(faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator's own output."""
    output = tmp_path_factory.mktemp("judged")
    _validate("validator", faulty, output)
    return output


def _validate(name: str, delivery: Path, output: Path) -> None:
    way = next(way for way in validate.contestants() if way.name == name)
    run(way.command(delivery, output), way.environment)


@pytest.mark.parametrize("name", VALIDATORS)
def test_a_contestant_counts_the_same_faults_as_the_validator(name, faulty, judged, tmp_path):
    _validate(name, faulty, tmp_path)
    validate.compare(judged, tmp_path)


def test_the_faults_to_find_are_of_many_kinds(judged):
    kinds = validate.counts(judged)
    assert {"orders.bad_order_date", "order_items.unknown_order", "orders.total_mismatch"} <= set(
        kinds
    )
    assert kinds["order_items.quantity_out_of_range"] == 2


def test_a_check_that_counts_differently_is_named_with_both_counts(tmp_path):
    for name, text in (("duckdb", '{"orders.unknown_status": 3}'), ("pandera", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "counts.json").write_text(text)
    with pytest.raises(
        rounds.DifferenceError, match=r"orders.unknown_status: duckdb counts 3 rows, pandera 0"
    ):
        validate.compare(tmp_path / "duckdb", tmp_path / "pandera")


def test_a_cent_of_difference_is_named_with_file_line_and_both_values(tmp_path):
    for name, value in (("duckdb", "10.00"), ("pandas", "10.01")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "order_kpis.csv").write_text(f"order_date,x\n2025-03-01,{value}\n")
    with pytest.raises(rounds.DifferenceError) as caught:
        rounds.compare_files(["order_kpis.csv"])(tmp_path / "duckdb", tmp_path / "pandas")
    message = str(caught.value)
    assert "order_kpis.csv differs from line 2 on" in message
    assert "duckdb: 2025-03-01,10.00" in message
    assert "pandas: 2025-03-01,10.01" in message


def test_a_missing_last_row_is_a_difference(tmp_path):
    for name, text in (("a", "h\n1\n2\n"), ("b", "h\n1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "order_kpis.csv").write_text(text)
    with pytest.raises(rounds.DifferenceError, match="line 3"):
        rounds.compare_files(["order_kpis.csv"])(tmp_path / "a", tmp_path / "b")


def test_a_contestant_that_fails_stops_the_comparison_with_its_last_words():
    with pytest.raises(CommandError, match=r"exit code 3(.|\n)*no such luck"):
        run(["sh", "-c", "echo no such luck; exit 3"], os.environ)
