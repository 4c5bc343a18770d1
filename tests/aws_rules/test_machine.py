"""The state machine, filled in by the template, against the rules of Step Functions."""

import json
import re

import pytest

from infra import template

from .machine_rules import RULES, Machine
from .rules import Rule
from .text import spelt_out


@pytest.fixture(scope="module")
def filled_in() -> Machine:
    properties = json.loads(template.render())["Resources"]["Machine"]["Properties"]
    values = spelt_out(properties["DefinitionSubstitutions"], conditions_hold=True)
    text = re.sub(
        r"\$\{(\w+)\}",
        lambda found: json.dumps(str(values[found[1]]))[1:-1],
        properties["DefinitionString"],
    )
    machine: Machine = json.loads(text)
    return machine


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_aws_accepts_the_machine(rule: Rule[Machine], filled_in: Machine) -> None:
    assert list(rule.findings(filled_in)) == []


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_machine_that_aws_refuses_is_found(rule: Rule[Machine]) -> None:
    assert list(rule.findings(rule.refused)) != []
