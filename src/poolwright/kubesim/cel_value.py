"""Which values are equal in CEL: numbers across their types, but never true and 1.

Source: github.com/google/cel-spec doc/langdef.md (equality).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, cast


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
    return frozen(one) == frozen(other)
