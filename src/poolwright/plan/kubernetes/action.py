"""What the embedded cluster's controllers can want, and small shared pieces of their plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from poolwright.model.instant import Instant, wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import Resource


@dataclass(frozen=True, slots=True)
class Target:
    """One object in time: writes to it are refused once another has its name."""

    resource: Resource
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, resource: Resource, wire: Json) -> Target:
        """The target that an object is."""
        meta = wire["metadata"]
        return cls(resource, meta.get("namespace", ""), meta["name"], meta.get("uid", ""))


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Tell users what happened to an object. ``component`` is who says it."""

    target: Target
    reason: str
    message: str
    component: str
    type: str = "Normal"


@dataclass(frozen=True, slots=True)
class CreateObject:
    """Create; an existing name is fine."""

    resource: Resource
    body: Json
    because: str
    told: RecordEvent | None = None
    """Recorded once it is there; ``{name}`` in its message becomes the name that it got."""


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete; a missing object is fine."""

    target: Target
    because: str
    grace_seconds: int | None = None
    propagation: str = "Background"


@dataclass(frozen=True, slots=True)
class PatchObject:
    """Merge into an object (RFC 7386); a missing object is fine.

    With ``subresource="status"`` only the status is taken. ``revision`` guards what was computed
    from a list inside the object.
    """

    target: Target
    patch: Json
    because: str
    subresource: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class SetCondition:
    """Set one condition of an object's status; the transition time moves only with the status."""

    target: Target
    type: str
    status: str
    reason: str
    message: str
    because: str


@dataclass(frozen=True, slots=True)
class SetController:
    """Adopt an object that no controller has (``reference``), or let it go (None)."""

    target: Target
    owner_uid: str
    reference: Json | None
    because: str


@dataclass(frozen=True, slots=True)
class BindPod:
    """Assign a pending pod to a node."""

    target: Target
    node: str
    because: str


Action = (
    CreateObject | DeleteObject | PatchObject | SetCondition | SetController | BindPod | RecordEvent
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again if nothing happens before."""

    actions: tuple[Action, ...] = ()
    wake_at: Instant | None = None


def earliest(*instants: Instant | None) -> Instant | None:
    """The first of the instants that are there."""
    return min((i for i in instants if i is not None), default=None)


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386; neither argument is changed."""
    if not isinstance(patch, Mapping):
        return patch
    base: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}  # pyright: ignore
    for name, value in patch.items():  # pyright: ignore
        if value is None:
            base.pop(name, None)  # pyright: ignore
        else:
            base[name] = merged(base.get(name), value)  # pyright: ignore
    return base


def patch_status(
    target: Target, wire: Json, status: Json, because: str, *, guarded: bool = False
) -> tuple[Action, ...]:
    """Write the members of a status that differ, if any does.

    ``guarded``: only if nobody else has written the object since ``wire`` was read.
    """
    old = child(wire, "status")
    patch = {
        name: value
        for name, value in status.items()
        if (name in old or value is not None) and merged(old.get(name), value) != old.get(name)
    }
    revision = wire["metadata"].get("resourceVersion", "") if guarded else ""
    found = PatchObject(target, {"status": patch}, because, "status", revision)
    return (found,) if patch else ()


def with_condition(
    conditions: Sequence[Json],
    type_: str,
    status: str,
    reason: str,
    message: str,
    wall: datetime,
    *,
    clocks: tuple[str, ...] = (),
) -> list[Json]:
    """The conditions with one of them set; unchanged ones keep their times.

    ``clocks`` are the further time members that move with any change (``lastUpdateTime``).
    """
    new: list[Json] = []
    found = False
    for old in conditions:
        if old.get("type") != type_:
            new.append(old)
            continue
        found = True
        same = (old.get("status"), old.get("reason", ""), old.get("message", ""))
        if same == (status, reason, message):
            new.append(old)
            continue
        moved = {} if old.get("status") == status else {"lastTransitionTime": wall_text(wall)}
        times = dict.fromkeys(clocks, wall_text(wall))
        said = {"status": status, "reason": reason, "message": message}
        new.append({**old, **said, **times, **moved})
    if not found:
        times = dict.fromkeys((*clocks, "lastTransitionTime"), wall_text(wall))
        new.append({"type": type_, "status": status, **times, "reason": reason, "message": message})
    return new


def condition(wire: Json, type_: str) -> Json:
    """One condition of an object's status; empty if it has none of that type."""
    for found in children(wire, "status", "conditions"):
        if found.get("type") == type_:
            return found
    return {}
