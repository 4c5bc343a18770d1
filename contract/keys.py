"""The keys and folders of the bucket, and the datasets that file names belong to.

Every stage uses these names; no other module contains them, which a test checks.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

DatasetName = Literal["orders", "order_items", "products"]

# What the name of a file, or of a folder, begins with. Order matters: the first match wins.
_NAMES: Final[tuple[tuple[re.Pattern[str], DatasetName], ...]] = (
    (re.compile(r"order[_-]items", re.IGNORECASE), "order_items"),
    (re.compile(r"orders", re.IGNORECASE), "orders"),
    (re.compile(r"products", re.IGNORECASE), "products"),
)
_CSV: Final = re.compile(r".*\.csv(\.gz)?", re.IGNORECASE | re.DOTALL)


# A key in S3 has at most 1,024 bytes. The longest one that a run makes of a file's name is
# quarantine/RUN/files/processed/RUN/NAME.reason.json, and a run's id has up to 80 characters.
MAX_NAME_BYTES: Final = 800


def dataset_of(key: str) -> DatasetName | None:
    """Return the dataset of a CSV file by its name, or by its nearest folder that has one.

    None for any other file.

    >>> dataset_of("incoming/order-items_7.csv.gz")
    'order_items'
    >>> dataset_of("incoming/orders/2025-03-30/part-00000.csv")
    'orders'
    >>> dataset_of("incoming/pipeline.lock") is None
    True
    """
    parts = key.split("/")
    if not _CSV.fullmatch(parts[-1]):
        return None
    return next(
        (dataset for part in reversed(parts) for pattern, dataset in _NAMES if pattern.match(part)),
        None,
    )


# The folders of the bucket. Shops upload into INCOMING; a run moves each of its files to
# PROCESSED or QUARANTINE, into a folder with the run's id.
INCOMING: Final = "incoming/"
RUNS: Final = "runs/"
PROCESSED: Final = "processed/"
QUARANTINE: Final = "quarantine/"
LEDGER: Final = "ledger/"
QUALITY_HISTORY: Final = "quality_history/"
DATA_DOCS: Final = "data_docs/"
DASHBOARD: Final = "dashboard/"
SETTINGS: Final = "settings/"

LOCK: Final = f"{INCOMING}pipeline.lock"
# Since when files wait for a batch to be complete.
WAITING_SINCE: Final = f"{INCOMING}threshold_not_met_timestamp.json"
# Written when a run accepts a products file; from then on a batch may start without one.
PRODUCTS_ACCEPTED: Final = f"{RUNS}products_accepted.json"
# It exists while the check of the latest uploads is about to begin.
CHECK_PENDING: Final = f"{RUNS}check_pending.json"
# The files that were in a run that crashed, while they wait.
CRASHED_FILES: Final = f"{RUNS}crashed_files.json"
# The dates whose unusual figures have been reported.
REPORTED_WARNINGS: Final = f"{RUNS}warnings_told.json"
# How shops' files are read: names, columns and words. Each run keeps the text of its time.
MAPPING: Final = f"{SETTINGS}mapping.toml"
# The files with unknown names that have been reported.
REPORTED_NAMES: Final = f"{RUNS}reported_names.json"
# The ledger until the first rebuild.
FIRST_LEDGER: Final = f"{LEDGER}main"
# The ids that the current ledger has, for the validator: which files have them, and the products.
KNOWN_IDS: Final = f"{LEDGER}known_ids.json"
KNOWN_PRODUCTS: Final = f"{LEDGER}known_products.parquet"
DATA_DOCS_INDEX: Final = f"{DATA_DOCS}index.html"
# The validator's list of runs; it includes runs whose files were all rejected.
DATA_DOCS_RUNS: Final = f"{DATA_DOCS}history/latest.json"
DASHBOARD_PAGE: Final = f"{DASHBOARD}index.html"
DASHBOARD_KPIS: Final = f"{DASHBOARD}kpis.json.gz"


def is_too_long(name: str) -> bool:
    return len(name.encode()) > MAX_NAME_BYTES


def name_wanted(name: str) -> str:
    """Say what the name of a file that is not recognised must look like."""
    if is_too_long(name):
        return f"The name has {len(name.encode()):,} bytes; a name has at most {MAX_NAME_BYTES}."
    return (
        "No dataset has this name: name the file orders*.csv, order_items*.csv or products*.csv"
        " (or .csv.gz), put it as CSV into a folder of such a name, or give its pattern under"
        " [files] in mapping.toml."
    )


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The S3 keys of one run (the part after ``s3://bucket/``)."""

    run_id: str

    @property
    def manifest(self) -> str:
        return f"{RUNS}{self.run_id}/manifest.json"

    @property
    def verdict(self) -> str:
        return f"{RUNS}{self.run_id}/verdict.json"

    def accepted(self, dataset: DatasetName) -> str:
        return f"{RUNS}{self.run_id}/accepted/{dataset}.parquet"

    def held(self, dataset: DatasetName) -> str:
        return f"{RUNS}{self.run_id}/held/{dataset}.parquet"

    @property
    def published(self) -> str:
        """What the run published; the transformer writes it last."""
        return f"{RUNS}{self.run_id}/published.json"

    @property
    def notice(self) -> str:
        """The message about the run; most runs have none."""
        return f"{RUNS}{self.run_id}/notice.json"

    @property
    def quarantine(self) -> str:
        """The folder of the run's quarantined rows and files."""
        return f"{QUARANTINE}{self.run_id}/"

    @property
    def notified(self) -> str:
        """The mark that the message in ``notice`` has been sent."""
        return f"{RUNS}{self.run_id}/notified.json"

    @property
    def quarantined_rows(self) -> str:
        """Without its suffix: there are a ``.parquet`` and a ``.csv``."""
        return f"{self.quarantine}rows"

    def quarantined_file(self, name: str) -> str:
        return f"{self.quarantine}files/{name}"

    def processed(self, name: str) -> str:
        return f"{PROCESSED}{self.run_id}/{name}"

    @property
    def rebuilt_ledger(self) -> str:
        """The ledger that a rebuild makes."""
        return f"{LEDGER}{self.run_id}"

    @property
    def quality_history(self) -> str:
        return f"{QUALITY_HISTORY}{self.run_id}.parquet"

    @property
    def data_docs(self) -> str:
        """The run's page in the Data Docs."""
        return f"{DATA_DOCS}{RUNS}{self.run_id}.html"

    @property
    def kept_manifest(self) -> str:
        """A copy of the manifest beside the processed files, which are kept longer than runs/."""
        return self.processed("manifest.json")
