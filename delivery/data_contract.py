"""The data contract with a shop, in the Open Data Contract Standard (ODCS).

One contract for each dataset that is delivered, and one for the KPI tables. They are generated: the
columns are those of :mod:`delivery.datasets` and :mod:`contract.kpi_columns`, the quality rules
are the suites' expectations.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from open_data_contract_standard.model import (
    DataQuality,
    Description,
    EnumValue,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
    Server,
)

from contract.keys import INCOMING, DatasetName
from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS, ColumnType, KpiColumn, KpiTable

from .datasets import DATASETS, Column, Dataset
from .rules import SUITES, Rule, load_rules
from .words import STATUS_WORDS

_ODCS: Final = "v3.2.0"
_VERSION: Final = "1.0.0"
_PURPOSE: Final[Mapping[DatasetName, str]] = {
    "orders": "One row is an order. A later row of the same order_id replaces it.",
    "order_items": "One row is a line of an order: a product, its quantity and its price.",
    "products": "One row is a product and the category that its lines count in.",
}


def contracts() -> dict[str, str]:
    """Return each contract as YAML, by the name of its file."""
    found = [*map(_of_dataset, DATASETS.values()), _of_kpis()]
    return {f"{contract.name}.odcs.yaml": contract.to_yaml() for contract in found}


def _contract(
    name: str, purpose: str, server: Server, tables: Sequence[SchemaObject]
) -> OpenDataContractStandard:
    return OpenDataContractStandard(
        apiVersion=_ODCS,
        kind="DataContract",
        id=f"shop-kpi-{name.replace('_', '-')}",
        name=name,
        version=_VERSION,
        status="active",
        description=Description(purpose=purpose),
        servers=[server],
        schema=list(tables),
    )


def _of_dataset(dataset: Dataset) -> OpenDataContractStandard:
    rules = load_rules(SUITES / f"{dataset.name}.json")
    table = SchemaObject(
        name=dataset.name,
        logicalType="object",
        physicalType="file",
        physicalName=f"{dataset.name}*.csv",
        properties=[_property(column, dataset, rules) for column in dataset.columns],
        quality=[_quality(rule) for rule in rules if _column_of(rule, dataset) is None],
    )
    server = Server(
        server="landing-folder",
        type="s3",
        location=f"s3://{{bucket}}/{INCOMING}",
        format="csv",
        description="UTF-8 CSV with a header, plain or gzip; a new name for each delivery.",
    )
    return _contract(dataset.name, _PURPOSE[dataset.name], server, [table])


def _property(column: Column, dataset: Dataset, rules: Sequence[Rule]) -> SchemaProperty:
    return SchemaProperty(
        name=column.name,
        description=column.meaning,
        logicalType=_LOGICAL_TYPES[column.sql_type.partition("(")[0]],
        physicalType=column.sql_type,
        required=column.required,
        enum=[EnumValue(value=word, label=status) for word, status in STATUS_WORDS.items()]
        if column.name == "status"
        else None,
        quality=[_quality(rule) for rule in rules if _column_of(rule, dataset) == column],
    )


_LOGICAL_TYPES: Final = {
    "VARCHAR": "string",
    "DATE": "date",
    "BIGINT": "integer",
    "DECIMAL": "number",
}


def _column_of(rule: Rule, dataset: Dataset) -> Column | None:
    """Return the column that a rule is about; None for a rule about rows or files."""
    for column in dataset.columns:
        # The reader's findings have no column among their arguments; their reasons name it.
        if rule.kwargs.get("column") == column.name or rule.reason in (
            column.missing,
            column.bad,
            column.mangled,
        ):
            return column
    return None


def _quality(rule: Rule) -> DataQuality:
    return DataQuality.model_validate(
        {
            "type": "custom",
            "name": rule.reason,
            "description": rule.explanation,
            "severity": rule.severity,
            "engine": "great-expectations",
            "implementation": {"type": rule.type, "kwargs": rule.kwargs},
        }
    )


def _of_kpis() -> OpenDataContractStandard:
    server = Server(
        server="kpi-tables",
        type="custom",
        description="DynamoDB tables; the REST API and shopkpi kpis read the same items.",
    )
    tables = [_kpi_table(table) for table in (CATEGORY_KPIS, ORDER_KPIS)]
    return _contract("kpis", "The daily KPIs of a shop.", server, tables)


def _kpi_table(table: KpiTable) -> SchemaObject:
    return SchemaObject(
        name=table.name,
        logicalType="object",
        physicalType="table",
        properties=[_kpi_property(column, table) for column in table.attributes],
    )


def _kpi_property(column: KpiColumn, table: KpiTable) -> SchemaProperty:
    position = table.key.index(column) + 1 if column in table.key else None
    logical, physical = _KPI_TYPES[column.type]
    return SchemaProperty(
        name=column.name,
        businessName=column.label,
        description=f"{column.meaning} ({column.unit})" if column.unit else column.meaning,
        logicalType=logical,
        physicalType=physical,
        primaryKey=position is not None,
        primaryKeyPosition=position,
        required=True,
    )


_KPI_TYPES: Final = {
    ColumnType.TEXT: ("string", "S"),
    ColumnType.DATE: ("date", "S"),
    ColumnType.TIME: ("timestamp", "S"),
    ColumnType.INTEGER: ("integer", "N"),
    ColumnType.DECIMAL: ("number", "N"),
    ColumnType.PERCENTAGE: ("number", "N"),
}
