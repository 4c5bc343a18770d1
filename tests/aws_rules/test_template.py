"""The rendered template against the rules of CloudFormation and the services."""

import json

import pytest

from infra import template

from . import resource_rules, template_rules
from .rules import Rule, Template

RULES = (*template_rules.RULES, *resource_rules.RULES)


@pytest.fixture(scope="module")
def rendered() -> Template:
    text = template.render()
    return Template(text=text, document=json.loads(text))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_aws_accepts_the_template(rule: Rule[Template], rendered: Template) -> None:
    assert list(rule.findings(rendered)) == []


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_template_that_aws_refuses_is_found(rule: Rule[Template]) -> None:
    assert list(rule.findings(rule.refused)) != []
