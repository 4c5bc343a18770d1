"""A rule of AWS that the embedded AWS does not apply by itself."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Subject]):
    """What AWS refuses, who says so, and how to find it.

    ``findings`` yields one text per violation. ``refused`` is an example that AWS refuses: a rule
    that does not find it checks nothing.
    """

    name: str
    source: str
    findings: Callable[[Subject], Iterable[str]]
    refused: Subject

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as CloudFormation gets it: its text, and the same as a document."""

    text: str
    document: dict[str, Any]

    @property
    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document.get("Resources", {})
        return found

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of each resource of a type, by logical name."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }


# SNS takes one line of fewer than 100 characters, none of them a control character.
SUBJECT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,99}")


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
