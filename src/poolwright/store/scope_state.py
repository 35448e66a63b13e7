"""One scope in memory: its records by kind and name, and the ring of its latest changes."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Change
from poolwright.store.codec import Row, opaque_kind, record_of, retyped

Record = Stored[Any, Any]


class Shelf:
    """The records of one kind, by name."""

    __slots__ = ("kind", "names", "records")

    def __init__(self, kind: Kind[Any, Any]) -> None:
        self.kind = kind
        self.records: dict[str, Record] = {}
        self.names: list[str] = []

    def put(self, record: Record) -> Record | None:
        """Keep a record; the one it replaces."""
        old = self.records.get(record.name)
        if old is None:
            insort(self.names, record.name)
        self.records[record.name] = record
        return old

    def remove(self, name: str) -> Record | None:
        """Forget a record; the one that was there."""
        old = self.records.pop(name, None)
        if old is not None:
            del self.names[bisect_left(self.names, name)]
        return old

    def starting_with(self, prefix: str) -> list[Record]:
        """The records whose name starts with ``prefix``, by name; costs what it returns."""
        names, records = self.names, self.records
        if not prefix:
            return [records[name] for name in names]
        found: list[Record] = []
        for position in range(bisect_left(names, prefix), len(names)):
            name = names[position]
            if not name.startswith(prefix):
                break
            found.append(records[name])
        return found

    def learn(self, kind: Kind[Any, Any]) -> None:
        """Decode the records, now that somebody has said what they are."""
        self.kind = kind
        self.records = {name: retyped(old, kind) for name, old in self.records.items()}


class ScopeState:
    """What is committed in one scope, as far as this process knows.

    The ring holds the latest changes (at least ``ring_size``, at most twice that) and is shared
    by all watchers of the scope: each has only a cursor, so an event costs the same with one
    watcher or a hundred, and a watcher that falls out of the ring has to read the log or expire.
    """

    __slots__ = ("_pulse", "_ring", "_ring_size", "_shelves", "floor", "revision", "scope")

    def __init__(self, scope: str, revision: int, *, ring_size: int) -> None:
        self.scope = scope
        self.revision = revision
        self.floor = revision
        """The ring holds every change after this revision."""
        self._ring: list[Change] = []
        self._ring_size = ring_size
        self._shelves: dict[str, Shelf] = {}
        self._pulse: asyncio.Event | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the scope holds no record."""
        return not any(shelf.names for shelf in self._shelves.values())

    def load(self, kind: Kind[Any, Any], rows: Iterable[Row]) -> None:
        """Fill a shelf from the database, sorted by name."""
        shelf = self._shelves[kind.name] = Shelf(kind)
        shelf.records = {row.name: record_of(self.scope, kind, row) for row in rows}
        shelf.names = list(shelf.records)

    def get(self, kind: Kind[Any, Any], name: str) -> Record | None:
        """One record."""
        shelf = self._shelf(kind)
        return None if shelf is None else shelf.records.get(name)

    def list(self, kind: Kind[Any, Any], prefix: str) -> Sequence[Record]:
        """Records by name."""
        shelf = self._shelf(kind)
        return [] if shelf is None else shelf.starting_with(prefix)

    def publish(self, record: Record, *, deleted: bool) -> Change:
        """Make a committed change visible; the revision must be the next one."""
        assert record.revision == self.revision + 1, "a scope's revisions have no gaps"
        kind = record.kind
        shelf = self._shelves.get(kind.name)
        if shelf is None:
            shelf = self._shelves[kind.name] = Shelf(kind)
        elif shelf.kind != kind:
            shelf = self._shelf(kind)
            assert shelf is not None
        previous = shelf.remove(record.name) if deleted else shelf.put(record)
        self.revision = record.revision
        change = Change(self.scope, record.revision, record, deleted, previous)
        ring = self._ring
        ring.append(change)
        if len(ring) > 2 * self._ring_size:
            del ring[: self._ring_size]
            self.floor = ring[0].revision - 1
        return change

    def replace(self, other: ScopeState) -> None:
        """Take over what was read afresh; watchers that were behind it have to read the log."""
        assert other.revision >= self.revision
        self.revision = self.floor = other.revision
        self._ring = []
        self._shelves = other._shelves
        self.pulse()

    def after(self, revision: int) -> Change | None:
        """The first change after a revision that is not below the floor, if there is one yet."""
        position = revision - self.floor
        return self._ring[position] if position < len(self._ring) else None

    def since(self, revision: int) -> Sequence[Change]:
        """All changes after a revision that is not below the floor."""
        return self._ring[revision - self.floor :]

    async def wait(self) -> None:
        """Wait for the next `pulse`."""
        if self._pulse is None:
            self._pulse = asyncio.Event()
        await self._pulse.wait()

    def pulse(self) -> None:
        """Wake everybody who waits."""
        if self._pulse is not None:
            self._pulse.set()
            self._pulse = None

    def _shelf(self, kind: Kind[Any, Any]) -> Shelf | None:
        shelf = self._shelves.get(kind.name)
        if shelf is not None and shelf.kind is not kind and shelf.kind != kind:
            assert shelf.kind == opaque_kind(kind.name), (
                f"kind {kind.name} has two meanings in {self.scope}"
            )
            shelf.learn(kind)
        return shelf
