"""Who set which field: sets of field paths, and ``metadata.managedFields``.

A path is a tuple of elements as ``FieldsV1`` writes them: ``f:name``, ``k:{"name":"x"}``, ``v:1``.

Source: sigs.k8s.io/structured-merge-diff v6 fieldpath and typed (what counts as a field),
k8s.io/apimachinery pkg/util/managedfields (which metadata nobody owns).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, cast

from poolwright.kubesim.entry import decode, encode
from poolwright.kubesim.schema import ANY, Shape

Path = tuple[str, ...]
ITEM = object()
"""Stands for the value of a path that only says that a list item or map key is there."""

_CONTAINERS = (dict, list)
_OPEN = frozenset({"object", "map", "any"})
_SETS_KNOWN = 512
"""Sets that are kept in both forms. Objects that are made alike are owned alike: of a thousand
nodes and their pods a dozen sets come up again and again."""
_UNOWNED_ROOT = ("apiVersion", "kind")
_UNOWNED_METADATA = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
    "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip


def owned_part(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what nobody owns."""
    stripped = {name: value for name, value in body.items() if name not in _UNOWNED_ROOT}
    metadata = stripped.get("metadata")
    if isinstance(metadata, Mapping):
        stripped["metadata"] = {
            n: v
            for n, v in cast("Mapping[str, Any]", metadata).items()
            if n not in _UNOWNED_METADATA
        }
        if not stripped["metadata"]:
            del stripped["metadata"]
    return stripped


def leaves(body: Mapping[str, Any], kind: Shape) -> dict[Path, Any]:
    """Every path of an object that owns who applies it, with its value."""
    found: dict[Path, Any] = {}
    _walk(owned_part(body), kind, (), found)
    found.pop((), None)
    return found


def whole(body: Mapping[str, Any], kind: Shape) -> dict[Path, Any]:
    """Every path of an object with its value: `leaves`, and all that holds others."""
    found: dict[Path, Any] = {}
    _walk_state(owned_part(body), kind, (), found)
    found.pop((), None)
    return found


def differing(
    old: Mapping[str, Any], new: Mapping[str, Any], kind: Shape
) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """`whole` of two states, without what is equal in both, or there in any object of the kind."""
    before: dict[Path, Any] = {}
    after: dict[Path, Any] = {}
    _walk_both(owned_part(old), owned_part(new), kind, (), before, after)
    return before, after


def item_key(item: Any, kind: Shape) -> str:
    """The element of an item of a list that is a map or a set."""
    if kind.list_type == "map" and isinstance(item, Mapping):
        fields = cast("Mapping[str, Any]", item)
        keys = {
            key: fields.get(key, kind.key_defaults.get(key))
            for key in sorted(kind.map_keys)
            if key in fields or key in kind.key_defaults
        }
        return f"k:{encode(keys).decode()}"
    return f"v:{encode(item).decode()}"


def _walk(value: Any, kind: Shape, path: Path, found: dict[Path, Any]) -> None:
    if is_open(value, kind):
        members = cast("dict[str, Any]", value)
        if not members:
            found[path] = ITEM
        for name, inner in members.items():
            here = (*path, f"f:{name}")
            if not isinstance(inner, _CONTAINERS):
                found[here] = inner
                continue
            if kind.kind != "object":
                found[here] = ITEM
            _walk(inner, kind.child(name) or ANY, here, found)
    elif isinstance(value, list) and kind.list_type in {"map", "set"}:
        for item in cast("list[Any]", value):
            here = (*path, item_key(item, kind))
            found[here] = ITEM
            if kind.list_type == "map":
                _walk(item, kind.item or ANY, here, found)
    else:
        found[path] = value


def _walk_state(
    value: Any, kind: Shape, path: Path, found: dict[Path, Any], *, is_there: bool = False
) -> None:
    """Walk what one state has; ``is_there`` where the other has the same, but empty."""
    if is_open(value, kind):
        if not is_there:
            found[path] = ITEM
        for name, inner in value.items():
            here = (*path, f"f:{name}")
            if isinstance(inner, _CONTAINERS):
                valued = is_there and name in kind.by_value
                _walk_state(inner, kind.child(name) or ANY, here, found, is_there=valued)
            else:
                found[here] = inner
    elif isinstance(value, list) and kind.list_type in {"map", "set"}:
        if not is_there:
            found[path] = ITEM
        for item in cast("list[Any]", value):
            here = (*path, item_key(item, kind))
            found[here] = ITEM
            if kind.list_type == "map":
                _walk_state(item, kind.item or ANY, here, found)
    elif not is_there or value != {}:
        found[path] = value


def _walk_both(
    old: Any,
    new: Any,
    kind: Shape,
    path: Path,
    before: dict[Path, Any],
    after: dict[Path, Any],
) -> None:
    """Walk two different values, passing over the members that they share."""
    if not (is_open(old, kind) and is_open(new, kind)):
        _walk_state(old, kind, path, before)
        _walk_state(new, kind, path, after)
        return
    for value, other, found in ((old, new, before), (new, old, after)):
        for name, inner in value.items():
            if name not in other:
                valued = name in kind.by_value
                here = (*path, f"f:{name}")
                _walk_state(inner, kind.child(name) or ANY, here, found, is_there=valued)
    for name, inner in new.items():
        if name in old and old[name] != inner:
            here = (*path, f"f:{name}")
            _walk_both(old[name], inner, kind.child(name) or ANY, here, before, after)


