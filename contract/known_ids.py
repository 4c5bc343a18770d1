"""The ids that the ledger has, ``ledger/known_ids.json``: where the validator looks them up.

The transformer writes it after each commit to the ledger. The order ids are in the ledger's own
Parquet files, each of which has a smallest and a largest id, so that nothing is kept twice.
"""

from dataclasses import dataclass
from typing import Self

from . import typed_json
from .typed_json import JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFile:
    """A Parquet file with a column order_id: its key, its size in bytes, and its range of ids.

    A bound that is None is not known.
    """

    key: str
    size: int
    first_id: str | None
    last_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIds:
    """The ids of one version of the ledger.

    ``products`` is the key of a Parquet file with a column product_id, ``orders`` those with the
    order ids, of the latest order date first.
    """

    ledger: str
    ledger_version: int
    products: str | None
    orders: tuple[OrderFile, ...]

    def to_json(self) -> str:
        return typed_json.to_json(self)

    @classmethod
    def from_json(cls, text: JsonText) -> Self:
        """Raise typed_json.DocumentError when the text is not such a document."""
        return typed_json.from_json(cls, text)
