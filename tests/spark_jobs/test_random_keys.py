"""Random keys, each with a good, a bad or a hostile file, through validator and transformer.

``RANDOM_KEYS=2000`` tries more of them than CI does.
"""

import hashlib
import json
import os
import random
import unicodedata
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from contract.file_names import FileNames
from contract.keys import RunKeys, dataset_of
from contract.manifest import FileVersion
from tests.spark_jobs.shop import NOON, Shop, Transform, validated

KEYS: Final = int(os.environ.get("RANDOM_KEYS", "300"))
MAX_KEY_BYTES: Final = 1024
_BATCH: Final = 250
# moto's server does not accept a line feed in an address.
_CHARACTERS: Final = (
    *(chr(code) for code in range(256) if chr(code) != "\n"),
    *"'\"`$;&|<>*?[]{}\\~#%+= \t\r/.",
    *"\u0130\u0301\u00df\u202e\u200b\ufeff\uff0f\u2025\U0001f4a9\U0010ffff",
)
_FOLDERS: Final = ("..", ".", "", "a", "orders_9.csv", "~", "C:", "con", "tmp", "x" * 255)
_NAMES: Final = (
    "orders",
    "ORDERS",
    "order_items",
    "Order_Items",
    "products",
    "\u043erders",
    "notes",
)
_HEADERS: Final = {
    "orders": "order_id,user_id,order_date,total_amount,status",
    "order_items": "order_id,product_id,quantity,unit_price",
    "products": "product_id,category,name,price",
}


@dataclass(frozen=True, kw_only=True)
class File:
    name: str
    kind: str
    content: bytes


def random_name(rng: random.Random) -> str:
    """Return a name in the landing folder: its key has at most 1,024 bytes."""
    folders = [rng.choice(_FOLDERS) for _ in range(rng.choice((0, 0, 1, 2, 5, 20)))]
    length = rng.choice((0, 1, 3, 10, 100, 240, 250, 500, 1000))
    middle = "".join(rng.choice(_CHARACTERS) for _ in range(length))
    if rng.random() < 0.9:
        # Most of the long names would be of no dataset.
        middle = middle.replace("/", "")
    room = MAX_KEY_BYTES - len("incoming/")
    name = f"{rng.choice(_NAMES)}{middle}{rng.choice(('.csv', '.csv', '.csv ', '.csv/'))}"
    if len(name.encode()) > room:
        cut = name.encode()[: room - 4].decode(errors="ignore")
        name = f"{cut}.csv"
    while folders and len("/".join([*folders, name]).encode()) > room:
        folders.pop()
    return "/".join([*folders, name])


def random_names(rng: random.Random, number: int) -> list[str]:
    """Return different names; some of them differ only in case or in Unicode's form."""
    names: dict[str, None] = {}
    while len(names) < number:
        name = random_name(rng)
        names[name] = None
        for alike in (name.swapcase(), unicodedata.normalize("NFD", name), f"{name}/orders.csv"):
            if rng.random() < 0.1 and len(alike.encode()) <= MAX_KEY_BYTES - len("incoming/"):
                names[alike] = None
    return list(names)[:number]


def row(dataset: str, number: int) -> str:
    match dataset:
        case "orders":
            return f"O{number},U{number},2026-02-01,{number}.10,delivered"
        case "order_items":
            return f"B{number},P,1,5.25"
        case _:
            return f"P{number},Books,Dune,1.00"


def random_file(rng: random.Random, name: str, number: int) -> File:
    """Good: one row that counts. Bad: not a CSV of its dataset. Hostile: nothing that counts."""
    dataset = dataset_of(name) or "orders"
    header, good = _HEADERS[dataset], row(dataset, number)
    kind = rng.choice(("good", "bad", "hostile"))
    match kind:
        case "good":
            content = f"{header}\n{good}\n".encode()
        case "bad":
            content = f"no,columns\n{number},2\n".encode()
        case _:
            content = rng.choice(
                (
                    f"{header}\n{good}\0\n".encode(),
                    f"{header}\n{good},{'=' * 2_000_000}\n".encode(),
                    f"PK\x03\x04{number}".encode(),
                    f'{header}\n"{good}\n'.encode(),
                    rng.randbytes(500),
                    f"{header}\n=cmd|'/c calc'!A{number},@,+,-,\t\n".encode(),
                    f"{header},{header}\n{good},{good}\n".encode(),
                    b"",
                )
            )
    return File(name=name, kind=kind, content=content)


