"""The part of OData's ``$filter`` that ARM lists understand: comparisons joined by ``and``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from poolwright.arm.errors import KnownError
from poolwright.model.errors import InvalidRequest

_TERM = re.compile(
    r"\s*(?P<field>[A-Za-z][\w/]*)\s+(?P<verb>eq|ne)\s+'(?P<value>(?:[^']|'')*)'\s*", re.I
)
_AND = re.compile(r"and\b", re.I)

_INVALID_FILTER = KnownError(
    "InvalidFilterInQueryString",
    InvalidRequest,
    "Invalid $filter '{filter}' specified in the query string.",
)


@dataclass(frozen=True, slots=True)
class Term:
    """``field eq 'value'``; ``field`` is in lower case."""

    field: str
    is_equal: bool
    value: str

    def holds(self, value: str) -> bool:
        """Whether a value of the field passes; ARM compares without regard to case."""
        return (value.lower() == self.value.lower()) is self.is_equal


def read_filter(text: str, fields: frozenset[str]) -> tuple[Term, ...]:
    """The terms of a filter; none if it is empty. ``fields`` are the allowed ones, lower case.

    Raises:
        InvalidRequest: not such a filter, or a field that cannot be filtered by.
    """
    terms: list[Term] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match["field"].lower() not in fields:
            raise _INVALID_FILTER(filter=text)
        value = match["value"].replace("''", "'")
        terms.append(Term(match["field"].lower(), match["verb"].lower() == "eq", value))
        position = match.end()
        if position < len(text):
            joint = _AND.match(text, position)
            if joint is None or joint.end() == len(text):
                raise _INVALID_FILTER(filter=text)
            position = joint.end()
    return tuple(terms)


def passes(terms: tuple[Term, ...], values: Mapping[str, str]) -> bool:
    """Whether an item with these values passes; a field that it lacks is the empty string."""
    return all(term.holds(values.get(term.field, "")) for term in terms)
