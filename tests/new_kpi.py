"""Where a KPI of one date is shown: run in a copy of the project, with its root as the folder.

    python new_kpi.py DELIVERY OUTPUT FROM TO

runs the stand-alone transform, publishes its items to an embedded DynamoDB, and prints what the
API, the command and the dashboard show of them as one JSON object.
"""

import base64
import contextlib
import csv
import gzip
import io
import json
import os
import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from chalice.test import Client
from moto import mock_aws

from contract.kpi_columns import CATEGORY_KPIS, ORDER_DATE, ORDER_KPIS, KpiTable
from dashboard.figures import DayFigures, Figures
from dashboard.page import render
from shopkpi.__main__ import main as shopkpi
from spark_jobs import transform
from spark_jobs.publish.tables import Stamp, stored, to_days
from spark_jobs.publish.tables import Tables as KpiTables

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "S3_BUCKET": "shop",
    "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:M",
}
STAMP = Stamp(run_id="run-1", ledger_version=1, computed_at=datetime(2026, 3, 1, tzinfo=UTC))


class Rows:
    """A table that the transform has written, as the publisher reads it."""

    def __init__(self, path: Path, table: KpiTable) -> None:
        self._columns = {column.name: column for column in table.columns}
        with path.open(newline="") as file:
            self._rows = list(csv.DictReader(file))

    def to_pylist(self) -> list[dict[str, Any]]:
        return [{name: self._value(name, text) for name, text in row.items()} for row in self._rows]

    def _value(self, name: str, text: str) -> Any:
        column = self._columns[name]
        if column is ORDER_DATE:
            return date.fromisoformat(text)
        return column.value(Decimal(text)) if column.is_number else text


def main(delivery: Path, output: Path, first: date, last: date) -> dict[str, Any]:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        options = ["--input", str(delivery), "--output", str(output), "--engine", "sail"]
        assert transform.main(options) == 0
    category: Any = Rows(output / "category_kpis.csv", CATEGORY_KPIS)
    daily: Any = Rows(output / "order_kpis.csv", ORDER_KPIS)
    days = to_days(category, daily, {row["order_date"] for row in daily.to_pylist()}, STAMP)
    with patch.dict(os.environ, ENVIRONMENT), mock_aws():
        for table in (CATEGORY_KPIS, ORDER_KPIS):
            create(table)
        for day in days:
            put(ORDER_KPIS, day.order_item)
            for item in day.category_items:
                put(CATEGORY_KPIS, item)
        return {
            "transform": shown.getvalue(),
            "api": api(f"from={first}&to={last}"),
            "command": command("kpis", "--from", str(first), "--to", str(last)),
            "dashboard": dashboard([day.order_date for day in days]),
        }


def create(table: KpiTable) -> None:
    names = [column.name for column in table.key]
    boto3.client("dynamodb").create_table(
        TableName=table.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ],
    )


def put(table: KpiTable, item: Any) -> None:
    boto3.resource("dynamodb").Table(table.name).put_item(Item=item)


def api(query: str) -> Any:
    """Return the items of GET /kpis/daily."""
    sys.path.insert(0, str(Path("chalice_app").resolve()))
    from app import app

    with Client(app, stage_name="api") as client:
        answer = client.http.get(f"/kpis/daily?{query}")
    assert answer.status_code == 200, answer.body
    return answer.json_body["items"]


def command(*arguments: str) -> str:
    """Return what ``shopkpi`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        shopkpi(list(arguments))
    return printed.getvalue()


def dashboard(dates: list[str]) -> Any:
    """Return what the page's script reads."""
    tables = KpiTables(category_kpis=CATEGORY_KPIS.name, order_kpis=ORDER_KPIS.name, runs="runs")
    days = stored(dates, boto3.client("dynamodb"), tables)
    figures = Figures(ledger="l", **STAMP.attributes())
    page = render(figures.with_days({day.order_date: DayFigures.of(day) for day in days}))
    [data] = re.findall(r'id="figures"[^>]*>([^<]+)<', page)
    return json.loads(gzip.decompress(base64.b64decode(data)))


if __name__ == "__main__":
    delivery, output, first, last = sys.argv[1:]
    found = main(Path(delivery), Path(output), date.fromisoformat(first), date.fromisoformat(last))
    print(json.dumps(found))
