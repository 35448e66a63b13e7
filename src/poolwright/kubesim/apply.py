"""Server-side apply: merge what a manager wants, remove what it no longer wants, refuse conflicts.

Source: sigs.k8s.io/structured-merge-diff v6 merge/update.go; messages from k8s.io/apimachinery
pkg/util/managedfields/internal/conflict.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from poolwright.kubesim import status
from poolwright.kubesim.managed_fields import (
    Managers,
    Path,
    differing,
    item_key,
    leaves,
    path_text,
    whole,
)
from poolwright.kubesim.schema import ANY, Shape

_FIRST = "before-first-apply"
"""Owns what an object held before anybody was tracked on it.

Source: k8s.io/apimachinery pkg/util/managedfields/internal/skipnonapplied.go.
"""


def merge_applied(live: Any, applied: Any, kind: Shape) -> Any:
    """The live value with everything that is applied; atomic parts are replaced whole."""
    if isinstance(applied, dict) and not kind.atomic:
        base = dict(cast("dict[str, Any]", live)) if isinstance(live, dict) else {}
        for name, value in cast("dict[str, Any]", applied).items():
            base[name] = merge_applied(base.get(name), value, kind.child(name) or ANY)
        return base
    if isinstance(applied, list) and kind.list_type in {"map", "set"}:
        items = cast("list[Any]", applied)
        current = list(cast("list[Any]", live)) if isinstance(live, list) else []
        places = {item_key(item, kind): n for n, item in enumerate(current)}
        for item in items:
            place = places.get(item_key(item, kind))
            if place is None:
                current.append(item)
            else:
                current[place] = merge_applied(current[place], item, kind.item or ANY)
        return current
    return cast("object", applied)


def remove_paths(body: Any, paths: Sequence[Path], kind: Shape) -> None:
    """Take fields out of an object in place; empty parents stay away too.

    Shortest first: an item of a list goes whole, with the defaults that nobody owns, while its
    keys still tell which one it is.
    """
    for path in sorted(paths, key=len):
        _remove(body, path, kind)


def _remove(value: Any, path: Path, kind: Shape) -> None:
    element, rest = path[0], path[1:]
    if element.startswith("f:"):
        name = element[2:]
        if not isinstance(value, dict) or name not in value:
            return
        inner = cast("dict[str, Any]", value)
        if rest:
            _remove(inner[name], rest, kind.child(name) or ANY)
            if inner[name] in ({}, []):
                del inner[name]
        else:
            del inner[name]
        return
    if not isinstance(value, list):
        return
    items = cast("list[Any]", value)
    for position, item in enumerate(items):
        if item_key(item, kind) == element:
            if rest:
                _remove(item, rest, kind.item or ANY)
            else:
                del items[position]
            return


def _removable(gone: AbstractSet[Path], kept: AbstractSet[Path]) -> list[Path]:
    """Fields to remove: those that nobody else owns, nor anything beneath them."""
    beneath = {path[:length] for path in kept for length in range(1, len(path) + 1)}
    return [path for path in gone if path not in beneath]


def _printed(entry: Mapping[str, Any]) -> str:
    text = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    if entry.get("operation") == "Update":
        text += f" using {entry.get('apiVersion', 'v1')}"
        if entry.get("time"):
            text += f" at {entry['time']}"
    return text


def conflict_error(conflicts: Sequence[tuple[Mapping[str, Any], Path]]) -> status.StatusError:
    """409 that names every field and its manager."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_printed(entry)}",
            "field": path_text(path),
        }
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        entry, path = conflicts[0]
        message = (
            f"Apply failed with 1 conflict: conflict with {_printed(entry)}: {path_text(path)}"
        )
    else:
        lines: dict[str, list[str]] = {}
        for entry, path in conflicts:
            lines.setdefault(_printed(entry), []).append(f"- {path_text(path)}")
        texts = [
            line for name in sorted(lines) for line in (f"conflicts with {name}:", *lines[name])
        ]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(texts)
    return status.StatusError(409, "Conflict", message, details={"causes": causes})


def required_manager(manager: str) -> None:
    """Raise unless a field manager was named."""
    if not manager:
        raise status.unprocessable(
            "meta.k8s.io",
            "PatchOptions",
            "",
            [status.required("fieldManager", "is required for apply patch")],
        )


def applied_object(
    live: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    kind: Shape,
    *,
    manager: str,
    force: bool,
    subresource: str,
    time: str,
    excused: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The object after an apply, with its managers.

    What the object still has as it is in ``excused`` conflicts with nobody.

    Raises:
        StatusError: 409, another manager owns a field that would change, and no force.
    """
    base: dict[str, Any] = dict(live) if live is not None else {}
    managers = Managers(base)
    before = whole(base, kind)
    if live is not None and not managers.sets:
        out_of_reach = "f:spec" if subresource == "status" else "f:status"
        owned = {path for path in differing({}, base, kind)[1] if path[0] != out_of_reach}
        version = str(wanted.get("apiVersion", "v1"))
        managers.set(_FIRST, "Update", subresource, paths=owned, api_version=version, time=time)
    mine = managers.find(manager, "Apply", subresource)
    old_set = managers.sets[mine] if mine >= 0 else set[Path]()
    new_leaves = leaves(wanted, kind)
    new_set = set(new_leaves)
    merged = cast("dict[str, Any]", merge_applied(base, wanted, kind))
    others = [s for n, s in enumerate(managers.sets) if n != mine]
    owned_by_others = set[Path]().union(*others) if others else set[Path]()
    gone = _removable(old_set - new_set, owned_by_others | new_set)
    if gone:
        remove_paths(merged, gone, kind)
        merged = merge_applied(merged, wanted, kind)  # what is applied stays, though it is empty
    absent = object()
    changed = {p for p, v in new_leaves.items() if before.get(p, absent) != v}
    conflicts = [
        (managers.entry(n), path)
        for n, owned in enumerate(managers.sets)
        if n != mine
        for path in sorted(owned & changed)
    ]
    if conflicts and excused is not None:
        same = {p for p, v in leaves(excused, kind).items() if before.get(p, absent) == v}
        conflicts = [(entry, path) for entry, path in conflicts if path not in same]
    if conflicts and not force:
        raise conflict_error(conflicts)
    managers.take_away(changed, except_for=mine)
    after = whole(merged, kind)
    managers.take_away(set(before) - set(after))
    managers.set(
        manager,
        "Apply",
        subresource,
        paths=new_set,
        api_version=str(wanted.get("apiVersion", "v1")),
        time=time if live is None or before != after else "",
    )
    managers.write(merged)
    return merged
