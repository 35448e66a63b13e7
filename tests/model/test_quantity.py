"""Quantities: what they are worth, and the form in which the API server keeps them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.model.quantity import (
    canonical_listed_quantity,
    canonical_quantity,
    is_quantity,
    parse_quantity,
)

ANSWERS = json.loads(Path(__file__).with_name("quantity_answers.json").read_text())
"""Sent, kept in a size limit, kept in a quota: what kube-apiserver 1.36 answered."""

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
DIGITS = st.text("0123456789", min_size=1, max_size=9)
WRITTEN = st.builds(
    lambda sign, whole, places, suffix: f"{sign}{whole}{places}{suffix}",
    st.sampled_from(["", "", "+", "-"]),
    DIGITS,
    st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}")),
    st.one_of(st.sampled_from(SUFFIXES), st.integers(-12, 15).map(lambda power: f"e{power}")),
)


@pytest.mark.parametrize(("sent", "kept", "kept_in_list"), ANSWERS, ids=repr)
def test_the_form_is_that_of_the_real_server(sent, kept, kept_in_list):
    assert canonical_quantity(sent) == kept
    assert canonical_listed_quantity(sent) == kept_in_list


FORMS = ((canonical_quantity, Fraction(1, 10**9)), (canonical_listed_quantity, Fraction(1, 1000)))


@given(WRITTEN, st.sampled_from(FORMS))
def test_the_form_is_of_itself_the_form(text, form):
    canonical, _ = form
    once = canonical(text)
    assert canonical(once) == once


@given(WRITTEN, st.sampled_from(FORMS))
def test_the_form_is_worth_as_much_rounded_up(text, form):
    canonical, unit = form
    value = parse_quantity(text)
    if text.endswith("i") and abs(value) > 2**63 - 1:  # the most that a binary one can be
        value = Fraction(2**63 - 1) * (1 if value > 0 else -1)
    kept = parse_quantity(canonical(text))
    assert (kept / unit).denominator == 1
    assert 0 <= abs(kept) - abs(value) < unit
    assert kept == value or (value / unit).denominator != 1


@given(st.floats(1e-6, 1e12))
def test_a_number_is_worth_what_it_shows(number):
    assert parse_quantity(number) == Fraction(repr(number))
    assert is_quantity(canonical_quantity(number))


def test_tenths_add_up():
    assert parse_quantity(0.1) + parse_quantity("0.5") == parse_quantity("600m")


@pytest.mark.parametrize(
    "text", ["", "one", "1 Gi", "1x", "1Kib", "1.2.3", "--1", "1e", "1e9999", "٣", "1_000", "1/2"]
)
def test_what_is_no_quantity(text):
    assert not is_quantity(text)
    assert canonical_quantity(text) == text
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)
