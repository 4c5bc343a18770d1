"""Cells of CSV for a spreadsheet."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.spreadsheet import as_delivered, as_text


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_text_that_begins_like_a_formula_is_text(first: str) -> None:
    assert as_text(f"{first}HYPERLINK(1)") == f"'{first}HYPERLINK(1)"
    # Two numbers and an operator are a formula, too.
    assert as_text("-1+1") == "'-1+1"


@pytest.mark.parametrize(
    "value", ["-5.00", "+3", "12", -5, Decimal("-1.50"), None, "", "a=b", " =1"]
)
def test_numbers_and_other_texts_stay_as_they_are(value: object) -> None:
    assert as_text(value) is value


@given(st.text(alphabet="'=+-@\t\r\n1.a\uff20", max_size=6))
def test_every_text_can_be_read_back(text: str) -> None:
    assert as_delivered(as_text(text)) == text
