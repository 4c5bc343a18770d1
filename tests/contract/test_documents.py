"""The documents that stages exchange: read as they were written, refused by name, described."""

import json
from datetime import UTC, date, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import typed_json
from contract.__main__ import FOLDER, schemas
from contract.manifest import FileVersion, Manifest
from contract.notice import Notice
from contract.published import PublishedReport
from contract.typed_json import DocumentError
from contract.verdict import DataWarning, FileVerdict, Totals, Verdict
from tests import documents

RECORDS = {
    "manifest": Manifest,
    "verdict": Verdict,
    "published": PublishedReport,
    "notice": Notice,
}
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


# A date and a datetime are different types in a document, though not in Python.
st.register_type_strategy(date, st.dates())
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
# No document has a NaN: it does not equal itself, and JSON has none.
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize("name", RECORDS)
def test_a_document_is_the_same_after_it_was_written_and_read(name: str) -> None:
    record: Any = RECORDS[name]

    @settings(max_examples=25, deadline=None)
    @given(st.from_type(record))
    def check(document: Any) -> None:
        text = document.to_json()
        assert record.from_json(text) == document
        jsonschema.validate(json.loads(text), schemas()[f"{name}.json"])

    check()


@pytest.mark.parametrize("name", RECORDS)
def test_the_schemas_in_the_documentation_are_those_of_the_records(name: str) -> None:
    """Run ``python -m contract`` after a record has changed."""
    assert json.loads((FOLDER / f"{name}.json").read_text()) == schemas()[f"{name}.json"]


def changed(path: str, value: object) -> str:
    document: Any = json.loads(MANIFEST.to_json())
    *parents, last = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[int(parent) if parent.isdecimal() else parent]
    inner[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("task", "forget", "Manifest.task is 'forget', not one of process, recompute, rebuild"),
        ("files.0.size", "1", r"Manifest.files\[0\].size is '1', of another type"),
        ("files.0.size", True, r"Manifest.files\[0\].size is True, of another type"),
        ("files", {}, "Manifest.files is {}, of another type"),
        ("start", "March", "Manifest.start is 'March', not an ISO 8601 date"),
        ("run_id", None, "Manifest.run_id is None, of another type"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(
    path: str, value: object, complaint: str
) -> None:
    text = changed(path, value)
    with pytest.raises(DocumentError, match=complaint):
        Manifest.from_json(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            json.loads(text),
            schemas()["manifest.json"],
            format_checker=jsonschema.FormatChecker(),
        )


def test_a_missing_field_is_refused_by_name() -> None:
    with pytest.raises(DocumentError, match="Notice has no message"):
        Notice.from_json('{"subject": "s"}')


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(DocumentError, match="Verdict is not JSON"):
        Verdict.from_json("")


def test_a_document_of_newer_code_is_read_without_what_is_new() -> None:
    assert Manifest.from_json(changed("added_later", 1)) == MANIFEST


def test_a_field_with_a_default_may_be_missing() -> None:
    document = json.loads(MANIFEST.to_json())
    del document["start"], document["end"]
    assert Manifest.from_json(json.dumps(document)).start is None


def test_a_moment_is_written_in_utc() -> None:
    zoned = datetime.fromisoformat("2026-03-01T13:00:00+01:00")
    text = typed_json.to_json(Manifest(**{**_fields(MANIFEST), "created_at": zoned}))
    assert '"created_at": "2026-03-01T12:00:00+00:00"' in text


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_a_verdict_names_its_rejected_files() -> None:
    def file(name: str, status: Any) -> FileVerdict:
        return FileVerdict(
            key=name,
            name=name,
            sha256=None,
            dataset="orders",
            status=status,
            reason=None,
            detail=None,
            rows=0,
            accepted_rows=0,
            quarantined_rows=0,
            held_rows=0,
            reasons={},
        )

    verdict = Verdict(
        run_id="r",
        outcome="all_rejected",
        created_at=NOON,
        totals=Totals(
            files=3, rejected_files=1, rows=0, accepted_rows=0, quarantined_rows=0, held_rows=0
        ),
        files=tuple(file(status, status) for status in ("accepted", "rejected", "duplicate")),
        warnings=(DataWarning(reason="w", dataset="orders", file=None, count=1, detail="d"),),
        accepted={},
        held={},
        quarantined_rows=None,
        data_docs=None,
    )
    assert [found.name for found in verdict.rejected] == ["rejected"]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("verdict", documents.verdict(documents.file_verdict("orders.csv"))),
        (
            "verdict",
            documents.verdict(
                documents.file_verdict("orders.csv", "rejected"),
                documents.file_verdict("order_items.csv", reasons={"unknown_order": 2, "bad": 3}),
                documents.file_verdict("order_items_2.csv", "duplicate"),
            ),
        ),
        ("published", documents.published([date(2025, 3, 1)])),
    ],
)
def test_the_documents_that_other_tests_use_are_complete_and_add_up(
    name: str, document: Any
) -> None:
    written = json.loads(document.to_json())
    jsonschema.validate(written, json.loads((FOLDER / f"{name}.json").read_text()))
    for file in written.get("files", ()):
        counts = (file["accepted_rows"], file["quarantined_rows"], file["held_rows"])
        assert sum(counts) == file["rows"]
