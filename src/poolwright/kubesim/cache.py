"""The objects of one kind in memory, with their indexes and the ring of recent changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from poolwright.kubesim.entry import Entry, LinesKept, ObjectChange
from poolwright.kubesim.kinds.kind import ObjectKind

RING_LENGTH = 8192
"""Changes kept per kind for watches that resume; older resourceVersions answer 410."""
RING_BYTES = 64 * 1024 * 1024
"""What the objects of those come to at most, of which the last one is kept however long."""
_LINES_KEPT = 256
"""Changes whose watch lines are kept: watchers that keep up have written theirs by then. Of older
ones so many again, for those that are late together.
"""

_Bucket = dict[str, Entry]


class ObjectCache:
    """All objects of one kind. Reads cost what they return."""

    def __init__(self, kind: ObjectKind, floor: int) -> None:
        self.kind = kind
        self.floor = floor
        """A watch from a resourceVersion below this one has missed changes."""
        self.ring: deque[ObjectChange] = deque()
        self._ring_size = 0
        self._lines = LinesKept(_LINES_KEPT)
        self._entries: _Bucket = {}
        self._keys: list[str] | None = None
        self._namespaces: dict[str, _Bucket] = {}
        self._owners: dict[str, _Bucket] = {}
        self._positions = {
            label: position for position, label in enumerate(kind.fields) if label in kind.indexed
        }
        self._fields: dict[str, dict[str, _Bucket]] = {label: {} for label in kind.indexed}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The object of that ``namespace/name`` (or name)."""
        return self._entries.get(key)

    def all(self) -> Iterator[Entry]:
        """Every object by key."""
        if self._keys is None:
            self._keys = sorted(self._entries)
        entries = self._entries
        return iter([entries[key] for key in self._keys])

    def in_namespace(self, namespace: str) -> list[Entry]:
        """The objects of a namespace by name."""
        return _ordered(self._namespaces.get(namespace))

    def owned_by(self, uid: str) -> list[Entry]:
        """The objects that name this uid among their owners, by key."""
        return _ordered(self._owners.get(uid))

    def by_field(self, label: str, value: str) -> list[Entry]:
        """The objects whose indexed field has this value, by key."""
        return _ordered(self._fields[label].get(value))

    def is_indexed(self, label: str) -> bool:
        """Whether ``by_field`` knows the label."""
        return label in self._fields

    def load(self, entries: Iterable[Entry]) -> None:
        """Take the objects of a start."""
        for entry in entries:
            self._insert(entry)

    def apply(self, entry: Entry, *, deleted: bool) -> ObjectChange | None:
        """Take one committed record; None if it says nothing new."""
        old = self._entries.get(entry.key)
        if deleted:
            if old is None:
                return None
            self._remove(old)
            change = ObjectChange("DELETED", self.kind, old, entry)
        else:
            if old is not None:
                self._remove(old)
            self._insert(entry)
            change = ObjectChange("MODIFIED" if old else "ADDED", self.kind, old, entry)
        self._note(change)
        if len(self.ring) > _LINES_KEPT:
            self.ring[-_LINES_KEPT - 1].forget_lines(self._lines)
        return change

    def go_on_from(self, former: ObjectCache) -> None:
        """Keep the changes that another cache of the kind kept."""
        self.ring, self._ring_size = former.ring, former._ring_size

    def _note(self, change: ObjectChange) -> None:
        ring = self.ring
        ring.append(change)
        self._ring_size += len(change.new.data)
        while len(ring) > RING_LENGTH or (self._ring_size > RING_BYTES and len(ring) > 1):
            oldest = ring.popleft()
            self._ring_size -= len(oldest.new.data)
            self.floor = oldest.revision

    def changes_after(self, revision: int) -> list[ObjectChange] | None:
        """Changes above a revision in order; None if some of them are no longer known."""
        if revision < self.floor:
            return None
        found: list[ObjectChange] = []
        for change in reversed(self.ring):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def _buckets(self, entry: Entry) -> Iterator[tuple[dict[str, _Bucket], str]]:
        if entry.namespace:
            yield self._namespaces, entry.namespace
        for uid in entry.owners:
            yield self._owners, uid
        for label, position in self._positions.items():
            yield self._fields[label], entry.fields[position]

    def _insert(self, entry: Entry) -> None:
        if entry.key not in self._entries:
            self._keys = None
        self._entries[entry.key] = entry
        for index, value in self._buckets(entry):
            index.setdefault(value, {})[entry.key] = entry

    def _remove(self, entry: Entry) -> None:
        for index, value in self._buckets(entry):
            bucket = index.get(value)
            if bucket is not None:
                bucket.pop(entry.key, None)
                if not bucket:
                    del index[value]
        del self._entries[entry.key]
        self._keys = None


def _ordered(bucket: _Bucket | None) -> list[Entry]:
    return [bucket[key] for key in sorted(bucket)] if bucket else []
