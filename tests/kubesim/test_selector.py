"""Label and field selectors as texts."""

from __future__ import annotations

import pytest

from poolwright.kubesim.kinds.core import CONFIG_MAP
from poolwright.kubesim.kinds.pod import POD
from poolwright.kubesim.selector import parse_fields, parse_labels
from poolwright.kubesim.status import StatusError


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": "1"}, False),
        ("a=b", {"a": "b"}, True),
        ("a == b , c != d", {"a": "b"}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "d"}, True),
        ("a in (b,,c)", {"a": ""}, True),
        ("a in ()", {"a": ""}, True),
        ("a=", {"a": ""}, True),
        ("in in (in)", {"in": "in"}, True),
        ("a>5", {"a": "10"}, True),
        ("a<5", {"a": "10"}, False),
    ],
)
def test_selectors(text, labels, expected):
    assert all(rule.matches(labels) for rule in parse_labels(text)) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a notin b", "unable to parse requirement: found 'b' expected: '('"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt'"
            " operators, the value must be an integer",
        ),
    ],
)
def test_what_is_no_selector(text, message):
    with pytest.raises(StatusError) as refused:
        parse_labels(text)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (POD, "field label not supported: spec.color"),
        (
            CONFIG_MAP,
            '"spec.color" is not a known field selector: only "metadata.name",'
            ' "metadata.namespace"',
        ),
    ],
)
def test_fields_that_no_kind_has(kind, message):
    with pytest.raises(StatusError) as refused:
        parse_fields("spec.color=red", kind)
    assert refused.value.message == message
