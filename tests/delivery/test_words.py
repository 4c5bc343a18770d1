"""The documented lists of words are those that the reader has."""

import re

import pytest

from delivery.words import NULL_WORDS, STATUS_WORDS, STATUSES, null_words, spelled_statuses
from tests.conftest import ROOT

DOCS = (ROOT / "docs" / "values.md").read_text(encoding="utf-8")


def documented_statuses() -> dict[str, str]:
    header, _, *rows = re.findall(r"^\|.*\|$", DOCS, re.MULTILINE)
    assert [cell.strip() for cell in header.split("|")[2:-1]] == [*STATUSES]
    found: dict[str, str] = {}
    for row in rows:
        for status, cell in zip(STATUSES, row.split("|")[2:-1], strict=True):
            for word in filter(None, map(str.strip, cell.split(","))):
                assert found.setdefault(word, status) == status, word
    return found


def test_the_table_of_statuses_is_documented() -> None:
    assert documented_statuses() == dict(STATUS_WORDS)


def test_the_words_for_nothing_are_documented() -> None:
    [line] = re.findall(r"^`null`.*$", DOCS, re.MULTILINE)
    assert tuple(re.findall(r"`([^`]+)`", line)) == NULL_WORDS


def test_each_way_to_write_a_status_is_known_once() -> None:
    words = [word for word, _ in spelled_statuses()]
    assert len(words) == len(set(words))
    assert {"on hold", "on-hold", "on_hold", "wc-completed"} <= set(words)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [(None, NULL_WORDS), ("", ()), (" Missing \t ? ", ("missing", "?"))],
)
def test_a_setting_replaces_the_words_for_nothing(
    setting: str | None, expected: tuple[str, ...]
) -> None:
    assert null_words({} if setting is None else {"NULL_WORDS": setting}) == expected
