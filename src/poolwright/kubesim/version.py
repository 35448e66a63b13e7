"""The API versions under which a kind is served: most have one, events and autoscalers two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from poolwright.kubesim import structural
from poolwright.kubesim.autoscaling_v1 import AUTOSCALERS_V1, from_v1, to_v1
from poolwright.kubesim.conform import conforms
from poolwright.kubesim.entry import Entry, encode
from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.kinds.autoscaling import HORIZONTAL_POD_AUTOSCALER
from poolwright.kubesim.kinds.core import EVENT
from poolwright.kubesim.kinds.kind import Declared, ObjectKind
from poolwright.kubesim.kinds.node import LEASE
from poolwright.kubesim.schema import Pruner, Shape, shape_of
from poolwright.model.instant import wall_text_micro
from poolwright.model.kubernetes import RENDERED_ANNOTATION, Resource

Convert = Callable[[dict[str, Any]], dict[str, Any]]

EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event")

_TO_EVENTS_V1 = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def _renamed(body: Mapping[str, Any], pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    names = dict(pairs)
    return {names.get(name, name): value for name, value in body.items()}


def _event_to_v1(body: dict[str, Any]) -> dict[str, Any]:
    shown = _renamed(body, _TO_EVENTS_V1)
    shown["apiVersion"] = EVENTS_V1.api_version
    return shown


def _event_from_v1(body: dict[str, Any]) -> dict[str, Any]:
    return _renamed(body, tuple((new, old) for old, new in _TO_EVENTS_V1))


def _same(body: dict[str, Any]) -> dict[str, Any]:
    return body


@dataclass(frozen=True, slots=True)
class View:
    """A kind under one of its API versions; ``declared`` is what a definition says of this one."""

    kind: ObjectKind
    resource: Resource
    to_wire: Convert = _same
    from_wire: Convert = _same
    declared: Declared | None = None

    @property
    def shape(self) -> Shape:
        """The type of its objects."""
        return self.declared.shape if self.declared else shape_of(self.resource)

    def prune(self, body: dict[str, Any], data: bytes = b"") -> list[str]:
        """Drop what the schema does not know; the paths of what was dropped.

        ``data`` is the body's JSON, where it is at hand: most fits as it is.

        Raises:
            StatusError: a value has the wrong type (400).
        """
        pruner = Pruner(self.resource)
        if self.declared is None:
            if data and conforms(data, self.shape):
                return []
            pruner.walk(body, self.shape)
            return pruner.unknown
        pruner.walk_metadata(body, self.shape)
        structural.prune(body, self.declared.schema, "", pruner.unknown, root=True)
        return pruner.unknown

    @property
    def is_stored(self) -> bool:
        """Whether objects look as they are stored."""
        return self.to_wire is _same

    def is_kept(self, entry: Entry) -> bool:
        """Whether clients see an object just as it is kept."""
        return self.is_stored and (self.kind is not LEASE or RENDERED_MARK not in entry.data)

    def shown(self, body: dict[str, Any], now: datetime) -> dict[str, Any]:
        """A decoded object as clients see it."""
        if self.kind is LEASE:
            _render(body, now)
        return self.to_wire(body)

    def wire(self, entry: Entry, now: datetime) -> bytes:
        """An object as clients see it."""
        if self.is_kept(entry):
            return entry.wire()
        return encode(self.shown(entry.object(), now))

    def item(self, entry: Entry, now: datetime) -> bytes:
        """An object inside a list: without its kind and apiVersion, as real lists have them."""
        if self.is_kept(entry):
            cut = len(self.kind.prefix)
            return b'{"metadata":{"resourceVersion":"%d",%b' % (entry.revision, entry.data[cut:])
        body = self.shown(entry.object(), now)
        return encode({n: v for n, v in body.items() if n not in {"kind", "apiVersion"}})


RENDERED_MARK = RENDERED_ANNOTATION.encode()
RENEW_SECONDS = 10  # kubelet: a fourth of nodeLeaseDurationSeconds (40)


def _render(body: dict[str, Any], now: datetime) -> None:
    """Heartbeats are not writes: the renewTime of a rendered lease is the last beat before now."""
    if RENDERED_ANNOTATION in (body["metadata"].get("annotations") or {}):
        beat = now.replace(microsecond=0, second=now.second - now.second % RENEW_SECONDS)
        body.setdefault("spec", {})["renewTime"] = wall_text_micro(beat)


VIEWS: dict[tuple[str, str, str], View] = {
    (kind.resource.group, kind.resource.version, kind.resource.plural): View(kind, kind.resource)
    for kind in KINDS
}
VIEWS["events.k8s.io", "v1", "events"] = View(EVENT, EVENTS_V1, _event_to_v1, _event_from_v1)
VIEWS["autoscaling", "v1", "horizontalpodautoscalers"] = View(
    HORIZONTAL_POD_AUTOSCALER, AUTOSCALERS_V1, to_v1, from_v1
)
