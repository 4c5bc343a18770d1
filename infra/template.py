"""template.yaml as CloudFormation gets it.

It is sent as JSON in the request itself, which may hold 51,200 bytes: comments, descriptions
and what only linters read stay in the repository. A larger one would need a bucket before the
first stack exists.
"""

import json
from pathlib import Path
from typing import Any, Final

from chalice.package import YAMLTemplateSerializer

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
TEMPLATE: Final = Path(__file__).with_name("template.yaml")
MACHINE: Final = PROJECT_ROOT / "statemachine.asl.json"
MAX_BYTES: Final = 51_200


class TemplateError(ValueError):
    """The template cannot be sent; the message says why."""


def load() -> dict[str, Any]:
    """Return template.yaml with its functions spelt out: ``{"Ref": …}``, ``{"Fn::Sub": …}``."""
    document: dict[str, Any] = YAMLTemplateSerializer().load_template(
        TEMPLATE.read_text(encoding="utf-8"), TEMPLATE.name
    )
    return document


def render() -> str:
    """Return the template with the state machine in it.

    Raises:
        TemplateError: it is larger than a request may hold.
    """
    document = load()
    for part in (*document["Parameters"].values(), *document["Resources"].values()):
        part.pop("Description", None)
        part.pop("Metadata", None)
    # Not as an object: CloudFormation takes no null, and the machine's ResultPath needs it.
    document["Resources"]["Machine"]["Properties"]["DefinitionString"] = _compact(machine())
    body = _compact(document)
    if len(body.encode()) > MAX_BYTES:
        raise TemplateError(
            f"the template has {len(body.encode()):,} bytes and a request holds {MAX_BYTES:,}: "
            "move a part of it into a stack of its own"
        )
    return body


def machine() -> dict[str, Any]:
    """Return the state machine without its comments."""
    document: dict[str, Any] = json.loads(MACHINE.read_text(encoding="utf-8"))
    for state in (document, *document["States"].values()):
        state.pop("Comment", None)
    return document


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