def base(files: list[File]) -> list[File]:
    """Return the product and the orders that good lines refer to."""
    orders = [f"B{number},U,2026-02-01,0.00,delivered" for number in range(len(files))]
    return [
        File(
            name="products_base.csv",
            kind="good",
            content=f"{_HEADERS['products']}\nP,Toys,Ball,1.00\n".encode(),
        ),
        File(
            name="orders_base.csv",
            kind="good",
            content="\n".join([_HEADERS["orders"], *orders, ""]).encode(),
        ),
    ]


def run(shop: Shop, transform: Transform, run_id: str, files: list[File]) -> dict[str, dict]:
    """Take files through a run; return the verdict on each by its name."""
    claimed = []
    for file in files:
        key = f"incoming/{file.name}"
        put = shop.s3.put_object(Bucket=shop.name, Key=key, Body=file.content)
        claimed.append(
            FileVersion(
                key=key,
                name=file.name,
                version_id=put["VersionId"],
                etag=hashlib.md5(file.content, usedforsecurity=False).hexdigest(),
                size=len(file.content),
                landed_at=NOON,
            )
        )
    uri = shop.claim(run_id, files=claimed)
    validated(uri, shop.environment)
    body = shop.s3.get_object(Bucket=shop.name, Key=RunKeys(run_id).verdict)["Body"].read()
    verdict = json.loads(body)
    if verdict["outcome"] != "all_rejected":
        assert transform(shop, "--manifest", uri) == 0
    return {file["name"]: file for file in verdict["files"]}


def test_every_key_has_a_verdict_and_the_good_files_kpis_are_right(
    shop: Shop, sail: Transform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path.joinpath(*(f"level{n}" for n in range(30)))
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    rng = random.Random(20261125)  # noqa: S311 - the same keys each time
    names = random_names(rng, KEYS)
    files = [random_file(rng, name, number) for number, name in enumerate(names)]
    recognised = [file for file in files if FileNames().recognise(file.name)]
    assert len(recognised) > KEYS // 4

    verdicts = run(shop, sail, "base", base(files))
    for first in range(0, len(recognised), _BATCH):
        verdicts |= run(shop, sail, f"batch-{first}", recognised[first : first + _BATCH])

    assert verdicts.keys() - {"products_base.csv", "orders_base.csv"} == {
        file.name for file in recognised
    }
    good = Counter[str]()
    revenue = Decimal(0)
    for file in recognised:
        found = verdicts[file.name]
        if file.kind == "good":
            # A line whose order came in an earlier run is held back until the ledger finds it.
            kept = found["accepted_rows"] + found["held_rows"]
            assert (file.name, found["status"], kept) == (file.name, "accepted", 1)
            good[found["dataset"]] += 1
            if found["dataset"] == "orders":
                revenue += Decimal(file.content.decode().split(",")[-2])
        else:
            assert (file.name, found["accepted_rows"], found["held_rows"]) == (file.name, 0, 0)
    print(f"{KEYS} keys, {len(recognised)} recognised, {dict(good)} good")

    [day] = shop.items()["daily"]
    assert (day["total_orders"], day["total_revenue"], day["total_items_sold"]) == (
        len(files) + good["orders"],
        revenue,
        good["order_items"],
    )
    [toys] = shop.items()["category"]
    assert (toys["category"], toys["daily_revenue"]) == (
        "Toys",
        good["order_items"] * Decimal("5.25"),
    )
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
