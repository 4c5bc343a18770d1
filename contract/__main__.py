"""Write the JSON Schemas of the documents that stages exchange: ``python -m contract``."""

import json
from pathlib import Path
from typing import Any, Final

from . import typed_json
from .known_ids import KnownIds
from .manifest import Manifest
from .notice import Notice
from .published import PublishedReport
from .verdict import Verdict

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "schemas"


def schemas() -> dict[str, Any]:
    """Return each schema by the name of its file."""
    documents = {
        "manifest": Manifest,
        "verdict": Verdict,
        "published": PublishedReport,
        "notice": Notice,
        "known_ids": KnownIds,
    }
    return {f"{name}.json": typed_json.schema(record) for name, record in documents.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
