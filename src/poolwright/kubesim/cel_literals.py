"""Lists and maps that are written in an expression hold values of one type each.

Source: github.com/google/cel-go cel/validator.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from poolwright.kubesim.cel_tree import Node
from poolwright.kubesim.cel_type import Type

_FREE = "format"
"""The function whose arguments may be mixed."""


def mixed_literals(node: Any, types: Mapping[int, Type]) -> Iterator[tuple[int, str]]:
    """What is of another type than its neighbours, with the words for it."""
    if isinstance(node, list):
        for each in cast("list[Any]", node):
            yield from mixed_literals(each, types)
    if not isinstance(node, Mapping):
        return
    members = cast("Node", node)
    if "id" in members:
        if members.get("call", {}).get("function") == _FREE:
            return
        if "list" in members:
            yield from _of_list(members["list"], types)
        if "struct" in members:
            yield from _of_map(members["struct"], types)
    for inner in members.values():
        yield from mixed_literals(inner, types)


def _of_list(made: Node, types: Mapping[int, Type]) -> Iterator[tuple[int, str]]:
    optionals = frozenset(made.get("optionals", ()))
    first: Type | None = None
    for place, element in enumerate(made.get("elements", ())):
        found = _held(types[element["id"]], is_optional=place in optionals)
        first = first or found
        if found != first:
            yield _mismatch(element, first, found)
            return


def _of_map(made: Node, types: Mapping[int, Type]) -> Iterator[tuple[int, str]]:
    first: dict[str, Type] = {}
    for entry in made.get("entries", ()):
        for part in ("key", "value"):
            is_optional = part == "value" and bool(entry.get("isOptional"))
            found = _held(types[entry[part]["id"]], is_optional=is_optional)
            if found != first.setdefault(part, found):
                yield _mismatch(entry[part], first[part], found)


def _held(given: Type, *, is_optional: bool) -> Type:
    return given.parameters[0] if is_optional and given.parameters else given


def _mismatch(node: Node, wanted: Type, found: Type) -> tuple[int, str]:
    return node["id"], f"expected type '{wanted}' but found '{found}'"
