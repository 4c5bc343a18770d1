"""Judge a delivery as the validator and as the stand-alone job do, and compare.

    python -m tests.one_answer 500

compares so many seeded deliveries, which mix good rows, bad rows, odd rows and odd files.
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from delivery import identity
from delivery.bad_row_limit import BadRowLimit
from delivery.datasets import DATASETS
from delivery.landed_files import files_in
from delivery.storage import Folder
from expectations import validate
from spark_jobs import transform
from spark_jobs.compute import Staged, stage
from tests.conftest import HEADERS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Rows = Counter[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """What one of the two makes of a delivery.

    ``left_out`` has file, line (None for the whole file), reasons and outcome; ``counted`` the rows
    from which the KPIs are computed.
    """

    left_out: Rows
    rows: tuple[int, int, int]
    counted: dict[str, Rows]


def by_the_validator(folder: Path, scratch: Path, limit: BadRowLimit) -> Answer:
    output, work = scratch / "validated", scratch / "work"
    work.mkdir()
    verdict = validate.validate(
        validate.Delivery.of_folder(folder, "run"),
        Folder(output),
        work=work,
        known=None,
        settings=validate.Settings(bad_rows=limit),
        now=NOW,
        suites=validate.SUITES,
    )
    names = {"rejected": "file_rejected", "duplicate": "file_skipped"}
    left_out: Rows = Counter(
        (file.name, None, (file.reason,), names[file.status])
        for file in verdict.files
        if file.status != "accepted"
    )
    with duckdb.connect() as connection:
        for key, columns, outcome in (
            (verdict.quarantined_rows, "file, line, reasons", "quarantined"),
            (verdict.held.get("order_items"), "_file_name, _line, _reasons", "held"),
        ):
            if key:
                path = (output / key).with_suffix(".parquet")
                for name, line, reasons in connection.execute(
                    f"SELECT {columns} FROM '{path}'"
                ).fetchall():
                    left_out[name, line, tuple(reasons), outcome] += 1
        _accepted_rows(connection, output, verdict.accepted)
        counted = _counted(stage(connection, work))
    totals = verdict.totals
    return Answer(
        left_out, (totals.accepted_rows, totals.quarantined_rows, totals.held_rows), counted
    )


def _accepted_rows(
    connection: duckdb.DuckDBPyConnection, output: Path, accepted: dict[str, str]
) -> None:
    """Load what the validator accepts, and apply the identity rules to it."""
    for dataset in DATASETS.values():
        columns = ", ".join(f"{column.name} {column.sql_type}" for column in dataset.columns)
        connection.execute(
            f"CREATE TABLE {dataset.name} ({columns}, _file VARCHAR, _line BIGINT,"
            " _lines INTEGER, _unreadable VARCHAR[])"
        )
        if dataset.name in accepted:
            connection.execute(
                f"INSERT INTO {dataset.name} BY NAME SELECT * EXCLUDE (_file_name, _landed_at),"
                f" _file_name AS _file FROM '{output / accepted[dataset.name]}'"
            )
    identity.resolve(connection)


def by_the_stand_alone_job(folder: Path, scratch: Path, limit: BadRowLimit) -> Answer:
    work = scratch / "staged"
    work.mkdir()
    read = transform.read_and_stage(files_in(folder), work, limit, today=NOW.date())
    return Answer(
        Counter((row.file, row.line, row.reasons, row.outcome) for row in read.left_out),
        (read.rows.accepted, read.rows.set_aside, read.rows.held),
        _counted(read.staged),
    )


def _counted(staged: Staged) -> dict[str, Rows]:
    """Read the staged rows; orders by their columns, as their numbers differ."""
    with duckdb.connect() as connection:
        queries = {
            "orders": f"SELECT * EXCLUDE (order_id) FROM '{staged.orders}'",
            "lines": f"SELECT l.* EXCLUDE (order_id), o.* EXCLUDE (order_id) FROM '{staged.lines}'"
            f" AS l JOIN '{staged.orders}' AS o USING (order_id)",
            "products": f"SELECT * FROM '{staged.products}'",
        }
        return {name: Counter(connection.execute(sql).fetchall()) for name, sql in queries.items()}


def compare(folder: Path, limit: BadRowLimit | None = None) -> Answer:
    """Assert that both give the same answer, and that it has every row; return it."""
    limit = limit or BadRowLimit()
    with tempfile.TemporaryDirectory() as scratch:
        expected = by_the_validator(folder, Path(scratch), limit)
        actual = by_the_stand_alone_job(folder, Path(scratch), limit)
    assert actual.left_out == expected.left_out
    assert actual.rows == expected.rows
    assert actual.counted == expected.counted
    return actual


_ODD_VALUES = (
    *("", " ", "abc", "-5", "-0.01", "0", "1.5", "1e3", "0.00005", "1000001", "10000000.01"),
    *("99999999999999999999", "2026-02-30", "2026-02-01T10:00:00Z", "1999-12-31", "2100-01-01"),
    *("epoch", "O 1", "x" * 65, "x" * 64, "é", "\u00a0", "\u200b", "NULL", "nan", "\\N", "N/A"),
    *("Delivered", "canceled", "lost", "4.50603E+15", "a\tb", '"a\nb"', '"a,b"', '"a""b"', "'"),
)
_ODD_ROWS = ("", ",", ",,,,", "x", '"a" b,1,2,3,4', 'a,"b', "a,b,c,d,e,f,g", "\x00"[:0], "   ")
_ODD_FILES = (b"", b"\n", b"a,b\n1,2\n", b"PK\x03\x04 and so on", "order_id".encode("utf-16"))


def random_delivery(folder: Path, seed: int) -> Path:
    """Write a delivery of a few files with odd values, rows and files; the same for a seed."""
    dice = random.Random(seed)  # noqa: S311
    oddity = dice.choice((0.0, 0.02, 0.1, 0.4))
    orders, products = dice.randint(1, 30), dice.randint(1, 8)
    files: dict[str, list[list[str]]] = {"products.csv": []}
    for n in range(products):
        files["products.csv"].append([f"P{n}", dice.choice("AB"), f"Name {n}", f"{n}.50"])
    for n in range(orders):
        part = n % dice.randint(1, 3)
        day = f"2026-02-{dice.randint(1, 4):02}"
        status = dice.choice(("delivered", "returned", "cancelled", "shipped"))
        order = [f"O{n}", f"U{dice.randint(0, 5)}", day, f"{n}.25", status]
        files.setdefault(f"orders_{part}.csv", []).append(order)
        for _ in range(dice.randint(0, 3)):
            line = [f"O{n}", f"P{dice.randint(0, products)}", str(dice.randint(1, 3)), "2.50"]
            files.setdefault(f"order_items_{dice.randint(0, 2)}.csv", []).append(line)
    files.setdefault("orders_0.csv", [])
    files.setdefault("order_items_0.csv", [])
    folder.mkdir(parents=True)
    for name, rows in files.items():
        _write(folder / name, rows, dice, oddity)
    if dice.random() < 0.2:
        name = dice.choice(sorted(files))
        shutil.copy(folder / name, folder / f"{name.removesuffix('.csv')}_again.csv")
    if dice.random() < 0.2:
        kind = dice.choice(sorted(HEADERS))
        (folder / f"{kind}_odd.csv").write_bytes(dice.choice(_ODD_FILES))
    return folder


def _write(path: Path, rows: list[list[str]], dice: random.Random, oddity: float) -> None:
    dataset = next(name for name in ("order_items", "orders", "products") if name in path.name)
    lines = [",".join(HEADERS[dataset])]
    for row in rows:
        if dice.random() < oddity:
            row[dice.randrange(len(row))] = dice.choice(_ODD_VALUES)
        lines.append(",".join(row))
        if dice.random() < oddity / 4:
            lines.append(dice.choice(_ODD_ROWS))
        if dice.random() < oddity / 4:
            lines.append(",".join(dice.choice(rows)))
    end = dice.choice(("\n", "\n", "\r\n"))
    text = end.join(lines) + end
    data = text.encode()
    if dice.random() < oddity / 4:
        at = data.find(b"O")
        data = data[:at] + b"\xff" + data[at + 1 :] if at > len(lines[0]) else data
    path.write_bytes(data)


def main(deliveries: int) -> None:
    seen: Counter[str] = Counter()
    rows = [0, 0, 0]
    for seed in range(deliveries):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                answer = compare(random_delivery(Path(scratch, "incoming"), seed))
            except AssertionError as error:
                raise SystemExit(f"seed {seed}: {error}") from error
        seen.update(reason for _, _, reasons, _ in answer.left_out for reason in reasons)
        rows = [a + b for a, b in zip(rows, answer.rows, strict=True)]
    accepted, set_aside, held = rows
    print(
        f"{deliveries} deliveries, no difference: {accepted:,} rows accepted, {set_aside:,} set"
        f" aside, {held:,} held back; {len(seen)} reasons: {dict(seen.most_common())}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
