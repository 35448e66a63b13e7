"""One node with what its pods use, and how well it suits another pod."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.fit import HostPort

# What a pod without requests counts as when nodes are compared (scheduler/util/pod_resources.go)
_UNASKED = {"cpu": 100, "memory": 200 * 2**20}


@dataclass(slots=True)
class NodeRoom:
    """A node with what its pods use. ``node`` is None while only pods have named it.

    ``reserved`` are the pods that wait for their victims to leave this node.
    """

    name: str
    node: Node | None = None
    pods: dict[str, Pod] = field(default_factory=dict[str, Pod])
    used: dict[str, int] = field(default_factory=dict[str, int])
    load: dict[str, int] = field(default_factory=dict[str, int])
    ports: Counter[HostPort] = field(default_factory=Counter[HostPort])
    reserved: dict[str, Pod] = field(default_factory=dict[str, Pod])
    version: int = 0

    def count(self, pod: Pod, sign: int) -> None:
        """Add a pod's use, or take it away."""
        used, requests = self.used, pod.requests
        for name, amount in requests.items():
            left = used.get(name, 0) + sign * amount
            if left:
                used[name] = left
            else:
                used.pop(name, None)
        load = self.load
        for name, unasked in _UNASKED.items():
            load[name] = load.get(name, 0) + sign * (requests.get(name) or unasked)
        for port in pod.host_ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]

    def used_before(self, pod: Pod) -> tuple[dict[str, int], Counter[HostPort]]:
        """Use as a pod must see it: with the reservations of others that do not rank below it."""
        used, ports = dict(self.used), self.ports.copy()
        for key, other in self.reserved.items():
            if key != pod.key and other.priority >= pod.priority:
                for name, amount in other.requests.items():
                    used[name] = used.get(name, 0) + amount
                ports.update(other.host_ports)
        return used, ports


def resource_score(pod: Pod, room: NodeRoom) -> float:
    """Least allocated and balanced allocation of cpu and memory, 0 to 100 each.

    Source: k8s.io/kubernetes v1.36 pkg/scheduler/framework/plugins/noderesources.
    Ours: not cut to whole numbers, so that equal nodes fill evenly.
    """
    node = room.node
    assert node is not None
    allocatable, load, requests = node.allocatable, room.load, pod.requests
    capacity = allocatable.get("cpu", 0)
    asked = requests.get("cpu") or _UNASKED["cpu"]
    cpu = min(1.0, (load.get("cpu", 0) + asked) / capacity) if capacity else 1.0
    capacity = allocatable.get("memory", 0)
    asked = requests.get("memory") or _UNASKED["memory"]
    memory = min(1.0, (load.get("memory", 0) + asked) / capacity) if capacity else 1.0
    return 200.0 - 50.0 * (cpu + memory) - 50.0 * abs(cpu - memory)
