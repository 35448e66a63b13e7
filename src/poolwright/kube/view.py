"""``ports.ClusterView``: follows nodes, pods and disruption budgets by list and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Generic, Protocol, TypeVar, cast

from poolwright.kube.changes import ChangeFeed
from poolwright.model.errors import Expired, PoolwrightError
from poolwright.model.kubernetes import NODES, POD_DISRUPTION_BUDGETS, PODS, Resource
from poolwright.model.node import Node
from poolwright.model.pod import Budget, Pod
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Kube, Object, ViewChange, WatchEvent
from poolwright.reconcile.loop import supervise

Key = tuple[str, str]
"""Namespace and name."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Owns = Callable[[Node], bool]
"""Whether a node is one of ours; any other belongs to no pool, whatever its labels say."""

T = TypeVar("T")
NamedT = TypeVar("NamedT", bound=_Named)


class _Shelves(Generic[NamedT]):
    """Objects by some other key. Each shelf is handed out in order, sorted once per change."""

    def __init__(self) -> None:
        self._shelves: dict[str, dict[Key, NamedT]] = {}
        self._sorted: dict[str, tuple[NamedT, ...]] = {}

    def put(self, shelf: str, key: Key, item: NamedT) -> None:
        self._shelves.setdefault(shelf, {})[key] = item
        self._sorted.pop(shelf, None)

    def remove(self, shelf: str, key: Key) -> None:
        items = self._shelves.get(shelf)
        if items is None or items.pop(key, None) is None:
            return
        self._sorted.pop(shelf, None)
        if not items:
            del self._shelves[shelf]

    def names(self) -> Sequence[str]:
        return list(self._shelves)

    def get(self, shelf: str, key: Key) -> NamedT | None:
        return self._shelves.get(shelf, {}).get(key)

    def all(self, shelf: str) -> tuple[NamedT, ...]:
        known = self._sorted.get(shelf)
        if known is None:
            items = self._shelves.get(shelf, {})
            known = tuple(items[key] for key in sorted(items))
            if items:
                self._sorted[shelf] = known
        return known


class InformerView:
    """Follows a cluster while `run` runs; keeps its last picture when the server is away."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        rng: Random,
        *,
        name: str = "",
        owns: Owns | None = None,
        raise_bugs: bool = False,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._rng = rng
        self._name = name
        self._owns = owns
        self._raise_bugs = raise_bugs
        self._feed = ChangeFeed()
        self._woken: tuple[asyncio.Event, ...] = ()
        self._amends_listeners: dict[int, Callable[[str], None]] = {}
        self._amends_listened = 0
        self._nodes: dict[str, Node] = {}
        self._pods: dict[Key, Pod] = {}
        self._all_nodes: _Shelves[Node] = _Shelves()
        self._by_pool: _Shelves[Node] = _Shelves()
        self._by_node: _Shelves[Pod] = _Shelves()
        self._pending: _Shelves[Pod] = _Shelves()
        self._budgets: _Shelves[Budget] = _Shelves()
        self._reflectors: tuple[_Reflector[Any], ...] = (
            self._reflector(NODES, self._read_node, self._put_node),
            self._reflector(PODS, Pod.from_object, self._put_pod),
            self._reflector(POD_DISRUPTION_BUDGETS, Budget.from_object, self._put_budget),
        )

    def _reflector(
        self,
        resource: Resource,
        read: Callable[[Object], T],
        put: Callable[[Key, T | None], None],
    ) -> _Reflector[T]:
        return _Reflector(self._kube, self._clock, resource, read, put, self._tell_all)

    async def run(self) -> None:
        """Follow until cancelled."""
        self._woken = tuple(asyncio.Event() for _ in self._reflectors)
        async with asyncio.TaskGroup() as group:
            for reflector, woken in zip(self._reflectors, self._woken, strict=True):
                group.create_task(
                    supervise(
                        f"follow {reflector.plural} {self._name}".strip(),
                        reflector.follow,
                        self._clock,
                        self._rng,
                        raise_bugs=self._raise_bugs,
                        woken=woken,
                    )
                )

    def wake(self) -> None:
        """Let what waits to try again try now."""
        for woken in self._woken:
            woken.set()

    @property
    def silent_for(self) -> timedelta | None:
        """For how long no watch has brought anything; None while one of them is broken."""
        heard = [reflector.heard_at for reflector in self._reflectors]
        known = [at for at in heard if at is not None]
        if len(known) < len(heard):
            return None
        return timedelta(seconds=self._clock.monotonic() - max(known))

    @property
    def is_synced(self) -> bool:
        """Whether the first full list of every resource has arrived."""
        return all(reflector.revision for reflector in self._reflectors)

    def node(self, name: str) -> Node | None:
        """One node."""
        return self._nodes.get(name) if self.is_synced else None

    def nodes(self, pool: str | None = None) -> Sequence[Node]:
        """All nodes, or those of one pool, by name."""
        if not self.is_synced:
            return ()
        return self._all_nodes.all("") if pool is None else self._by_pool.all(pool)

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Pods bound to a node, by namespace and name."""
        return self._by_node.all(node) if self.is_synced else ()

    def pending_pods(self) -> Sequence[Pod]:
        """Pods bound to no node and not finished."""
        return self._pending.all("") if self.is_synced else ()

    def budgets(self, namespace: str) -> Sequence[Budget]:
        """Disruption budgets of a namespace."""
        return self._budgets.all(namespace) if self.is_synced else ()

    def changes(self) -> AsyncIterator[ViewChange]:
        """Changes from this call on, coalesced per pool."""
        return self._feed.follow()

    def on_amends(self, listen: Callable[[str], None]) -> Callable[[], None]:
        """Tell of every node whose capacity others wrote into, now and when it changes."""
        self._amends_listened += 1
        number = self._amends_listened
        self._amends_listeners[number] = listen
        for node in list(self._nodes.values()):
            if node.amends:
                listen(node.name)

        def end() -> None:
            self._amends_listeners.pop(number, None)

        return end

    def _read_node(self, wire: Object) -> Node:
        node = Node.from_object(wire)
        if self._owns is None or self._owns(node):
            return node
        return replace(node, is_foreign=True)

    def _put_node(self, key: Key, new: Node | None) -> None:
        name = key[1]
        old = self._nodes.pop(name, None)
        if old is not None and (new is None or new.pool != old.pool):
            self._by_pool.remove(old.pool, key)
        if new is None:
            self._all_nodes.remove("", key)
        else:
            self._nodes[name] = new
            self._all_nodes.put("", key, new)
            self._by_pool.put(new.pool, key, new)
        # A node's heartbeat moves only its revision: nothing to decide anew.
        if old is None or new is None or replace(old, revision=new.revision) != new:
            for item in (old, new):
                if item is not None:
                    self._tell(item.pool)
            if new is not None and self._amends_listeners and new.amends:
                for listen in tuple(self._amends_listeners.values()):
                    listen(name)

    def _put_pod(self, key: Key, new: Pod | None) -> None:
        old = self._pods.pop(key, None)
        if old is not None:
            if new is None or new.node_name != old.node_name:
                self._by_node.remove(old.node_name, key)
            self._pending.remove("", key)
        if new is not None:
            self._pods[key] = new
            if new.node_name:
                self._by_node.put(new.node_name, key, new)
            elif not new.is_finished:
                self._pending.put("", key, new)
        for item in (old, new):
            if item is not None:
                node = self._nodes.get(item.node_name)
                self._tell(node.pool if node is not None else "")

    def _put_budget(self, key: Key, new: Budget | None) -> None:
        old = self._budgets.get(key[0], key)
        if new is None:
            self._budgets.remove(key[0], key)
        else:
            self._budgets.put(key[0], key, new)
        # A drain anywhere may have waited for this one.
        is_freed = old is not None and old.disruptions_allowed <= 0
        if is_freed and (new is None or new.disruptions_allowed > 0):
            self._tell_all()
        else:
            self._tell("")

    def _tell(self, pool: str) -> None:
        self._feed.publish(pool)

    def _tell_all(self) -> None:
        """After a list: answers that were empty until now are there."""
        for pool in ("", *self._by_pool.names()):
            self._feed.publish(pool)


