"""Finds machines that no record owns, and deletes them after a grace; and nodes of an adopted
cluster that no machine is behind.

The machines come about when a call to create one lands after its pool was removed: a provider
knows no generations, so that residue cannot be excluded where the call is made. The nodes come
about when a machine is deleted while its cluster is out of reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog

from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Precondition
from poolwright.model.instant import Instant
from poolwright.model.kubernetes import NODES
from poolwright.model.machine import Machine, MachinePhase
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.node import Node
from poolwright.plan.upkeep import plan_left_behind
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Store
from poolwright.reconcile.loop import note

_log: Any = structlog.get_logger("poolwright.audit")

GRACE = timedelta(minutes=5)
"""World time that a machine without an owner is left alone: reads may be late."""


class OrphansController:
    """One cluster's machines against its pools' records, and its nodes against its machines."""

    name = "orphans"

    def __init__(
        self, store: Store, provider: MachineProvider, clusters: Clusters, clock: Clock
    ) -> None:
        self._store = store
        self._provider = provider
        self._clusters = clusters
        self._clock = clock
        self._seen: dict[ClusterKey, dict[str, Instant]] = {}

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One pass; comes back when the next grace is over. Nodes are looked at before machines:
        a node that was seen had a machine then.
        """
        nodes = await self._nodes(key)
        machines = await self._provider.list_machines(key)
        again_at = await self._delete_unowned(key, machines)
        for action in plan_left_behind(nodes, {machine.name for machine in machines}):
            note(planned=1, because=action.because)
            _log.info("node left behind deleted", cluster=str(key), target=action.name)
            try:
                await self._clusters.kube(key).delete(NODES, action.name, uid=action.uid)
            except Precondition:
                continue  # it is another node by now
        return again_at

    async def _nodes(self, key: ClusterKey) -> Sequence[Node]:
        """Those of an adopted cluster that can be reached; a cluster of ours tells by itself which
        nodes nobody speaks for.
        """
        cluster = await self._store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if cluster is None or not cluster.spec.is_adopted or cluster.status.outage is not None:
            return ()
        return self._clusters.view(key).nodes()

    async def _delete_unowned(self, key: ClusterKey, machines: Sequence[Machine]) -> Instant | None:
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        owned = {pool.name for pool in pools}
        now = self._clock.now().world
        before = self._seen.pop(key, {})
        seen: dict[str, Instant] = {}
        for machine in machines:
            if machine.pool in owned or machine.phase is MachinePhase.DELETING:
                continue
            since = before.get(machine.uid, now)
            if since.after(GRACE) > now:
                seen[machine.uid] = since
                continue
            note(planned=1, because="no agent pool owns the machine")
            _log.info("orphan deleted", cluster=str(key), target=machine.name, uid=machine.uid)
            try:
                await self._provider.delete_machine(key, machine.name, uid=machine.uid)
            except Precondition:
                continue  # it became another machine: seen anew next time
        if seen:
            self._seen[key] = seen
        return min((since.after(GRACE) for since in seen.values()), default=None)
