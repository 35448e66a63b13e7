"""How large the values of a custom resource may become, as far as its schema bounds them.

Source: k8s.io/apiserver pkg/cel/common/schemas.go and pkg/cel/limits.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from poolwright.kubesim.cel_schema import OF_EVERY_ROOT, Schema, escaped, properties_of

REQUEST_MAX_BYTES = 3 * 1024 * 1024
_TEXT_MAX = REQUEST_MAX_BYTES - 2  # without its quotation marks
_SHORTEST = {"byte": 2, "duration": 3, "date": 12, "date-time": 21}
_LONGEST = {"duration": 32, "date": 12, "date-time": 32}
_SCALARS = {"boolean": 4, "number": 1, "integer": 1}


@dataclass(frozen=True, slots=True)
class Extent:
    """The most elements (characters, items, members) of a value, and its fewest bytes in JSON."""

    most: int = 0
    least_bytes: int = 2
    inner: Extent | None = None
    fields: Mapping[str, Extent] = field(default_factory=dict[str, "Extent"])

    def at(self, name: str) -> Extent | None:
        """The extent of a part, named as in the path of an expression."""
        match name:
            case "@items" | "@values":
                return self.inner
            case "@keys":
                return None if self.inner is None else Extent()
            case _:
                return self.fields.get(name)

    @property
    def repeated_most(self) -> int:
        """How many such values fit into a request, if nothing else bounds them."""
        return REQUEST_MAX_BYTES // (self.least_bytes + 1)


def extent_of(schema: Schema, *, is_root: bool = False) -> Extent | None:
    """The extent of what a schema describes; None if expressions do not see it."""
    if schema.get("x-kubernetes-int-or-string"):
        return Extent(_longest(schema, _TEXT_MAX), 1)
    kind = "object" if is_root else schema.get("type")
    if kind == "array":
        item = _inner(schema.get("items"))
        if item is None:
            return None
        fitting = (REQUEST_MAX_BYTES - 2) // (item.least_bytes + 1)
        return Extent(_bound(schema, "maxItems", fitting), 2, item)
    if kind == "object":
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            value = _inner(more)
            if value is None:
                return None
            fitting = (REQUEST_MAX_BYTES - 2) // (value.least_bytes + 6)
            return Extent(_bound(schema, "maxProperties", fitting), 2, value)
        return _object(schema, is_root=is_root)
    if kind == "string":
        form = schema.get("format", "")
        if form in _LONGEST:
            return Extent(_LONGEST[form], _SHORTEST[form])
        if form == "byte":
            return Extent(_bound(schema, "maxLength", _TEXT_MAX))
        words = [len(text.encode()) for text in schema.get("enum") or () if isinstance(text, str)]
        return Extent(_longest(schema, max(words, default=0) if schema.get("enum") else _TEXT_MAX))
    least = _SCALARS.get(kind or "")
    return None if least is None else Extent(0, least)


def _object(schema: Schema, *, is_root: bool) -> Extent:
    members = {**properties_of(schema), **(OF_EVERY_ROOT if is_root else {})}
    needed: frozenset[str] = frozenset(schema.get("required") or ())
    fields: dict[str, Extent] = {}
    least = 2
    for name, inner in members.items():
        found = _inner(inner)
        if found is None:
            continue
        if escaped(name):
            fields[escaped(name)] = found
        if name in needed and inner.get("default") is None:
            least += len(name.encode()) + found.least_bytes + 4
    return Extent(0, least, None, fields)


def _inner(schema: Any) -> Extent | None:
    if not schema:
        return None
    return extent_of(schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _bound(schema: Schema, member: str, otherwise: int) -> int:
    declared = schema.get(member)
    return otherwise if declared is None else max(0, int(declared))


def _longest(schema: Schema, otherwise: int) -> int:
    """Of a text whose longest form is told in characters, which have up to four bytes each."""
    declared = schema.get("maxLength")
    return otherwise if declared is None else max(0, int(declared)) * 4
