"""Write the schemas of KPI items in openapi.yaml from the columns of the KPI tables.

python -m chalice_app.openapi
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contract.kpi_columns import CATEGORY_KPIS, ORDER_KPIS, ColumnType, KpiColumn, KpiTable

DOCUMENT: Final = Path(__file__).with_name("openapi.yaml")
_FIRST_LINE: Final = "    # Written by python -m chalice_app.openapi: begin\n"
_LAST_LINE: Final = "    # Written by python -m chalice_app.openapi: end\n"
_SCHEMAS: Final = {"DailyKpi": ORDER_KPIS, "CategoryKpi": CATEGORY_KPIS}
_TYPES: Final = {
    ColumnType.TEXT: "type: string",
    ColumnType.DATE: "type: string, format: date",
    ColumnType.TIME: "$ref: '#/components/schemas/Time'",
    ColumnType.INTEGER: "$ref: '#/components/schemas/Count'",
    ColumnType.DECIMAL: "$ref: '#/components/schemas/Decimal'",
    ColumnType.PERCENTAGE: "$ref: '#/components/schemas/Decimal'",
}


def with_kpi_schemas(document: str) -> str:
    """Return the YAML text with the schemas of KPI items as the contract defines them."""
    before, _, rest = document.partition(_FIRST_LINE)
    _, _, after = rest.partition(_LAST_LINE)
    schemas = "".join(_schema(name, table) for name, table in _SCHEMAS.items())
    return "".join((before, _FIRST_LINE, schemas, _LAST_LINE, after))


def _schema(name: str, table: KpiTable) -> str:
    names = ", ".join(column.name for column in table.attributes)
    lines = (
        f"    {name}:",
        "      type: object",
        "      additionalProperties: false",
        f"      required: [{names}]",
        "      properties:",
        *_properties(table),
    )
    return "".join(f"{line}\n" for line in lines)


def _properties(table: KpiTable) -> Iterator[str]:
    for column in table.attributes:
        # JSON text is YAML text, too.
        description = json.dumps(_description(column), ensure_ascii=False)
        yield f"        {column.name}: {{{_TYPES[column.type]}, description: {description}}}"


def _description(column: KpiColumn) -> str:
    return f"{column.meaning}. Unit: {column.unit}" if column.unit else column.meaning


if __name__ == "__main__":
    DOCUMENT.write_text(with_kpi_schemas(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
