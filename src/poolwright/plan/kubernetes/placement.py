"""What is where: per node the room that is left, per kind of pod the nodes that could take it.

Both are kept up to date change by change. Pods that ask for the same (a *shape*) share one list of
candidate nodes, ordered by score; after a change only the nodes that changed are judged again, and
only for shapes that are asked about. So a pod costs O(log nodes), not O(nodes).
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import TaintEffect
from poolwright.plan.fit import HostPort, Misfit, matches_any, refusal, shortage

SHAPES_MAX = 128
"""Shapes whose candidates are kept; the one asked about longest ago goes first."""

# What a pod without requests counts as when nodes are compared (scheduler/util/pod_resources.go)
_UNASKED = {"cpu": 100, "memory": 200 * 2**20}


@dataclass(slots=True)
class NodeRoom:
    """A node with what its pods use. ``node`` is None while only pods have named it."""

    name: str
    node: Node | None = None
    used: dict[str, int] = field(default_factory=dict[str, int])
    load: dict[str, int] = field(default_factory=dict[str, int])
    ports: Counter[HostPort] = field(default_factory=Counter[HostPort])
    groups: Counter[str] = field(default_factory=Counter[str])
    version: int = 0


@dataclass(slots=True)
class _Shape:
    pod: Pod
    seen: int = 0
    heap: list[tuple[float, str, int]] = field(default_factory=list[tuple[float, str, int]])
    verdicts: dict[str, Misfit | None] = field(default_factory=dict[str, Misfit | None])
    reasons: Counter[Misfit] = field(default_factory=Counter[Misfit])
    feasible: int = 0


def spread_group(pod: Pod) -> str:
    """Pods of one group rather share no node: those of a ReplicaSet (its uid); empty for others.

    Source: pod topology spread's system defaults; Jobs and DaemonSets have none there either.
    """
    owner = pod.controller
    return owner.uid if owner is not None and owner.kind == "ReplicaSet" else ""


def shape_of(pod: Pod) -> Hashable:
    """Pods of one shape fit the same nodes."""
    return (
        tuple(pod.requests.items()),
        tuple(sorted(pod.node_selector.items())),
        pod.node_terms,
        pod.preferred_terms,
        pod.tolerations,
        pod.host_ports,
        spread_group(pod),
    )


def pinned_nodes(pod: Pod) -> tuple[str, ...] | None:
    """The nodes that the required affinity names, where every term names some (DaemonSets)."""
    if not pod.node_terms:
        return None
    names: list[str] = []
    for term in pod.node_terms:
        of_term = [r.values for r in term if r.on_field and r.operator == "In"]
        if not of_term:
            return None
        names.extend(of_term[0])
    return tuple(dict.fromkeys(names))


def score(pod: Pod, room: NodeRoom) -> float:
    """How well a node suits a pod that fits it; higher is better.

    Least allocated and balanced allocation of cpu and memory, preferred node affinity (weight 2),
    spread over nodes (2) and tolerated preferences of taints (3), each 0 to 100.

    Source: k8s.io/kubernetes v1.35 pkg/scheduler/apis/config/v1/default_plugins.go (weights).
    Ours: the last three are scaled by the pod, not by the other nodes, so that scores can be kept.
    """
    node = room.node
    assert node is not None
    shares: list[float] = []
    for name, unasked in _UNASKED.items():
        capacity = node.allocatable.get(name, 0)
        wanted = pod.requests.get(name) or unasked
        shares.append(min(1.0, (room.load.get(name, 0) + wanted) / capacity) if capacity else 1.0)
    cpu, memory = shares
    total = 100.0 * (1.0 - (cpu + memory) / 2) + 100.0 * (1.0 - abs(cpu - memory) / 2)
    if pod.preferred_terms:
        weights = sum(weight for weight, _ in pod.preferred_terms)
        met = sum(w for w, term in pod.preferred_terms if matches_any((term,), node))
        total += 200.0 * met / weights if weights else 0.0
    group = spread_group(pod)
    if group:
        total += 200.0 / (1 + room.groups[group])
    disliked = sum(
        taint.effect is TaintEffect.PREFER_NO_SCHEDULE
        and not any(t.tolerates(taint) for t in pod.tolerations)
        for taint in node.taints
    )
    return total + 300.0 / (1 + disliked)


class Placement:
    """The rooms of all nodes and the candidates of recent shapes."""

    def __init__(self, *, taint_values: bool = False) -> None:
        self._values = taint_values
        self._rooms: dict[str, NodeRoom] = {}
        self._nodes = 0
        self._pods: dict[str, tuple[str, Pod]] = {}
        self._shapes: OrderedDict[Hashable, _Shape] = OrderedDict()
        self._log: list[str] = []
        self._log_start = 0

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return self._nodes

    def set_node(self, node: Node) -> None:
        """Take a node, or its new state."""
        room = self._room(node.name)
        if room.node is None:
            self._nodes += 1
        room.node = node
        self._touch(room)

    def remove_node(self, name: str) -> None:
        """Forget a node; pods that are still on it stay accounted for."""
        room = self._rooms.get(name)
        if room is None or room.node is None:
            return
        room.node = None
        self._nodes -= 1
        self._touch(room)
        if not room.used:
            del self._rooms[name]

    def place(self, pod: Pod, node: str) -> bool:
        """Count a pod on a node; whether that freed something elsewhere."""
        old = self._pods.get(pod.key)
        if old is not None and old[0] == node and old[1].requests == pod.requests:
            self._pods[pod.key] = (node, pod)
            return False
        freed = self.take_off(pod.key) is not None
        self._pods[pod.key] = (node, pod)
        room = self._room(node)
        _count(room, pod, 1)
        self._touch(room)
        return freed

    def take_off(self, key: str) -> str | None:
        """Stop counting a pod; the node it was counted on."""
        old = self._pods.pop(key, None)
        if old is None:
            return None
        node, pod = old
        room = self._rooms[node]
        _count(room, pod, -1)
        self._touch(room)
        if room.node is None and not room.used:
            del self._rooms[node]
        return node

    def node_of(self, key: str) -> str | None:
        """The node that a pod is counted on."""
        found = self._pods.get(key)
        return found[0] if found else None

    def best(self, pod: Pod, shape: Hashable) -> str | None:
        """The fitting node of the highest score; among equals the first by name."""
        pinned = pinned_nodes(pod)
        if pinned is not None:
            fits = [r for r in map(self._rooms.get, pinned) if r and not self._judge(pod, r)]
            return min(fits, key=lambda r: (-score(pod, r), r.name)).name if fits else None
        found = self._current(pod, shape)
        heap = found.heap
        while heap:
            _, name, version = heap[0]
            room = self._rooms.get(name)
            if room and room.node and room.version == version:
                return name
            heapq.heappop(heap)
        return None

    def has_room(self, pod: Pod, shape: Hashable) -> bool:
        """Whether some node fits now."""
        return self.best(pod, shape) is not None

    def reasons(self, pod: Pod, shape: Hashable) -> Mapping[Misfit, int]:
        """Why which number of nodes cannot take the pod."""
        pinned = pinned_nodes(pod)
        if pinned is None:
            return self._current(pod, shape).reasons
        counted: Counter[Misfit] = Counter()
        for room in map(self._rooms.get, pinned):
            misfit = self._judge(pod, room) if room and room.node else None
            if misfit:
                counted[misfit] += 1
        others = self._nodes - counted.total()
        if others:
            counted[_NOT_PINNED] = others
        return counted

    def _judge(self, pod: Pod, room: NodeRoom) -> Misfit | None:
        if room.node is None:
            return _NOT_PINNED
        return refusal(pod, room.node, values=self._values) or shortage(
            pod, room.node, room.used, room.ports
        )

    def _room(self, name: str) -> NodeRoom:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = NodeRoom(name)
        return room

    def _touch(self, room: NodeRoom) -> None:
        # Versions come from the log's length, so a name that returns never repeats one.
        self._log.append(room.name)
        room.version = self._log_start + len(self._log)
        if len(self._log) > 4 * len(self._rooms) + 4096:
            cut = len(self._log) // 2
            del self._log[:cut]
            self._log_start += cut

    def _current(self, pod: Pod, key: Hashable) -> _Shape:
        """The shape's candidates, with every node that changed since judged again."""
        shape = self._shapes.get(key)
        end = self._log_start + len(self._log)
        if shape is None or shape.seen < self._log_start:
            shape = self._shapes[key] = _Shape(pod)
            changed = list(self._rooms)
            if len(self._shapes) > SHAPES_MAX:
                self._shapes.popitem(last=False)
        else:
            changed = self._log[shape.seen - self._log_start :]
            if len(changed) > 1:
                changed = list(dict.fromkeys(changed))
        self._shapes.move_to_end(key)
        shape.seen = end
        for name in changed:
            self._update(shape, name)
        if len(shape.heap) > 64 + 4 * shape.feasible:
            self._rebuild(shape)
        return shape

    def _update(self, shape: _Shape, name: str) -> None:
        if name in shape.verdicts:
            old = shape.verdicts.pop(name)
            if old is None:
                shape.feasible -= 1
            else:
                shape.reasons[old] -= 1
                if not shape.reasons[old]:
                    del shape.reasons[old]
        room = self._rooms.get(name)
        if room is None or room.node is None:
            return
        misfit = self._judge(shape.pod, room)
        shape.verdicts[name] = misfit
        if misfit is None:
            shape.feasible += 1
            heapq.heappush(shape.heap, (-score(shape.pod, room), name, room.version))
        else:
            shape.reasons[misfit] += 1

    def _rebuild(self, shape: _Shape) -> None:
        shape.heap = [
            entry
            for entry in shape.heap
            if (room := self._rooms.get(entry[1])) and room.node and room.version == entry[2]
        ]
        heapq.heapify(shape.heap)


_NOT_PINNED = Misfit(("node(s) didn't satisfy plugin(s) [NodeAffinity]",), is_final=True)


def _count(room: NodeRoom, pod: Pod, sign: int) -> None:
    for name, amount in pod.requests.items():
        left = room.used.get(name, 0) + sign * amount
        if left:
            room.used[name] = left
        else:
            room.used.pop(name, None)
    for name, unasked in _UNASKED.items():
        room.load[name] = room.load.get(name, 0) + sign * (pod.requests.get(name) or unasked)
    group = spread_group(pod)
    if group:
        room.groups[group] += sign
        if not room.groups[group]:
            del room.groups[group]
    for port in pod.host_ports:
        room.ports[port] += sign
        if not room.ports[port]:
            del room.ports[port]
