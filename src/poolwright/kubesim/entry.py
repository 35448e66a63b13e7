"""One object as the cache keeps it: encoded bytes, with the few values that lookups need."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, TypedDict, cast

import msgspec

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model.kubernetes import NODES, PODS
from poolwright.model.object_meta import UnownedMetadata
from poolwright.model.record import Stored
from poolwright.model.words import shared

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
decode = _decoder.decode
encode = _encoder.encode


class _Plain(TypedDict, total=False):
    kind: Any
    apiVersion: Any
    metadata: UnownedMetadata
    spec: Any
    status: Any


_decode_plain = msgspec.json.Decoder(_Plain).decode

_LINE_KEPT_MAX = 64 * 1024
"""Longer watch lines are made for each watcher: that is little beside sending them, and they
would be most of what is kept.
"""
_NO_LABELS: Mapping[str, str] = {}


def pack(kind: ObjectKind, body: Mapping[str, Any]) -> bytes:
    """An object as stored: kind, apiVersion, metadata first, without its resourceVersion."""
    metadata = dict(body["metadata"])
    metadata.pop("resourceVersion", None)
    ordered: dict[str, Any] = {
        "kind": kind.resource.kind,
        "apiVersion": kind.resource.api_version,
        "metadata": metadata,
    }
    ordered.update((k, v) for k, v in body.items() if k not in ordered)
    return encode(ordered)


def says_the_same(one: bytes, other: bytes) -> bool:
    """Whether two packed objects are equal, in whatever order their members stand."""
    return one == other or (len(one) == len(other) and decode(one) == decode(other))


def read(kind: ObjectKind, data: bytes) -> dict[str, Any]:
    """A stored object for who only reads it. Half of a node is managedFields, which nobody but
    a write looks at: of nodes and pods they are left out.
    """
    is_plain = kind.resource is NODES or kind.resource is PODS
    return cast("dict[str, Any]", _decode_plain(data) if is_plain else decode(data))


def _fields(kind: ObjectKind, body: Mapping[str, Any]) -> tuple[str, ...]:
    """What field selectors ask for; thousands of objects share the words."""
    return tuple(shared(read(body)) for read in kind.fields.values())


class Entry:
    """An object at one revision. Treat as frozen."""

    __slots__ = (
        "data",
        "fields",
        "finalizers",
        "is_leaving",
        "key",
        "kind",
        "labels",
        "name",
        "namespace",
        "owners",
        "revision",
        "uid",
    )

    def __init__(
        self, kind: ObjectKind, stored: Stored[bytes, None], body: dict[str, Any] | None = None
    ) -> None:
        """``body`` is the record decoded, where somebody needs it too."""
        self.kind = kind
        self.key = stored.name
        namespace, _, name = stored.name.rpartition("/")
        self.namespace = shared(namespace)
        self.name = name
        self.uid = stored.uid
        self.revision = stored.revision
        self.data = stored.spec
        if body is None:
            body = read(kind, stored.spec)
        if kind.revive is not None:
            kind.revive(body)
            self.data = pack(kind, body)
        metadata = body["metadata"]
        self.is_leaving = "deletionTimestamp" in metadata
        self.finalizers: tuple[str, ...] = tuple(map(shared, metadata.get("finalizers") or ()))
        self.labels: Mapping[str, str] = metadata.get("labels") or _NO_LABELS
        self.owners: tuple[str, ...] = tuple(
            owner.get("uid", "") for owner in metadata.get("ownerReferences") or ()
        )
        self.fields: tuple[str, ...] = _fields(kind, body)

    def wire(self) -> bytes:
        """The JSON that clients get, with its resourceVersion."""
        cut = len(self.kind.prefix)
        return b'%b"resourceVersion":"%d",%b' % (self.data[:cut], self.revision, self.data[cut:])

    def of(self, kind: ObjectKind) -> Entry:
        """The same state as an object of a redefined kind."""
        body = decode(self.data)
        if kind.revive is not None:
            kind.revive(body)
        made = self.at(self.revision)
        made.kind = kind
        made.data = pack(kind, body)
        made.fields = _fields(kind, body)
        return made

    def at(self, revision: int) -> Entry:
        """The same state stamped with another revision."""
        made = object.__new__(Entry)
        for name in Entry.__slots__:
            setattr(made, name, getattr(self, name))
        made.revision = revision
        return made

    def object(self) -> dict[str, Any]:
        """A fresh decoded copy, with its resourceVersion; the caller may change it."""
        body: dict[str, Any] = decode(self.data)
        body["metadata"]["resourceVersion"] = str(self.revision)
        return body

    def seen(self) -> dict[str, Any]:
        """As `object`, but as `read` decodes it."""
        body = read(self.kind, self.data)
        body["metadata"]["resourceVersion"] = str(self.revision)
        return body

    def field(self, label: str) -> str | None:
        """The value behind a field selector, or None if the kind does not support it."""
        if label == "metadata.name":
            return self.name
        if label == "metadata.namespace":
            return self.namespace
        for known, value in zip(self.kind.fields, self.fields, strict=True):
            if known == label:
                return value
        return None


class ObjectChange:
    """One change of one object, in revision order; the objects are decoded on demand.

    ``type`` is ADDED, MODIFIED or DELETED. For DELETED, ``new`` is the last state stamped with the
    revision of the deletion, and ``old`` the state before it.
    """

    __slots__ = ("_encoded", "_keeper", "_seen", "kind", "new", "old", "revision", "type")

    def __init__(self, type_: str, kind: ObjectKind, old: Entry | None, new: Entry) -> None:
        self.type = type_
        self.kind = kind
        self.old = old
        self.new = new
        self.revision = new.revision
        self._encoded: dict[tuple[str, str], bytes] = {}
        self._keeper: LinesKept | None = None
        self._seen: Mapping[str, Any] | None = None

    def share(self, body: Mapping[str, Any] | None) -> None:
        """Have ``new`` decoded at hand while listeners are told; None ends that."""
        self._seen = body

    def seen(self) -> Mapping[str, Any]:
        """``new`` as `Entry.seen` has it; others read it too, so nobody changes it."""
        return self.new.seen() if self._seen is None else self._seen

    def encoded(self, type_: str, form: str, make: Any) -> bytes:
        """The watch line of this change in a form, made once and shared by all watchers."""
        key = (type_, form)
        line = self._encoded.get(key)
        if line is None:
            line = make(self, type_)
            if len(line) > _LINE_KEPT_MAX:
                return line
            if self._keeper is not None and not self._encoded:
                self._keeper.add(self)
            self._encoded[key] = line
        return line

    def forget_lines(self, keeper: LinesKept | None = None) -> None:
        """Give the memory of the watch lines back. Who is late has them made again; ``keeper``
        says how long these are kept.
        """
        self._encoded = {}
        self._keeper = keeper or self._keeper


class LinesKept:
    """The changes that were made into watch lines last: only so many keep theirs."""

    __slots__ = ("_changes", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._changes: deque[ObjectChange] = deque()

    def add(self, change: ObjectChange) -> None:
        """Keep the lines of one more change, and forget those of the one kept longest."""
        self._changes.append(change)
        if len(self._changes) > self._most:
            self._changes.popleft().forget_lines()
