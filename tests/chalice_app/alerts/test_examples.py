"""The messages are as docs/alerts.md shows them, as SNS takes them, and without secrets."""

from pathlib import Path

import pytest

from contract.notice import Notice
from tests.chalice_app.alerts import examples


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Notice]:
    return dict(examples.examples(tmp_path_factory.mktemp("alerts")))


def test_the_documented_messages_are_those_that_are_sent(rendered: dict[str, Notice]) -> None:
    """`python -m tests.chalice_app.alerts.examples` writes them again."""
    document = examples.DOCUMENT.read_text(encoding="utf-8")
    for title, notice in rendered.items():
        assert f"### {title}\n\n```\nSubject: {notice.subject}\n\n{notice.message}```\n" in document
    assert document.count("Subject: ") == len(rendered)


def test_no_message_quotes_a_row(rendered: dict[str, Notice]) -> None:
    text = "\n".join(notice.message for notice in rendered.values())
    assert "orders_west.csv: missing_column" in text
    assert examples.PRIVATE not in text
    assert "jane" not in text


def test_subjects_are_one_line_of_ascii_that_sns_takes(rendered: dict[str, Notice]) -> None:
    for notice in rendered.values():
        assert notice.subject.isascii()
        assert notice.subject.isprintable()
        assert notice.subject[0].isalnum()
        assert 0 < len(notice.subject) < 100


def test_no_line_that_is_to_be_typed_is_too_long_for_a_terminal(
    rendered: dict[str, Notice],
) -> None:
    commands = [
        line
        for notice in rendered.values()
        for line in notice.message.splitlines()
        if line.startswith("    shopkpi ")
    ]
    assert commands
    assert max(map(len, commands)) <= 100


def test_the_document_is_where_the_command_writes_it() -> None:
    assert Path("docs/alerts.md") == examples.DOCUMENT.relative_to(examples.ROOT)
