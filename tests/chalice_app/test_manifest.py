"""What a manifest keeps, and what it refuses."""

import json
from datetime import UTC, date, datetime

import pytest

from contract.manifest import FileVersion, Manifest, ManifestError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANIFEST = Manifest(
    run_id="r",
    bucket="b",
    created_at=NOON,
    forced=False,
    files=(
        FileVersion(
            key="processed/q/a/orders_1.csv",
            name="a/orders_1.csv",
            version_id=None,
            etag="e",
            size=1,
            landed_at=NOON,
        ),
    ),
    task="recompute",
    start=date(2026, 2, 1),
    end=date(2026, 2, 28),
)


def test_a_manifest_is_the_same_after_it_was_written_and_read() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_task_that_nobody_knows_is_refused() -> None:
    document = json.loads(MANIFEST.to_json()) | {"task": "forget"}
    with pytest.raises(ManifestError, match="task is 'forget'"):
        Manifest.from_json(json.dumps(document))
