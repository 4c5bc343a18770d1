"""The code that calls AWS against the rules of its answers."""

import pytest

from tests.conftest import ROOT

from .code_rules import RULES, Source, sources
from .rules import Rule

PACKAGES = (
    "chalice_app",
    "dashboard",
    "delivery",
    "expectations",
    "infra",
    "shopkpi",
    "spark_jobs",
)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_code_follows_the_rule(rule: Rule[Source]) -> None:
    source = sources(*(ROOT / package for package in PACKAGES))
    assert list(rule.findings(source)) == []


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_code_that_does_not_is_found(rule: Rule[Source]) -> None:
    assert list(rule.findings(rule.refused)) != []
