"""Who hears of which change: watchers found by what they select, never by asking each.

A change is encoded once for each form and shared by all its watchers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.selector import Selection

if TYPE_CHECKING:
    from poolwright.kubesim.registry import Registry

BACKLOG_MAX = 8192
"""Changes that a watcher may leave unread before its watch is cut: as many as are kept for it to
go on from (`cache.RING_LENGTH`). A real API server cuts one that leaves its buffer of up to 1000
full for a moment (k8s.io/apiserver pkg/storage/cacher/cache_watcher.go).
"""
BACKLOG_BYTES = 32 * 1024 * 1024
"""What the objects of those may come to."""
_FIRST_LOOK = 64
"""A backlog is weighed when it is this long, and whenever it has doubled since."""


class Watcher:
    """One watch: the changes that it has not sent yet."""

    __slots__ = ("_next_look", "_wake", "backlog", "is_closed", "selection")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.backlog: deque[tuple[str, ObjectChange]] = deque()
        self.is_closed = False
        self._next_look = min(_FIRST_LOOK, BACKLOG_MAX)
        self._wake = asyncio.Event()

    def offer(self, change: ObjectChange) -> None:
        """Note a change if it concerns what is selected."""
        type_ = event_type(change, self.selection)
        if type_:
            backlog = self.backlog
            if len(backlog) >= self._next_look and self._is_cut():
                return
            backlog.append((type_, change))
            self._wake.set()

    def take(self, most: int, size: int) -> list[tuple[str, ObjectChange]]:
        """The next changes to send, at least one: so many, but none after those that come to
        ``size`` bytes.
        """
        backlog = self.backlog
        taken: list[tuple[str, ObjectChange]] = []
        while backlog and size > 0 and len(taken) < most:
            noted = backlog.popleft()
            taken.append(noted)
            size -= len(noted[1].new.data)
        if not backlog and self._next_look > _FIRST_LOOK:
            self._next_look = min(_FIRST_LOOK, BACKLOG_MAX)
        return taken

    def _is_cut(self) -> bool:
        """End the watch of who leaves too much unread; the client goes on from the last change
        that it had.
        """
        backlog = self.backlog
        is_full = len(backlog) >= BACKLOG_MAX
        if is_full or sum(len(change.new.data) for _, change in backlog) > BACKLOG_BYTES:
            self._next_look = 0
            backlog.clear()
            self.close()
        elif self._next_look:
            self._next_look = min(2 * len(backlog), BACKLOG_MAX)
        return not self._next_look

    def close(self) -> None:
        """End the watch; what is noted is still sent."""
        self.is_closed = True
        self._wake.set()

    def wake(self) -> None:
        """Let `wait` return."""
        self._wake.set()

    async def wait(self) -> None:
        """Until there is something to send, the end, or `wake`."""
        await self._wake.wait()
        self._wake.clear()


def event_type(change: ObjectChange, selection: Selection) -> str:
    """What a change is to somebody who sees only the selected: an object can come into sight."""
    if selection.is_plain:
        if selection.namespace and change.new.namespace != selection.namespace:
            return ""
        return change.type
    before = selection.selects(change.old)
    after = change.type != "DELETED" and selection.selects(change.new)
    if before:
        return "MODIFIED" if after else "DELETED"
    return "ADDED" if after else ""


class _KindHub:
    """The watchers of one kind, those with an indexed field apart."""

    def __init__(self, kind: ObjectKind) -> None:
        self.kind = kind
        self.broad: dict[int, Watcher] = {}
        self.narrow: dict[tuple[str, str], dict[int, Watcher]] = {}

    def place(self, selection: Selection) -> tuple[str, str] | None:
        """The index key under which a selection is found."""
        for term in selection.fields:
            if not term.negated and (
                term.label in self.kind.indexed or term.label == "metadata.name"
            ):
                return term.label, term.value
        return None

    def dispatch(self, change: ObjectChange) -> None:
        for watcher in tuple(self.broad.values()):
            watcher.offer(change)
        if not self.narrow:
            return
        offered: set[int] = set()
        for key in self._keys(change):
            for number, watcher in tuple(self.narrow.get(key, {}).items()):
                if number not in offered:
                    offered.add(number)
                    watcher.offer(change)

    def close(self) -> None:
        """End every watch of the kind."""
        for watcher in tuple(self.broad.values()):
            watcher.close()
        for bucket in tuple(self.narrow.values()):
            for watcher in tuple(bucket.values()):
                watcher.close()

    def _keys(self, change: ObjectChange) -> Iterator[tuple[str, str]]:
        yield "metadata.name", change.new.name
        for label in self.kind.indexed:
            new = change.new.field(label) or ""
            yield label, new
            if change.old is not None:
                old = change.old.field(label) or ""
                if old != new:
                    yield label, old


class WatchHub:
    """All watches of one cluster."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._hubs: dict[str, _KindHub] = {}
        self._count = 0

    def open(self, kind: ObjectKind, selection: Selection) -> tuple[Watcher, Callable[[], None]]:
        """A watcher that hears every change from now on, and how to end it."""
        hub = self._hubs.get(kind.store_name)
        if hub is None:
            hub = self._hubs[kind.store_name] = _KindHub(kind)
            self._registry.subscribe(hub.dispatch, [kind], lost=lambda _: self._end(hub))
        self._count += 1
        number = self._count
        watcher = Watcher(selection)
        place = hub.place(selection)
        if place is None:
            hub.broad[number] = watcher
        else:
            hub.narrow.setdefault(place, {})[number] = watcher

        def end() -> None:
            if place is None:
                hub.broad.pop(number, None)
                return
            bucket = hub.narrow.get(place)
            if bucket is not None:
                bucket.pop(number, None)
                if not bucket:
                    del hub.narrow[place]

        return watcher, end

    def _end(self, hub: _KindHub) -> None:
        """A bug kept a change from some: all watches of the kind end, and clients go on from the
        last change that they had.
        """
        del self._hubs[hub.kind.store_name]
        hub.close()

    def close(self) -> None:
        """End every watch."""
        for hub in self._hubs.values():
            hub.close()


def select(registry: Registry, kind: ObjectKind, selection: Selection) -> list[Entry]:
    """The entries that a selection means, by key, by the narrowest index."""
    cache = registry.cache(kind)
    for term in selection.fields:
        if term.negated:
            continue
        if term.label == "metadata.name" and (selection.namespace or not kind.resource.namespaced):
            key = f"{selection.namespace}/{term.value}" if selection.namespace else term.value
            entry = cache.get(key)
            return [entry] if entry is not None and selection.selects(entry) else []
        if cache.is_indexed(term.label):
            return [e for e in cache.by_field(term.label, term.value) if selection.selects(e)]
    entries = cache.in_namespace(selection.namespace) if selection.namespace else list(cache.all())
    return entries if selection.is_plain else [e for e in entries if selection.selects(e)]