class _Reflector(Generic[T]):
    """Keeps up with one resource: a list, then watches from its revision on."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        resource: Resource,
        read: Callable[[Object], T],
        put: Callable[[Key, T | None], None],
        listed: Callable[[], None],
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._resource = resource
        self._read = read
        self._put = put
        self._listed = listed
        self._known: dict[Key, None] = {}
        self._is_listed = False
        self.revision = ""
        self.heard_at: float | None = None
        """When the server last told us something; None while it is not listened to."""

    @property
    def plural(self) -> str:
        """What is followed."""
        return self._resource.plural

    async def follow(self) -> None:
        """List if what is known is not current, then watch, watch by watch. Ends when the server
        should rest before it is asked again: after an error, or a watch that told nothing.
        """
        try:
            await self._follow()
        except PoolwrightError:
            self.heard_at = None
            raise

    async def _follow(self) -> None:
        if not self._is_listed:
            await self._list()
        while True:
            began_at = self.revision
            try:
                async with aclosing(self._watch()) as events:
                    async for event in events:
                        self._apply(event)
            except Expired:
                self._is_listed = False
                return
            if self.revision == began_at:
                return

    def _watch(self) -> Any:
        return self._kube.watch(self._resource, after=self.revision)

    async def _list(self) -> None:
        listed = await self._kube.list(self._resource)
        gone, self._known = self._known, {}
        for wire in listed.items:
            key = _key(wire)
            self._known[key] = None
            gone.pop(key, None)
            self._put(key, self._read(wire))
        for key in gone:
            self._put(key, None)
        self.revision, self._is_listed = listed.revision, True
        self.heard_at = self._clock.monotonic()
        self._listed()

    def _apply(self, event: WatchEvent) -> None:
        self.heard_at = self._clock.monotonic()
        meta = cast("dict[str, Any]", event.object["metadata"])
        key = _key(event.object)
        if event.type == "DELETED":
            self._known.pop(key, None)
            self._put(key, None)
        elif event.type != "BOOKMARK":
            self._known[key] = None
            self._put(key, self._read(event.object))
        self.revision = meta.get("resourceVersion") or self.revision


def _key(wire: Object) -> Key:
    meta = wire["metadata"]
    return meta.get("namespace", ""), meta.get("name", "")
