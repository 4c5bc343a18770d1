"""The message that people get about a run, ``runs/RUN/notice.json``: kept before it is sent."""

from dataclasses import dataclass
from typing import Self

from . import typed_json
from .typed_json import JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``subject`` is one line of ASCII with at most 100 characters, as SNS requires."""

    subject: str
    message: str

    def to_json(self) -> str:
        return typed_json.to_json(self)

    @classmethod
    def from_json(cls, text: JsonText) -> Self:
        """Raise typed_json.DocumentError when the text is not a notice."""
        return typed_json.from_json(cls, text)
