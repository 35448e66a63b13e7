"""The nodes of one cluster: registers them, reports for them, and takes them away.

Everything that is written goes through one outbox by key, so that a stage that several things
ask for at once is one request, and a lost answer is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Conflict, NotFound, Precondition, Transient, Unknown
from poolwright.model.json_value import child
from poolwright.model.kubernetes import LEASES, NODES, RENDERED_ANNOTATION
from poolwright.model.machine import MachinePhase
from poolwright.ports.kube import Kube, Object, PatchKind
from poolwright.providers.simulated.books import Entry
from poolwright.providers.simulated.kubelet import Kubelets, PodKey
from poolwright.providers.simulated.node_object import (
    DCGM_LABEL,
    LEASE_NAMESPACE,
    NodeState,
    lease_object,
    node_object,
    status_patch,
)
from poolwright.providers.simulated.outbox import Outbox
from poolwright.providers.simulated.surroundings import Surroundings

_RETRY = timedelta(milliseconds=200)
_PROVIDER_PREFIX = "azure://"

NodeKey = str
Key = NodeKey | PodKey


class Fleet:
    """All kubelets of a cluster, and what stands behind their nodes."""

    def __init__(
        self,
        cluster: ClusterKey,
        around: Surroundings,
        retire: Callable[[ClusterKey, str], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._clusters = around.clusters
        self._books = around.books
        self._clock = around.clock
        self._settings = around.settings
        self._retire = retire
        self.nodes: dict[str, NodeState] = {}
        self._outbox: Outbox[Key] = Outbox(
            around.clock, self._perform, parallel=around.settings.requests_parallel
        )
        self.kubelets = Kubelets(cluster, around, self.nodes, self._outbox.put)

    @property
    def _kube(self) -> Kube:
        return self._clusters.kube(self._cluster)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way to the cluster."""
        return self._outbox.is_idle

    def machine_changed(self, name: str) -> None:
        """The machine has a new course or began a new segment of it."""
        self._outbox.put(name)

    async def run(self) -> None:
        """Keep the cluster's nodes and pods in line with the machines, for ever."""
        await self._adopt()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outbox.run())
            group.create_task(self.kubelets.follow(lambda: self._kube))

    async def _adopt(self) -> None:
        """Recognise the nodes that an earlier run registered."""
        while True:
            try:
                found = await self._kube.list(NODES)
            except (Transient, NotFound):
                await self._clock.sleep(_RETRY)
            else:
                break
        for wire in found.items:
            if child(wire, "spec").get("providerID", "").startswith(_PROVIDER_PREFIX):
                self._adopt_node(wire)

    def _adopt_node(self, wire: Object) -> None:
        name = child(wire, "metadata")["name"]
        entry = self._books.entry(self._cluster, name)
        self._outbox.put(name)
        if entry is None or _system_uuid(wire) != entry.course.uid:
            return
        state = self.nodes[name] = self._new_state(entry)
        state.is_registered = True
        ready = [c for c in child(wire, "status").get("conditions", ()) if c["type"] == "Ready"]
        state.is_alive = bool(ready) and ready[0]["status"] == "True"
        allocatable = child(wire, "status", "allocatable")
        state.has_plugin = any(allocatable.get(key, "0") != "0" for key in state.gpu_offer)
        state.has_exporter = DCGM_LABEL in child(wire, "metadata", "labels")
        state.written = state.facts

    def _new_state(self, entry: Entry) -> NodeState:
        machine = entry.at(self._clock.now().world)
        return NodeState(machine, entry.size, entry.record.spec.address_index)

    # ------------------------------------------------------------------ what is written

    async def _perform(self, key: Key, attempt: int) -> None:
        if isinstance(key, PodKey):
            await self.kubelets.write(self._kube, key)
        else:
            await self._write_node(key, attempt)

    async def _write_node(self, name: str, attempt: int) -> None:
        entry = self._books.entry(self._cluster, name)
        state = self.nodes.get(name)
        if entry is None:
            await self._remove(name)
            return
        world = self._clock.now().world
        course = entry.course
        if course.is_gone(world):
            await self._remove_or_give_up(name, attempt)
            await self._retire(self._cluster, name)
            return
        if state is not None and state.machine.uid != course.uid:
            await self._remove(name)
            state = None
        if course.is_alive(world):
            await self._write_living(name, entry, state)
        elif state is not None and course.segment_at(world).phase in _DEAD:
            await self._write_dead(state)

    async def _write_living(self, name: str, entry: Entry, state: NodeState | None) -> None:
        if state is None:
            state = self.nodes[name] = self._new_state(entry)
        if not state.is_registered:
            await self._register(state)
        elif not state.is_alive:
            state.is_alive = True
            await self._report(state)
        else:
            await self._report(state)
            return
        self.kubelets.node_alive(name)

    async def _write_dead(self, state: NodeState) -> None:
        state.is_alive = state.has_plugin = state.has_exporter = False
        self.kubelets.node_dead(state.machine.name)
        await self._report(state)

    async def _register(self, state: NodeState) -> None:
        """Create the Node, ready as it is, and its lease; a Node of an earlier life goes."""
        now = self._clock.now()
        body = node_object(state, now.wall)
        name = state.machine.name
        try:
            made = await self._kube.create(NODES, body)
        except Conflict:
            made = await self._kube.get(NODES, name)
            if _system_uuid(made) != state.machine.uid:
                await self._kube.delete(NODES, name, uid=child(made, "metadata").get("uid"))
                made = await self._kube.create(NODES, body)  # a Conflict begins anew
        await self._renew_lease(name, child(made, "metadata").get("uid", ""), alive=True)
        state.is_registered = state.is_alive = True
        state.written = (True, False, False)
        if state.facts != state.written:
            await self._report(state)

    async def _renew_lease(self, name: str, node_uid: str, *, alive: bool) -> None:
        now = self._clock.now().wall
        lease = lease_object(name, node_uid, now)
        try:
            if alive and node_uid:
                await self._kube.create(LEASES, lease, namespace=LEASE_NAMESPACE)
                return
        except Conflict:
            pass
        except NotFound:
            return  # a cluster without that namespace watches no leases
        change = {
            "metadata": {"annotations": {RENDERED_ANNOTATION: "true" if alive else None}},
            "spec": {"renewTime": lease["spec"]["renewTime"]},
        }
        try:
            await self._kube.patch(LEASES, name, change, namespace=LEASE_NAMESPACE)
        except NotFound:
            return

    async def _report(self, state: NodeState) -> None:
        """Write what changed since the last report, status and label in one patch: a node's status
        takes labels along (pkg/registry/core/node, nodeStatusStrategy keeps only the spec).
        """
        facts, written, name = state.facts, state.written, state.machine.name
        if facts == written:
            return
        change: dict[str, Any] = {}
        if status := status_patch(state, self._clock.now().wall):
            change["status"] = status
        if facts[2] != written[2]:
            change["metadata"] = {"labels": {DCGM_LABEL: "enabled" if facts[2] else None}}
        try:
            if facts[0] != written[0]:
                await self._renew_lease(name, "", alive=facts[0])
            if change:
                await self._kube.patch(
                    NODES, name, change, kind=PatchKind.STRATEGIC, subresource="status"
                )
        except NotFound:
            pass  # somebody deleted the Node; a kubelet does not make it again by itself
        state.written = facts

    async def _remove(self, name: str) -> None:
        """Delete the Node with all that is on it; a missing one is fine."""
        state = self.nodes.pop(name, None)
        self.kubelets.node_gone(name)
        uid = None
        if state is not None:
            state.is_alive = False
        await self._kube.delete(NODES, name, uid=uid)
        await self._kube.delete(LEASES, name, namespace=LEASE_NAMESPACE)

    async def _remove_or_give_up(self, name: str, attempt: int) -> None:
        try:
            await self._remove(name)
        except (Transient, Unknown):
            if attempt < self._settings.unreachable_attempts:
                raise
        except (NotFound, Precondition):
            return


_DEAD = {MachinePhase.RUNNING, MachinePhase.STOPPED, MachinePhase.CREATING}


def _system_uuid(node: Object) -> str:
    return child(node, "status", "nodeInfo").get("systemUUID", "")
