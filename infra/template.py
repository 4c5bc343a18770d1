"""template.yaml as CloudFormation gets it.

It is sent as JSON; comments, descriptions and what only linters read stay in the repository.
"""

import json
from pathlib import Path
from typing import Any, Final

from chalice.package import YAMLTemplateSerializer

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
TEMPLATE: Final = Path(__file__).with_name("template.yaml")
MACHINE: Final = PROJECT_ROOT / "statemachine.asl.json"


def load() -> dict[str, Any]:
    """Return template.yaml with its functions spelt out: ``{"Ref": …}``, ``{"Fn::Sub": …}``."""
    document: dict[str, Any] = YAMLTemplateSerializer().load_template(
        TEMPLATE.read_text(encoding="utf-8"), TEMPLATE.name
    )
    return document


def render() -> str:
    """Return the template with the state machine in it."""
    document = load()
    for part in (*document["Parameters"].values(), *document["Resources"].values()):
        part.pop("Description", None)
        part.pop("Metadata", None)
    # Not as an object: CloudFormation takes no null, and the machine's ResultPath needs it.
    document["Resources"]["Machine"]["Properties"]["DefinitionString"] = _compact(machine())
    return _compact(document)


def machine() -> dict[str, Any]:
    """Return the state machine without its comments."""
    document: dict[str, Any] = json.loads(MACHINE.read_text(encoding="utf-8"))
    for state in (document, *document["States"].values()):
        state.pop("Comment", None)
    return document


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
