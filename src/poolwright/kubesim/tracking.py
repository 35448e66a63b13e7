"""Ownership as plain writes move it, kept as ``fieldsV1`` all along.

A write changes a few fields of an object and owns a few more. Reading every manager's fields into
a set of paths and writing it out again (`managed_fields`, which server-side apply needs) costs as
much as all the rest of a write; here only what changes is touched, and the rest is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from poolwright.kubesim.managed_fields import (
    ITEM,
    Path,
    differing,
    entry_order,
    is_open,
    item_key,
    owned_part,
    tree_of_paths,
)
from poolwright.kubesim.schema import ANY, Shape

Tree = Mapping[str, Any]
"""Fields as ``fieldsV1`` has them: a leaf is owned; what has members is owned if one is ``"."``."""

_CONTAINERS = (dict, list)
_LEAF: Tree = {}
_ABSENT = object()


def tree_of(value: Any, kind: Shape, *, is_there: bool = False) -> Tree | None:
    """Every path of a value that is new; None if there is none. ``is_there`` where it was there
    before, but empty.
    """
    tree: dict[str, Tree] = {} if is_there else {".": _LEAF}
    if is_open(value, kind):
        for name, inner in value.items():
            if not isinstance(inner, _CONTAINERS):
                tree[f"f:{name}"] = _LEAF
                continue
            valued = is_there and name in kind.by_value
            below = tree_of(inner, kind.child(name) or ANY, is_there=valued)
            if below is not None:
                tree[f"f:{name}"] = below
    elif isinstance(value, list) and kind.list_type in {"map", "set"}:
        for item in cast("list[Any]", value):
            inner = tree_of(item, kind.item or ANY) if kind.list_type == "map" else None
            tree[item_key(item, kind)] = inner or _LEAF
    else:
        return None if is_there and value == {} else _LEAF
    if not is_there and len(tree) == 1:
        return _LEAF
    return dict(sorted(tree.items())) or None


def _owned(tree: Tree | None) -> Tree:
    if not tree:
        return _LEAF
    return tree if "." in tree else {".": _LEAF, **tree}


def with_path(tree: Tree | None, path: Path, at: int = 0) -> Tree:
    """A tree with one more path; itself if it has it."""
    if at == len(path):
        return _LEAF if tree is None else _owned(tree) if tree else tree
    element = path[at]
    if tree is None:
        return {element: with_path(None, path, at + 1)}
    inner: Tree | None = tree.get(element)
    grown = with_path(inner, path, at + 1)
    if grown is inner:
        return tree
    if inner is not None:
        return {**tree, element: grown}
    if at and not tree:
        return {".": _LEAF, element: grown}
    return dict(sorted({**tree, element: grown}.items()))


def without_path(tree: Tree, path: Path, at: int = 0) -> Tree | None:
    """A tree without a path; itself if it has not got it, None if nothing is left."""
    if at == len(path):
        if tree and "." not in tree:
            return tree
        rest = {name: inner for name, inner in tree.items() if name != "."}
        return rest or None
    element = path[at]
    inner: Tree | None = tree.get(element)
    if inner is None:
        return tree
    left = without_path(inner, path, at + 1)
    if left is inner:
        return tree
    if left is not None:
        return {**tree, element: left}
    rest = {name: other for name, other in tree.items() if name != element}
    if not rest:
        return None
    return _LEAF if len(rest) == 1 and "." in rest else rest


def track_update(
    new: dict[str, Any],
    old: Mapping[str, Any] | None,
    kind: Shape,
    manager: str,
    time: str,
    subresource: str,
) -> None:
    """Move ownership of the fields that a write changed to its manager."""
    entries: list[dict[str, Any]] = list(new["metadata"].get("managedFields") or ())
    mine = _position(entries, manager, subresource)
    stamp = {"time": time, "apiVersion": str(new.get("apiVersion", "v1"))}
    if old is None and mine < 0:
        fields = tree_of(owned_part(new), kind, is_there=True)
    else:
        before, after = differing(old or {}, new, kind)
        changed = [p for p, value in after.items() if before.get(p, _ABSENT) != value]
        removed = [p for p in before if p not in after]
        if not changed and not removed:
            return
        taken = [p for p in changed if after[p] is not ITEM and p in before]
        for position, entry in enumerate(entries):
            paths = removed if position == mine else (*removed, *taken)
            entries[position] = _less(entry, paths)
        owned: Tree | None = entries[mine].get("fieldsV1") or {} if mine >= 0 else None
        fields = owned if owned or not changed else tree_of_paths(changed)
        for path in changed if owned else ():
            fields = with_path(fields, path)
        if fields is owned:
            fields = None
    if fields and mine >= 0:
        entries[mine] = {**entries[mine], **stamp, "fieldsV1": fields}
    elif fields:
        entries.append(_entry(manager, subresource, stamp, fields))
    _write(new["metadata"], entries)


def _position(entries: Iterable[Mapping[str, Any]], manager: str, subresource: str) -> int:
    for position, entry in enumerate(entries):
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Update"
            and entry.get("subresource", "") == subresource
        ):
            return position
    return -1


def _less(entry: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A manager's entry without some fields."""
    fields: Tree | None = entry.get("fieldsV1") or {}
    kept = fields
    for path in paths:
        kept = without_path(kept, path) if kept else kept
    return entry if kept is fields else {**entry, "fieldsV1": kept or {}}


def _entry(
    manager: str, subresource: str, stamp: Mapping[str, str], fields: Tree
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": stamp["apiVersion"],
        "time": stamp["time"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if subresource:
        made["subresource"] = subresource
    return made


def _write(metadata: dict[str, Any], entries: Iterable[dict[str, Any]]) -> None:
    """Put the entries that own anything back into an object."""
    kept = [entry for entry in entries if entry.get("fieldsV1")]
    if len(kept) > 1:
        kept.sort(key=entry_order)
    if kept:
        metadata["managedFields"] = kept
    else:
        metadata.pop("managedFields", None)
