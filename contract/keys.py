"""What lands in the bucket and where each run keeps its things.

Every stage agrees on these names, and this is the only place that spells them.
The module is standard library only: it is shipped to Lambda with the trigger,
and the two containers import the same file.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

DatasetName = Literal["orders", "order_items", "products"]

# Order matters: the first pattern that matches a file's name wins.
_FILE_NAMES: Final[tuple[tuple[re.Pattern[str], DatasetName], ...]] = (
    (re.compile(r"order_items.*\.csv", re.IGNORECASE), "order_items"),
    (re.compile(r"orders.*\.csv", re.IGNORECASE), "orders"),
    (re.compile(r"products.*\.csv", re.IGNORECASE), "products"),
)


def dataset_of(key: str) -> DatasetName | None:
    """Return the dataset that a file's name stands for, or None for any other file.

    >>> dataset_of("incoming/order_items_7.csv")
    'order_items'
    >>> dataset_of("incoming/pipeline.lock") is None
    True
    """
    name = key.rsplit("/", 1)[-1]
    return next((dataset for pattern, dataset in _FILE_NAMES if pattern.fullmatch(name)), None)


# Every file that a run has taken in, in a folder of that run.
PROCESSED: Final = "processed/"


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The S3 keys of one run (the part after ``s3://bucket/``)."""

    run_id: str

    @property
    def manifest(self) -> str:
        return f"runs/{self.run_id}/manifest.json"

    @property
    def verdict(self) -> str:
        return f"runs/{self.run_id}/verdict.json"

    def accepted(self, dataset: DatasetName) -> str:
        return f"runs/{self.run_id}/accepted/{dataset}.parquet"

    def held(self, dataset: DatasetName) -> str:
        return f"runs/{self.run_id}/held/{dataset}.parquet"

    @property
    def published(self) -> str:
        """What the transformer has done; it is written last."""
        return f"runs/{self.run_id}/published.json"

    @property
    def notice(self) -> str:
        """What people are told of it, if anything."""
        return f"runs/{self.run_id}/notice.json"

    @property
    def quarantined_rows(self) -> str:
        """Without suffix: ``.parquet`` and ``.csv`` stand side by side."""
        return f"quarantine/{self.run_id}/rows"

    def quarantined_file(self, name: str) -> str:
        return f"quarantine/{self.run_id}/files/{name}"

    def processed(self, name: str) -> str:
        return f"{PROCESSED}{self.run_id}/{name}"

    @property
    def kept_manifest(self) -> str:
        """A copy of the manifest beside the processed files, which are kept longer than runs/."""
        return self.processed("manifest.json")


# Written when a run has accepted a products file; from then on a batch may start
# without one.
PRODUCTS_ACCEPTED: Final = "runs/products_accepted.json"
# Which dates' figures people have been told of.
WARNINGS_TOLD: Final = "runs/warnings_told.json"
