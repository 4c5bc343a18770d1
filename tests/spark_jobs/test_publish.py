"""What DynamoDB holds after publishing, on an embedded DynamoDB."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from spark_jobs.errors import PublishError, SupersededError
from spark_jobs.publish import batch_get, tables
from spark_jobs.publish.fence import Fence, State
from spark_jobs.publish.tables import Difference, Stamp, Tables

TABLES = Tables(category_kpis="CategoryKPIs", order_kpis="OrderKPIs", runs="PipelineRuns")
NOW = datetime(2025, 3, 9, 12, tzinfo=UTC)
DAY = date(2025, 3, 1)
LEDGER = "ledger/main"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def dynamodb(endpoint: str):
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="eu-north-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  # the embedded DynamoDB takes any
    )
    for table, keys in (
        (TABLES.category_kpis, ("category", "order_date")),
        (TABLES.order_kpis, ("order_date",)),
        (TABLES.runs, ("run_id",)),
    ):
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": t}
                for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
    yield client
    for table in (TABLES.category_kpis, TABLES.order_kpis, TABLES.runs):
        client.delete_table(TableName=table)
    client.close()


def stamp(version: int) -> Stamp:
    return Stamp(run_id=f"run-{version}", ledger_version=version, computed_at=NOW)


def days(version: int, *categories: str, revenue: str = "12.30", day: date = DAY):
    money = pa.decimal128(28, 2)
    category = pa.table(
        {
            "category": pa.array(categories, pa.string()),
            "order_date": pa.array([day] * len(categories), pa.date32()),
            "daily_revenue": pa.array([Decimal(revenue)] * len(categories), money),
            "order_count": pa.array([2] * len(categories), pa.int64()),
        }
    )
    daily = pa.table(
        {
            "order_date": pa.array([day], pa.date32()),
            "total_orders": pa.array([3], pa.int64()),
            "total_revenue": pa.array([Decimal(revenue)], money),
        }
    )
    return tables.to_days(category, daily, [day], stamp(version))


def publish_version(days, dynamodb, version: int) -> tables.Published:
    """Publish as the run of that version does, its fence raised before."""
    fence = Fence(dynamodb, TABLES.runs)
    fence.acquire(LEDGER, version)
    return publish_late(days, dynamodb, version)


def publish_late(days, dynamodb, version: int) -> tables.Published:
    """Publish as a run does that has raised its fence some time ago."""
    condition = Fence(dynamodb, TABLES.runs).condition(LEDGER, version)
    return tables.publish(days, dynamodb, TABLES, stamp(version), condition)


def scan(dynamodb, table: str) -> list[dict]:
    items = dynamodb.scan(TableName=table)["Items"]
    return [dict(batch_get.deserialised(item)) for item in items]


def test_items_carry_exact_decimals_iso_dates_and_their_run(dynamodb) -> None:
    done = publish_version(days(1, "Books", revenue="99999999999999999999999999.99"), dynamodb, 1)
    assert (done.items, done.deleted, done.superseded) == (2, 0, [])
    assert scan(dynamodb, "CategoryKPIs") == [
        {
            "category": "Books",
            "order_date": "2025-03-01",
            "daily_revenue": Decimal("99999999999999999999999999.99"),
            "order_count": Decimal(2),
            "run_id": "run-1",
            "ledger_version": Decimal(1),
            "computed_at": "2025-03-09T12:00:00+00:00",
        }
    ]
    assert scan(dynamodb, "OrderKPIs")[0]["categories"] == {"Books"}


def test_publishing_again_changes_nothing(dynamodb) -> None:
    for _ in range(2):
        publish_version(days(1, "Books", "Toys"), dynamodb, 1)
    assert len(scan(dynamodb, "CategoryKPIs")) == 2


def test_a_category_that_a_date_no_longer_has_is_deleted(dynamodb) -> None:
    publish_version(days(1, "Books", "Toys"), dynamodb, 1)
    publish_version(days(1, "Toys", day=date(2025, 3, 2)), dynamodb, 1)
    done = publish_version(days(2, "Books"), dynamodb, 2)
    assert done.deleted == 1
    assert sorted((i["category"], i["order_date"]) for i in scan(dynamodb, "CategoryKPIs")) == [
        ("Books", "2025-03-01"),
        ("Toys", "2025-03-02"),
    ]


def test_an_older_version_leaves_every_item_of_a_newer_date_alone(dynamodb) -> None:
    publish_version(days(5, "Books", revenue="5.00"), dynamodb, 5)
    done = publish_late(days(4, "Books", "Toys", revenue="4.00"), dynamodb, 4)
    assert done.superseded == ["2025-03-01"]
    assert [(i["category"], i["daily_revenue"]) for i in scan(dynamodb, "CategoryKPIs")] == [
        ("Books", Decimal("5.00"))
    ]
    assert scan(dynamodb, "OrderKPIs")[0]["ledger_version"] == 5


def test_a_date_with_more_categories_than_a_transaction_holds_is_written_whole(dynamodb) -> None:
    names = [f"category {n:03}" for n in range(2 * tables.MAX_ACTIONS + 5)]
    done = publish_version(days(1, *names), dynamodb, 1)
    assert done.items == len(names) + 1
    assert sorted(i["category"] for i in scan(dynamodb, "CategoryKPIs")) == names


class Interfering:
    """A DynamoDB client whose calls go through, but for what a test lets go wrong."""

    def __init__(self, client, conflicts: int = 0, lost: str = "", throttled: float = 0) -> None:
        self._client, self._conflicts, self._lost = client, conflicts, lost
        self._throttled = throttled

    def transact_write_items(self, **request):
        if self._conflicts:
            self._conflicts -= 1
            raise ClientError(
                {
                    "Error": {"Code": "TransactionCanceledException"},
                    "CancellationReasons": [{"Code": "TransactionConflict"}],
                },
                "TransactWriteItems",
            )
        return self._client.transact_write_items(**request)

    def __getattr__(self, name: str):
        return getattr(self._client, name)

    def batch_get_item(self, **request):
        if self._throttled:
            self._throttled -= 1
            return {"Responses": {}, "UnprocessedKeys": request["RequestItems"]}
        if self._lost:
            self._client.delete_item(
                TableName="CategoryKPIs",
                Key={"category": {"S": self._lost}, "order_date": {"S": "2025-03-01"}},
            )
        return self._client.batch_get_item(**request)


def test_a_conflicting_transaction_is_tried_again(dynamodb) -> None:
    publish_version(days(1, "Books"), Interfering(dynamodb, conflicts=3), 1)
    assert len(scan(dynamodb, "CategoryKPIs")) == 1


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a throttled read waits, which take no time here."""
    seconds: list[float] = []
    monkeypatch.setattr(batch_get._WHILE_THROTTLED, "sleep", seconds.append)
    return seconds


