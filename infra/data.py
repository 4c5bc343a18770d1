"""The data of a stage: the bucket's objects and the tables' items.

Deleting the stack leaves bucket and tables. ``make destroy`` deletes them too, and refuses
while they are not empty.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_TABLES: Final = ("CategoryKpisTable", "OrderKpisTable", "RunsTable")
# Chalice's record belongs to the deployment, not to the shop.
_DEPLOYMENT: Final = "deploy/"


class DataError(RuntimeError):
    """Data would be lost; the message says where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The bucket and the tables of a stage; ``bucket`` is None where the stack has none."""

    s3: "S3Client"
    dynamodb: "DynamoDBClient"
    bucket: str | None
    tables: tuple[str, ...]

    @classmethod
    def of(cls, session: boto3.Session, outputs: Mapping[str, str]) -> Self:
        return cls(
            s3=session.client("s3"),
            dynamodb=session.client("dynamodb"),
            bucket=outputs.get("BucketName"),
            tables=tuple(outputs[name] for name in _TABLES if name in outputs),
        )

    def names(self) -> list[str]:
        return [*([f"s3://{self.bucket}"] if self.bucket else []), *self.tables]

    def require_empty(self) -> None:
        """Raise DataError when there are objects or items."""
        found = [
            f"{table} has items"
            for table in self.tables
            if self.dynamodb.scan(TableName=table, Limit=1)["Count"]
        ]
        if self.bucket and (key := self._first_key()):
            found.insert(0, f"s3://{self.bucket} has objects ({key})")
        if found:
            raise DataError(
                f"{'; '.join(found)}: copy what you need, "
                "then make destroy DELETE_DATA=yes deletes them with the rest"
            )

    def empty(self) -> None:
        """Delete every version of every object."""
        if not self.bucket:
            return
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        for page in pages:
            # A page and a request to delete have at most 1,000 versions.
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if versions:
                self.s3.delete_objects(
                    Bucket=self.bucket,
                    Delete={
                        "Objects": [
                            {"Key": version["Key"], "VersionId": version["VersionId"]}
                            for version in versions
                        ],
                        "Quiet": True,
                    },
                )

    def delete(self) -> None:
        """Delete bucket and tables, which the deleted stack leaves."""
        if self.bucket:
            with suppress(self.s3.exceptions.NoSuchBucket):
                self.s3.delete_bucket(Bucket=self.bucket)
        there = {
            name
            for page in self.dynamodb.get_paginator("list_tables").paginate()
            for name in page["TableNames"]
        }
        for table in self.tables:
            if table in there:
                self.dynamodb.delete_table(TableName=table)

    def _first_key(self) -> str | None:
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket or "")
        for page in pages:
            for version in page.get("Versions", []):
                if not version["Key"].startswith(_DEPLOYMENT):
                    return version["Key"]
        return None
