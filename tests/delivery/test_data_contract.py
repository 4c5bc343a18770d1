"""The contracts of docs/contract are of the current columns and rules, and valid."""

import json
from importlib.resources import files

import pytest
import yaml
from jsonschema import Draft201909Validator

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS
from delivery.__main__ import FOLDER
from delivery.data_contract import contracts
from delivery.datasets import DATASETS
from delivery.rules import SUITES, load_rules

STANDARD = json.loads((files("open_data_contract_standard") / "schema.json").read_text("utf-8"))


def test_the_contracts_are_those_that_the_command_writes() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert written == contracts(), "run python -m delivery"


@pytest.mark.parametrize("name", contracts())
def test_a_contract_is_valid_by_the_standards_own_schema(name: str) -> None:
    contract = yaml.safe_load(contracts()[name])
    Draft201909Validator(STANDARD).validate(contract)
    assert contract["apiVersion"] == STANDARD["properties"]["apiVersion"]["default"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_contract_has_each_column_and_each_rule_once(dataset: str) -> None:
    [table] = yaml.safe_load(contracts()[f"{dataset}.odcs.yaml"])["schema"]
    columns = table["properties"]
    assert [column["name"] for column in columns] == list(DATASETS[dataset].column_names)
    rules = [rule["name"] for place in (table, *columns) for rule in place["quality"]]
    expected = [rule.reason for rule in load_rules(SUITES / f"{dataset}.json")]
    assert sorted(rules) == sorted(expected)


def test_the_contract_of_the_kpis_has_the_keys_and_columns_of_both_tables() -> None:
    tables = yaml.safe_load(contracts()["kpis.odcs.yaml"])["schema"]
    for found, table in zip(tables, (CATEGORY_KPIS, ORDER_KPIS), strict=True):
        assert [column["name"] for column in found["properties"]] == [
            column.name for column in table.attributes
        ]
        keys = [column["name"] for column in found["properties"] if column["primaryKey"]]
        assert keys == [column.name for column in table.key]
