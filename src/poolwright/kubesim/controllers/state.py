"""The nodes and pods of one cluster as decisions read them, parsed once per change and indexed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import NoReturn

from poolwright.kubesim.entry import ObjectChange
from poolwright.kubesim.registry import Listener, Registry
from poolwright.model.instant import Instant, Now, wall_from
from poolwright.model.kubernetes import NODES, PODS, Resource
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.placement import pinned_nodes
from poolwright.ports.clock import Clock

NodeListener = Callable[[Node | None, Node | None], None]
PodListener = Callable[[Pod | None, Pod | None], None]

_NONE: Mapping[str, Pod] = {}


def node_of(pod: Pod) -> str:
    """The node that a pod is on, or is bound to get on (DaemonSets); empty for others."""
    if pod.node_name:
        return pod.node_name
    pinned = pinned_nodes(pod)
    return pinned[0] if pinned and len(pinned) == 1 else ""


class Following:
    """A registry as controllers see it: reads, and subscriptions that end together."""

    def __init__(self, registry: Registry) -> None:
        self.get = registry.get
        self.entry = registry.entry
        self.cache = registry.cache
        self.catalog = registry.catalog
        self.list = registry.list
        self.owned_by = registry.owned_by
        self._registry = registry
        self._ends: list[Callable[[], None]] = []
        self._failures: asyncio.Queue[Exception] = asyncio.Queue()

    def subscribe(self, listener: Listener, resources: Iterable[Resource]) -> None:
        """Call ``listener`` for every change of these kinds until `end`."""
        lost = self._failures.put_nowait
        self._ends.append(self._registry.subscribe(listener, resources, lost=lost))

    async def until_lost(self) -> NoReturn:
        """Wait until a bug kept a change from one of the listeners, and raise it: what they keep
        hangs together, so that all start over.
        """
        raise await self._failures.get()

    def end(self) -> None:
        """End every subscription."""
        for end in self._ends:
            end()
        self._ends.clear()


class ClusterState:
    """Indexed nodes and pods; tells listeners (old, new) of each change, in order."""

    def __init__(self, registry: Following, clock: Clock) -> None:
        self._clock = clock
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.ready_at: dict[str, Instant] = {}
        """Since when (world) each ready pod, by uid, is so."""
        self.finished_at: dict[str, Instant] = {}
        """When (world) a pod, by uid, was first seen finished or leaving."""
        self._owned: dict[str, dict[str, Pod]] = {}
        self._orphans: dict[str, dict[str, Pod]] = {}
        self._placed: dict[str, dict[str, Pod]] = {}
        self._node_listeners: list[NodeListener] = []
        self._pod_listeners: list[PodListener] = []
        for entry in registry.list(NODES):
            self.nodes[entry.name] = Node.from_object(entry.seen())
        for entry in registry.list(PODS):
            self._set_pod(None, Pod.from_object(entry.seen()))
        registry.subscribe(self._take, (NODES, PODS))

    def on_node(self, listener: NodeListener) -> None:
        """Tell of every change of a node."""
        self._node_listeners.append(listener)

    def on_pod(self, listener: PodListener) -> None:
        """Tell of every change of a pod."""
        self._pod_listeners.append(listener)

    def owned_by(self, uid: str) -> list[Pod]:
        """The pods that a controller manages, by key."""
        found = self._owned.get(uid, _NONE)
        return [found[key] for key in sorted(found)]

    def orphans(self, namespace: str) -> list[Pod]:
        """The pods of a namespace that no controller manages, by key."""
        found = self._orphans.get(namespace, _NONE)
        return [found[key] for key in sorted(found)]

    def on(self, node: str) -> list[Pod]:
        """The pods on a node or bound to get there, by key."""
        found = self._placed.get(node, _NONE)
        return [found[key] for key in sorted(found)]

    def names_of_placed(self) -> list[str]:
        """The nodes that some pod names."""
        return sorted(name for name in self._placed if name)

    def _take(self, change: ObjectChange) -> None:
        gone = change.type == "DELETED"
        if change.kind.resource == NODES:
            name = change.new.name
            old_node = self.nodes.pop(name, None)
            new_node = None if gone else Node.from_object(change.seen())
            if new_node is not None:
                self.nodes[name] = new_node
            for listen in self._node_listeners:
                listen(old_node, new_node)
            return
        old = self.pods.get(change.new.key)
        new = None if gone else Pod.from_object(change.seen())
        self._set_pod(old, new)
        for tell in self._pod_listeners:
            tell(old, new)

    def _set_pod(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None:
            del self.pods[old.key]
            self._unlink(old)
            if new is None or new.uid != old.uid:
                self.ready_at.pop(old.uid, None)
                self.finished_at.pop(old.uid, None)
        if new is None:
            return
        self.pods[new.key] = new
        owner = new.controller
        index, of = (self._orphans, new.namespace) if owner is None else (self._owned, owner.uid)
        index.setdefault(of, {})[new.key] = new
        self._placed.setdefault(node_of(new), {})[new.key] = new
        if not new.is_ready:
            self.ready_at.pop(new.uid, None)
        elif new.uid not in self.ready_at:
            self.ready_at[new.uid] = _ready_at(new, self._clock.now())
        if (new.is_finished or new.deleting) and new.uid not in self.finished_at:
            self.finished_at[new.uid] = self._clock.now().world

    def _unlink(self, pod: Pod) -> None:
        owner = pod.controller
        managed = (self._orphans, pod.namespace) if owner is None else (self._owned, owner.uid)
        for index, key in (managed, (self._placed, node_of(pod))):
            bucket = index.get(key)
            if bucket is not None:
                bucket.pop(pod.key, None)
                if not bucket:
                    del index[key]


def _ready_at(pod: Pod, now: Now) -> Instant:
    """Since when a pod, seen ready now, is so: as long as its condition says by the wall's clock,
    in whole seconds. Who reads the API counts from there; nobody must find it available before
    its controller does.
    """
    since = wall_from(pod.ready_since)
    passed = timedelta() if since is None else now.wall - since
    return now.world.after(-max(passed, timedelta()))