def test_a_throttled_read_waits_and_is_tried_again(dynamodb, waits: list[float]) -> None:
    done = publish_version(days(1, "Books"), Interfering(dynamodb, throttled=3), 1)
    assert (done.items, len(waits)) == (2, 3)
    assert all(0 < wait <= 10 for wait in waits)


def test_a_read_that_stays_throttled_names_the_table_and_what_to_do(
    dynamodb, waits: list[float]
) -> None:
    with pytest.raises(PublishError, match=r"^OrderKPIs: 1 of 1 keys .*run the transform again"):
        publish_version(days(1, "Books"), Interfering(dynamodb, throttled=float("inf")), 1)
    assert len(waits) == 9


def test_an_item_that_is_not_there_afterwards_fails_the_run_with_the_counts(dynamodb) -> None:
    with pytest.raises(PublishError, match=r"3 items were written, 2 exist"):
        publish_version(days(1, "Books", "Toys"), Interfering(dynamodb, lost="Toys"), 1)


def test_a_date_without_orders_is_deleted_and_an_older_version_does_not_bring_it_back(dynamodb):
    publish_version(days(1, "Books"), dynamodb, 1)
    empty = tables.to_days(pa.table({}), pa.table({}), [DAY], stamp(2))
    assert publish_version(empty, dynamodb, 2).deleted == 2
    assert publish_late(days(1, "Books"), dynamodb, 1).superseded == ["2025-03-01"]
    assert scan(dynamodb, "OrderKPIs") == scan(dynamodb, "CategoryKPIs") == []


def test_a_run_of_an_older_version_cannot_start_once_a_newer_one_has(dynamodb):
    fence = Fence(dynamodb, TABLES.runs)
    fence.acquire(LEDGER, 2)
    with pytest.raises(SupersededError, match="version 1"):
        fence.acquire(LEDGER, 1)
    with pytest.raises(SupersededError):
        fence.mark_published(LEDGER, 1)
    fence.mark_published(LEDGER, 2)
    assert fence.read() == State(ledger=LEDGER, publishing=2, published=2)


