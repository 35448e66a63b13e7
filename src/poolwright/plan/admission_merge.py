"""Putting a request over what is stored: what is inherited, what is replaced, what is fixed.

A PUT replaces: maps and lists whole, and an absent one is empty. Absent scalars are inherited,
because clients read, modify and write with members they do not know left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from poolwright.model.agent_pool import AgentPoolSpec, UpgradeSettings
from poolwright.model.errors import Immutable
from poolwright.model.gpu import GpuProfile


@dataclass(frozen=True, slots=True)
class Fixed:
    """A property that cannot change: its path on the wire, its model field (empty: in
    ``accepted``) and the value that reads show when none was given.
    """

    path: str
    field: str = ""
    default: Any = None


def change_refused(path: str) -> Immutable:
    """Source: recorded (azure-cli-extensions#10343)."""
    return Immutable(
        f"Changing property 'properties.{path}' is not allowed.",
        code="PropertyChangeNotAllowed",
        target=f"properties.{path}",
    )


def at_path(wire: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    here: Any = wire
    for name in path.split("."):
        if not isinstance(here, Mapping):
            return None
        here = cast("Mapping[str, Any]", here).get(name)
    return here


def check_unchanged(
    fixed: tuple[Fixed, ...],
    given: Mapping[str, Any],
    accepted: Mapping[str, Any],
    old: AgentPoolSpec,
) -> None:
    """Refuse a request that changes what is fixed; absent or equal is fine.

    Raises:
        Immutable: with the path of the property.
    """
    for one in fixed:
        if one.field:
            wanted, stored = given.get(one.field), _stored(old, one.field)
        else:
            wanted, stored = at_path(accepted, one.path), at_path(old.accepted, one.path)
        if wanted is None or wanted in ({}, [], ()):
            continue
        if stored is None:
            stored = one.default
        if not _same(wanted, stored):
            raise change_refused(one.path)


def _stored(old: AgentPoolSpec, field: str) -> Any:
    if field.startswith("gpu."):
        return getattr(old.gpu or GpuProfile(), field.removeprefix("gpu."))
    return getattr(old, field)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    return one == other


def merge_accepted(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged member by member, everything else is replaced; None keeps."""
    merged = dict(old)
    for name, value in new.items():
        if value is None:
            continue
        before = merged.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = merge_accepted(
                cast("Mapping[str, Any]", value), cast("Mapping[str, Any]", before)
            )
        else:
            merged[name] = value
    return merged


def new_upgrade(given: Mapping[str, Any], old: UpgradeSettings | None) -> UpgradeSettings:
    """The upgrade settings with what is given put over what was there."""
    prefix = "upgrade_settings."
    said = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
    return replace(old or UpgradeSettings(), **{k: v for k, v in said.items() if v is not None})


def without_defaults(
    accepted: Mapping[str, Any], defaults: Iterable[tuple[str, Any]]
) -> dict[str, Any]:
    """What is kept, without values that reads show anyway: clients send back what they read."""
    kept = dict(accepted)
    for path, default in defaults:
        parent, dot, name = path.partition(".")
        if not dot:
            if parent in kept and kept[parent] == default:
                del kept[parent]
        elif isinstance(kept.get(parent), Mapping):
            inner = without_defaults(kept[parent], ((name, default),))
            if inner != kept[parent]:
                kept[parent] = inner
                if not inner:
                    del kept[parent]
    return kept