def is_open(value: Any, kind: Shape) -> bool:
    """Whether the members of a value are owned one by one."""
    return isinstance(value, dict) and not kind.atomic and kind.kind in _OPEN


@lru_cache(maxsize=_SETS_KNOWN)
def to_fields(paths: frozenset[Path]) -> dict[str, Any]:
    """A set as ``fieldsV1``; shared, not to be changed."""
    return tree_of_paths(paths)


def tree_of_paths(paths: Iterable[Path]) -> dict[str, Any]:
    """Paths as ``fieldsV1``."""
    root: dict[str, Any] = {}
    ordered = sorted(paths)
    for position, path in enumerate(ordered):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        following = ordered[position + 1] if position + 1 < len(ordered) else ()
        if following[: len(path)] == path:
            node["."] = {}
    return root


def from_fields(fields: Mapping[str, Any]) -> frozenset[Path]:
    """``fieldsV1`` as a set."""
    return _from_encoded(encode(fields))


@lru_cache(maxsize=_SETS_KNOWN)
def _from_encoded(fields: bytes) -> frozenset[Path]:
    found: set[Path] = set()

    def walk(node: Mapping[str, Any], path: Path) -> None:
        for element, inner in node.items():
            if element == ".":
                found.add(path)
            elif inner:
                walk(inner, (*path, element))
            else:
                found.add((*path, element))

    walk(decode(fields), ())
    return frozenset(found)


def path_text(path: Path) -> str:
    """A path as conflict messages write it: ``.spec.containers[name="x"].image``."""
    parts: list[str] = []
    for element in path:
        if element.startswith("f:"):
            parts.append(f".{element[2:]}")
        elif element.startswith("k:"):
            keys = cast("dict[str, Any]", decode(element[2:]))
            text = ",".join(f"{key}={encode(value).decode()}" for key, value in keys.items())
            parts.append(f"[{text}]")
        else:
            parts.append(f"[={element[2:]}]")
    return "".join(parts)


def entry_order(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Entries stand by operation and by time.

    Source: k8s.io/apimachinery pkg/util/managedfields/internal/managedfields.go.
    """
    return (
        entry.get("operation", ""),
        entry.get("time", ""),
        entry.get("manager", ""),
        entry.get("apiVersion", ""),
        entry.get("subresource", ""),
    )


class Managers:
    """The entries of ``metadata.managedFields``, as sets."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        metadata = cast("Mapping[str, Any]", body.get("metadata") or {})
        self._entries: list[dict[str, Any]] = [
            dict(entry) for entry in metadata.get("managedFields") or ()
        ]
        self.sets: list[frozenset[Path]] = [
            from_fields(entry.get("fieldsV1") or {}) for entry in self._entries
        ]
        self._read = list(self.sets)

    def find(self, manager: str, operation: str, subresource: str = "") -> int:
        """The position of a manager's entry, or -1."""
        for position, entry in enumerate(self._entries):
            if (
                entry.get("manager") == manager
                and entry.get("operation") == operation
                and entry.get("subresource", "") == subresource
            ):
                return position
        return -1

    def entry(self, position: int) -> Mapping[str, Any]:
        """An entry as it stands."""
        return self._entries[position]

    def set(
        self,
        manager: str,
        operation: str,
        subresource: str,
        *,
        paths: AbstractSet[Path],
        api_version: str,
        time: str,
    ) -> None:
        """Give a manager exactly these fields; ``time`` is empty if that changed no object."""
        position = self.find(manager, operation, subresource)
        stamp = {"apiVersion": api_version, **({"time": time} if time else {})}
        if position < 0:
            entry: dict[str, Any] = {"manager": manager, "operation": operation, **stamp}
            entry.update(fieldsType="FieldsV1", fieldsV1={})
            if subresource:
                entry["subresource"] = subresource
            self._entries.append(entry)
            self.sets.append(frozenset(paths))
            return
        self._entries[position] = {**self._entries[position], **stamp}
        if self.sets[position] != paths:
            self.sets[position] = frozenset(paths)

    def take_away(self, paths: AbstractSet[Path], *, except_for: int = -1) -> None:
        """Remove fields from all managers but one."""
        for position, owned in enumerate(self.sets):
            if position != except_for and not owned.isdisjoint(paths):
                self.sets[position] = owned - paths

    def write(self, body: dict[str, Any]) -> None:
        """Put the entries that own anything back into an object."""
        as_read = (*self._read, *[None] * (len(self.sets) - len(self._read)))
        kept = [
            entry if owned is read else {**entry, "fieldsV1": to_fields(owned)}
            for entry, owned, read in zip(self._entries, self.sets, as_read, strict=True)
            if owned
        ]
        if kept:
            body["metadata"]["managedFields"] = sorted(kept, key=entry_order)
        else:
            body["metadata"].pop("managedFields", None)