def test_a_fresh_ledger_takes_over_and_keeps_the_old_one_out(dynamodb):
    fence = Fence(dynamodb, TABLES.runs)
    fence.acquire(LEDGER, 2)
    fence.mark_published(LEDGER, 2)
    fence.acquire("ledger/fresh", 3, is_new_ledger=True)
    assert fence.read() == State(ledger="ledger/fresh", publishing=3, published=0)
    with pytest.raises(SupersededError):
        fence.acquire(LEDGER, 3)
    assert publish_late(days(3, "Books"), dynamodb, 3).superseded == ["2025-03-01"]


def test_differences_name_each_item_that_would_change_and_write_nothing(dynamodb):
    publish_version(days(1, "Books", "Toys", "Games"), dynamodb, 1)
    before = scan(dynamodb, "CategoryKPIs")
    wanted = days(2, "Books", "Toys", "Art")
    wanted[0].category_items[1]["order_count"] = 9
    found = list(tables.differences(wanted, dynamodb, TABLES))
    at = {"order_date": "2025-03-01"}
    assert found[0].key == at
    assert found[1:] == [
        Difference(
            table="CategoryKPIs",
            key={"category": "Art"} | at,
            before=None,
            after={"daily_revenue": Decimal("12.30"), "order_count": 2},
        ),
        Difference(
            table="CategoryKPIs",
            key={"category": "Books"} | at,
            before={"order_count": 2},
            after={"order_count": 9},
        ),
        Difference(
            table="CategoryKPIs",
            key={"category": "Games"} | at,
            before={"daily_revenue": Decimal("12.30"), "order_count": 2},
            after=None,
        ),
    ]
    assert scan(dynamodb, "CategoryKPIs") == before


def test_differences_show_the_amounts_of_the_tables_with_two_places(dynamodb):
    published = days(1, "Books")
    published[0].category_items[0]["daily_revenue"] = Decimal("60")
    publish_version(published, dynamodb, 1)
    wanted = days(2, "Books", revenue="70.00")
    found = [one for one in tables.differences(wanted, dynamodb, TABLES) if "category" in one.key]
    assert [(str(one.before["daily_revenue"]), one.after) for one in found] == [
        ("60.00", {"daily_revenue": Decimal("70.00")})
    ]


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        ("x" * 2049, "CategoryKPIs: category has 2,049 bytes; a key has 1 to 2,048"),
        ("", "CategoryKPIs: category has 0 bytes; a key has 1 to 2,048"),
    ],
)
def test_a_date_that_dynamodb_refuses_is_named_and_the_others_are_published(
    dynamodb, category: str, reason: str
) -> None:
    good, later = date(2025, 3, 2), date(2025, 3, 3)
    publish_version(days(1, "Books"), dynamodb, 1)
    found = publish_version(
        [
            *days(2, "Books", category),
            *days(2, "Toys", day=good),
            *days(2, "Toys", day=later),
        ],
        dynamodb,
        2,
    )
    assert found.refused == {"2025-03-01": reason}
    versions = {
        item["order_date"]: item["ledger_version"] for item in scan(dynamodb, TABLES.order_kpis)
    }
    assert versions == {"2025-03-01": 1, "2025-03-02": 2, "2025-03-03": 2}


def test_a_date_with_more_categories_than_an_item_holds_is_named_and_not_half_written(
    dynamodb,
) -> None:
    names = [f"Category number {n:06} of the shop" for n in range(20_000)]
    found = publish_version([*days(1, *names), *days(1, "Toys", day=date(2025, 3, 2))], dynamodb, 1)
    assert found.refused["2025-03-01"].startswith("OrderKPIs: the item has ")
    assert [item["order_date"] for item in scan(dynamodb, TABLES.order_kpis)] == ["2025-03-02"]


def test_what_the_limits_do_not_know_and_dynamodb_refuses_stops_no_other_date(
    dynamodb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "refusal", lambda _table, _item: None)
    found = publish_version(
        [*days(1, "x" * 2049), *days(1, "Toys", day=date(2025, 3, 2))], dynamodb, 1
    )
    assert "ValidationException" in found.refused["2025-03-01"]
    assert [item["order_date"] for item in scan(dynamodb, TABLES.order_kpis)] == ["2025-03-02"]
