"""Values in CEL: which are equal (numbers across their types, but never true and 1), and errors.

Source: github.com/google/cel-spec doc/langdef.md (equality).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, cast


class CelError(ValueError):
    """An expression that cannot be compiled, or that has no value."""


def frozen(value: Any) -> Hashable:
    """What stands for a value in a set: the same for equal values alone."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", *map(frozen, cast("list[Any]", value)))
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return ("map", frozenset((frozen(k), frozen(v)) for k, v in members.items()))
    if isinstance(value, float) and math.isnan(value):
        return object()
    return value


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return frozen(one) == frozen(other)
