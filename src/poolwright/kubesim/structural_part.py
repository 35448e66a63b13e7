"""A structural schema beside a value and what it was before: the parts of each.

Source: k8s.io/apiserver pkg/cel/common/equality.go (which old value corresponds to which).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

Schema = Mapping[str, Any]
OPEN = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
NEW = object()
"""In the place of the value that there was before, where nothing corresponds to it."""


def properties_of(schema: Schema) -> Mapping[str, Schema]:
    """The schemas of the members of an object."""
    return schema.get("properties") or {}


def items_of(schema: Schema) -> Schema:
    """The schema of the items of a list."""
    return schema.get("items") or {}


def inner_of(schema: Schema, name: str) -> Schema | None:
    """The schema of a member; empty if anything goes there, None if it is not known."""
    known = properties_of(schema).get(name)
    if known is not None:
        return known
    more: Any = schema.get("additionalProperties")
    if more:
        return cast("Schema", more) if isinstance(more, dict) else {OPEN: True}
    return {OPEN: True} if schema.get(OPEN) else None


def joined(path: str, name: str) -> str:
    """Where a member is."""
    return f"{path}.{name}" if path else name


def is_as_it_was(value: Any, old: Any) -> bool:
    """Whether an update leaves a value alone: true is not 1, though Python compares them so."""
    if old is NEW or old != value:
        return False
    return json.dumps(old, sort_keys=True) == json.dumps(value, sort_keys=True)


def old_member(old: Any, name: str) -> Any:
    """What a member was."""
    return cast("dict[str, Any]", old).get(name, NEW) if isinstance(old, dict) else NEW


def old_items(items: list[Any], old: Any, schema: Schema) -> list[Any]:
    """What each item was: known by its keys in a list that is a map, and nowhere else."""
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return [NEW] * len(items)
    before = {_key_of(item, keys): item for item in cast("list[Any]", old)}
    return [before.get(_key_of(item, keys), NEW) for item in items]


def _key_of(item: Any, keys: Iterable[str]) -> str:
    members = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    return json.dumps([members.get(key) for key in keys], sort_keys=True)
