"""Where the ledger's tables are: a folder, or a prefix of a bucket."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PARALLEL: Final = 16


class Storage(Protocol):
    """delta-rs opens tables by ``uri``; DuckDB reads their files from this disk.

    The validator's storage writes whole objects, so the two have no method in common.
    """

    @property
    def storage_options(self) -> dict[str, str] | None: ...

    def uri(self, table: str) -> str: ...

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        """Return local paths of a table's files.

        Raises:
            FileNotFoundError: a file is missing.
        """


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    storage_options = None

    def uri(self, table: str) -> str:
        return str(self._root / table)

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        found = [self._root / table / unquote(path) for path in paths]
        if missing := next((path for path in found if not path.exists()), None):
            raise FileNotFoundError(missing)
        return found


class Bucket:
    """Tables under a prefix of a bucket; each file is fetched once, into ``scratch``."""

    def __init__(self, s3: "S3Client", bucket: str, prefix: str, scratch: Path) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._scratch = scratch

    @property
    def storage_options(self) -> dict[str, str]:
        # delta-rs takes region and credentials from the environment, as boto3 does.
        options = {"aws_conditional_put": "etag"}
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            options |= {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}
        return options

    def uri(self, table: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}/{table}"

    def fetch(self, table: str, paths: Sequence[str]) -> list[Path]:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(lambda path: self._fetch(table, path), paths))

    def _fetch(self, table: str, path: str) -> Path:
        target = self._scratch / self._prefix / table / unquote(path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._s3.download_file(
                    self._bucket, f"{self._prefix}/{table}/{unquote(path)}", str(target)
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    raise FileNotFoundError(f"{self.uri(table)}/{path}") from error
                raise
        return target
