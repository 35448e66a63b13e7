"""What a deployment would change in a resource: its body as it is, against its body as declared.

Only what the template declares is compared, because everything else keeps its value. Three members
are the exception: a PUT replaces them whole, so leaving them out empties them.

Source: WhatIfPropertyChange of Microsoft.Resources; facts aks-api §5.4 (what a PUT replaces).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from poolwright.arm.template.language import same_name
from poolwright.model.json_value import Json

Change = dict[str, Any]
"""``path``, ``propertyChangeType``, ``before``, ``after`` and, of arrays, ``children``."""

_REPLACED = ("tags", "nodeLabels", "nodeTaints")
_KEPT = "agentPoolProfiles"
"""A PUT of a cluster never removes a pool."""
_EXACT = frozenset({"tags", "nodeLabels"})
"""Maps of the user's own words: their casing counts."""


def _change(path: str, kind: str, before: Any, after: Any, *children: Change) -> Change:
    return {
        "path": path,
        "propertyChangeType": kind,
        "before": before,
        "after": after,
        "children": list(children) or None,
    }


def property_changes(before: Json, after: Json) -> list[Change]:
    """The changes that a PUT of ``after`` makes to a resource that reads as ``before``."""
    return list(_in_object(before, {"properties": {}, **after}, "", is_exact=False))


def _is_nothing(value: Any) -> bool:
    """Whether saying so is like saying nothing: reads leave out what is empty or off."""
    return value is None or value is False or value in ("", {}, [])


def _in_object(before: Json, after: Json, path: str, *, is_exact: bool) -> Iterator[Change]:
    for name, wanted in after.items():
        found = name if name in before else same_name(before, name)
        current = before.get(found) if found is not None else None
        if name in _REPLACED and not wanted:
            continue  # below
        yield from _in_value(current, wanted, f"{path}{name}", is_exact=is_exact or name in _EXACT)
    gone = before if is_exact else _REPLACED
    for name in gone:
        if before.get(name) and not after.get(name):
            yield _change(f"{path}{name}", "Delete", before[name], None)


def _in_value(current: Any, wanted: Any, path: str, *, is_exact: bool) -> Iterator[Change]:
    if current is None:
        if not _is_nothing(wanted):
            yield _change(path, "Create", None, wanted)
    elif isinstance(current, Mapping) and isinstance(wanted, Mapping):
        inner, declared = cast("Json", current), cast("Json", wanted)
        yield from _in_object(inner, declared, f"{path}.", is_exact=is_exact)
    elif isinstance(current, list) and isinstance(wanted, list):
        have, want = cast("list[Any]", current), cast("list[Any]", wanted)
        children = list(_in_list(have, want, keeps=path.endswith(_KEPT)))
        if children:
            yield _change(path, "Array", have, want, *children)
    elif wanted not in (None, "") and not _is_same(current, wanted, is_exact=is_exact):
        yield _change(path, "Modify", current, wanted)


def _is_same(current: Any, wanted: Any, *, is_exact: bool) -> bool:
    if is_exact or not isinstance(current, str) or not isinstance(wanted, str):
        return current == wanted
    return _folded(current) == _folded(wanted)


def _folded(text: str) -> str:
    """``East US`` is ``eastus``, and no name or enumeration differs by its casing."""
    return "".join(text.split()).casefold()


def _in_list(have: Sequence[Any], want: Sequence[Any], *, keeps: bool) -> Iterator[Change]:
    """Objects are the same by name, anything else by value; the order does not count."""
    rest = list(enumerate(have))
    for index, wanted in enumerate(want):
        match = next((entry for entry in rest if _is_one(entry[1], wanted)), None)
        if match is None:
            yield _change(str(index), "Create", None, wanted)
            continue
        rest.remove(match)
        if isinstance(wanted, Mapping):
            current = cast("Json", match[1])
            inner = list(_in_object(current, cast("Json", wanted), "", is_exact=False))
            if inner:
                yield _change(str(index), "Modify", current, wanted, *inner)
    if not keeps:
        for index, left in rest:
            yield _change(str(index), "Delete", left, None)


def _is_one(current: Any, wanted: Any) -> bool:
    if isinstance(current, Mapping) and isinstance(wanted, Mapping):
        one, other = cast("Json", current), cast("Json", wanted)
        return _folded(str(one.get("name", ""))) == _folded(str(other.get("name", "")))
    return _is_same(current, wanted, is_exact=False)


def merged(before: Any, after: Any) -> Any:
    """How the resource would read: what is declared laid over what there is."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return cast("object", before if after is None else after)
    result = dict(cast("Json", before))
    for name, wanted in cast("Json", after).items():
        result[name] = wanted if name in _REPLACED else merged(result.get(name), wanted)
    return result
