"""A state's name is spelt in statemachine.asl.json and in contract/states.py, and nowhere else."""

import ast
import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.states import CONTAINERS, FUNCTION_STATES, TRANSFORM_STATES, State
from tests.conftest import ROOT

MACHINE = json.loads((ROOT / "statemachine.asl.json").read_text(encoding="utf-8"))
NAMES = [state.value for state in State]
# What ships.
PRODUCT = [
    *("chalice_app", "contract", "dashboard", "delivery", "docker", "expectations", "infra"),
    *("localcloud", "shopkpi", "spark_jobs"),
]
# One Lambda function is named as a state is; these modules name functions.
NAMING_FUNCTIONS = {
    "chalice_app/app.py",
    "infra/functions.py",
    "localcloud/__main__.py",
    "shopkpi/doctor.py",
    "shopkpi/pipeline.py",
}


def states_run_by(resource: str) -> set[str]:
    return {
        name for name, state in MACHINE["States"].items() if resource in state.get("Resource", "")
    }


def misplaced_names(source: str) -> Iterator[str]:
    """Yield the string literals that are the name of a state, or nearly so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # After a hyphen or a colon it is the name of a deployed function or an IAM action.
            for word in re.findall(r"(?<![-:\w])[A-Z]\w+", node.value):
                # Words such as "Fail" and "Success" are in ordinary sentences.
                if re.search("[a-z][A-Z]", word) and difflib.get_close_matches(
                    word, NAMES, n=1, cutoff=0.9
                ):
                    yield word


def test_the_states_are_those_of_the_machine() -> None:
    assert set(NAMES) == set(MACHINE["States"])


def test_each_state_is_priced_by_what_runs_its_task() -> None:
    assert states_run_by(":lambda:invoke") == FUNCTION_STATES
    assert states_run_by(":ecs:runTask") == set(CONTAINERS)
    assert states_run_by(":emr-serverless:") == set(TRANSFORM_STATES) - set(CONTAINERS)
    for state, container in CONTAINERS.items():
        [override] = MACHINE["States"][state]["Parameters"]["Overrides"]["ContainerOverrides"]
        assert override["Name"] == container


@pytest.mark.parametrize(
    "literal", ["ValidateFiles", "ValidatFiles", "TransformFile", "ResetsLock", "in NotifyFailure:"]
)
def test_a_state_that_is_named_by_a_string_is_found_even_when_it_is_misspelt(literal: str) -> None:
    assert list(misplaced_names(f"seconds.get({literal!r})")) != []
    assert list(misplaced_names("seconds.get(State.VALIDATE_FILES)")) == []


def test_product_code_takes_the_names_of_states_from_the_contract() -> None:
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in files
        if (names := sorted(set(misplaced_names(path.read_text(encoding="utf-8")))))
    }
    assert found.pop("contract/states.py") == sorted(
        name for name in NAMES if re.search("[a-z][A-Z]", name)
    )
    assert found.keys() <= NAMING_FUNCTIONS, found


@pytest.mark.parametrize("document", ["README.md", "docs/observability.md"])
def test_documents_name_states_that_there_are(document: str) -> None:
    text = Path(ROOT / document).read_text(encoding="utf-8")
    words = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", text)) - set(NAMES)
    near = {word for word in words if difflib.get_close_matches(word, NAMES, n=1, cutoff=0.9)}
    assert near == set()
