"""Rows of the ledger in DuckDB, for :mod:`.merge` and :mod:`.current_rows`."""

# ruff: noqa: S608 - names are literals of this package, paths are scratch files

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from .tables import SCHEMAS, TableName, is_partitioned


def load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    table: TableName,
    paths: Iterable[Path],
    *,
    extra_columns: Iterable[str] = (),
    only: str = "",
) -> None:
    """Create ``name`` with the columns of a ledger table and the rows of its Parquet files.

    A file that is older than a column has NULL there. ``only`` is a clause that selects rows.
    """
    connection.register("empty_table", SCHEMAS[table].empty_table())
    connection.execute(f"CREATE TEMP TABLE {name} AS FROM empty_table")
    connection.unregister("empty_table")
    for column in extra_columns:
        connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")
    if found := list(paths):
        connection.execute(f"INSERT INTO {name} BY NAME FROM {from_parquet(table, found)} {only}")


def from_parquet(table: TableName, paths: Iterable[Path]) -> str:
    """Return the FROM item of a ledger table's Parquet files."""
    listed = ", ".join(f"'{path}'" for path in paths)
    hive = (
        ", hive_partitioning = true, hive_types = {'order_date': DATE}"
        if is_partitioned(table)
        else ""
    )
    return f"read_parquet([{listed}], union_by_name = true{hive})"


def create_contents(connection: duckdb.DuckDBPyConnection, name: str, files: str) -> None:
    """Create ``name``: each content of a table of files once, as of its latest landing that counts.

    ``name_versions`` has all landings that count, with the same columns.
    A content belongs to the name under which it has landed first: under other names it is a
    duplicate. Under its own name it is one only while it is the current version, so that bytes
    count again that return after another version. ``file`` is the content's hash and ``_file`` the
    number of that landing in the order of landing time, then name.
    """
    connection.execute(f"""
        CREATE TEMP TABLE {name}_versions AS
            WITH landings AS (
                SELECT dataset, sha256 AS file, name, landed_at,
                       row_number() OVER (ORDER BY landed_at, name, sha256) AS _file
                FROM {files}),
            versions AS (
                SELECT *, lag(file) OVER (PARTITION BY dataset, name ORDER BY _file) AS before,
                       first_value(name) OVER (PARTITION BY dataset, file ORDER BY _file) AS owner
                FROM landings)
            SELECT dataset, file, name, landed_at, _file FROM versions
            WHERE name = owner AND before IS DISTINCT FROM file;
        CREATE TEMP TABLE {name} AS
            FROM {name}_versions
            QUALIFY row_number() OVER (PARTITION BY dataset, file ORDER BY _file DESC) = 1
        """)


def number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the only value of a query's only row."""
    [(value,)] = connection.execute(query).fetchall()
    return int(value)


def column(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    """Return a query's only column."""
    return [value for (value,) in connection.execute(query).fetchall()]
