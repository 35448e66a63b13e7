"""The nodes of one cluster: registers them, reports for them, and takes them away.

Everything that is written goes through one outbox by key, so that a stage that several things
ask for at once is one request, and a lost answer is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Conflict, NotFound
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import LEASES, NODES, RENDERED_ANNOTATION
from poolwright.model.quantity import resource_text
from poolwright.ports.kube import ClusterView, PatchKind
from poolwright.providers.simulated.kubelet import Kubelets, PodKey, SourcesKey
from poolwright.providers.simulated.machine_nodes import MachineNodes
from poolwright.providers.simulated.node_object import (
    DCGM_LABEL,
    LEASE_NAMESPACE,
    NodeState,
    lease_object,
    node_object,
    status_patch,
    system_uuid,
)
from poolwright.providers.simulated.node_side import Retire
from poolwright.providers.simulated.outbox import Outbox
from poolwright.providers.simulated.pod_run import ContainerRun, PodRun
from poolwright.providers.simulated.surroundings import Surroundings
from poolwright.providers.simulated.variable import read_sources

_PROVIDER_PREFIX = "azure://"
_STATUS_UPDATE = timedelta(seconds=10)
"""How often a kubelet looks at its node's status, in world time.
Source: kubelet configuration, nodeStatusUpdateFrequency."""

NodeKey = str
Key = NodeKey | PodKey | SourcesKey


class Fleet(MachineNodes):
    """All kubelets of a cluster, and what stands behind their nodes."""

    def __init__(self, cluster: ClusterKey, around: Surroundings, retire: Retire) -> None:
        super().__init__(cluster, around, retire)
        self._outbox: Outbox[Key] = Outbox(
            around.clock, self._perform, parallel=around.settings.requests_parallel
        )
        self._agenda = around.agenda
        self._view: ClusterView | None = None
        self._end_attention: Callable[[], None] = lambda: None
        self.kubelets = Kubelets(cluster, around, self.nodes, self._outbox.put)

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
        if self.nodes:
            self._attend()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outbox.run())
                group.create_task(self.kubelets.follow(lambda: self._kube))
        finally:
            self._end_attention()

    # ------------------------------------------------------------------ what others say of a node

    def _attend(self) -> None:
        """Hear of what others write into the capacity of our nodes. The cluster's view follows its
        nodes anyway: a watch of our own cost a tenth of all that a node costs.
        """
        view = self._clusters.view(self._cluster)
        if view is not self._view:
            self._end_attention()
            self._view = view
            self._end_attention = view.on_amends(self._amend_later)

    def _amend_later(self, name: str) -> None:
        """The node's next report says what follows for allocatable."""
        if name in self.nodes:
            at = self._clock.now().world.after(_STATUS_UPDATE)
            self._agenda.note(at, partial(self._outbox.put, name))

    def _amends(self, state: NodeState) -> dict[str, str | None]:
        """What others have brought about; of GPUs the device plugin tells."""
        node = self._view.node(state.machine.name) if self._view is not None else None
        if node is None or not state.is_alive:
            return {}
        own = state.gpu_offer
        return {
            name: None if amount is None else resource_text(name, amount)
            for name, amount in node.amends.items()
            if name not in own
        }

    def _is_ours(self, node: Json) -> bool:
        return child(node, "spec").get("providerID", "").startswith(_PROVIDER_PREFIX)

    def _is_alive(self, node: Json) -> bool:
        conditions = children(node, "status", "conditions")
        ready = [c.get("status") for c in conditions if c.get("type") == "Ready"]
        return ready[:1] == ["True"]

    async def supply(self, pod: PodRun, run: ContainerRun) -> None:
        """Read what a container's variables come from, unless that was done when it started."""
        if run.held is None and run.spec.sources:
            run.held = await read_sources(self._kube, pod.namespace, run.spec.sources)

    # ------------------------------------------------------------------ what is written

    async def _perform(self, key: Key, attempt: int) -> None:
        if isinstance(key, PodKey):
            await self.kubelets.write(self._kube, key)
        elif isinstance(key, SourcesKey):
            await self.kubelets.read(self._kube, key)
        else:
            await self._write_node(key, attempt)

    async def _write_living(self, state: NodeState) -> None:
        if not state.is_registered:
            await self._register(state)
        if not state.is_alive:  # a report that fails is repeated: the pods begin all the same
            state.is_alive = True
            self.kubelets.node_alive(state.machine.name)
        await self._report(state)

    async def _write_dead(self, state: NodeState) -> None:
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
            if system_uuid(made) != state.machine.uid:
                await self._kube.delete(NODES, name, uid=child(made, "metadata").get("uid"))
                made = await self._kube.create(NODES, body)  # a Conflict begins anew
        await self._renew_lease(name, child(made, "metadata").get("uid", ""), alive=True)
        state.is_registered = True
        state.written = (True, False, False)
        self._attend()

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
        amends = self._amends(state)
        if facts == written and not amends:
            return
        change: dict[str, Any] = {}
        status = status_patch(state, self._clock.now().wall)
        if amends:
            status["allocatable"] = status.get("allocatable", {}) | amends
        if status:
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
