"""The autoscaler's controller: scans a cluster when something changed, and changes pool counts by
guarded writes, without an operation (records.md R11).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import structlog

from poolwright.control.act import write_event
from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec, AgentPoolStatus
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound, PoolwrightError
from poolwright.model.instant import Instant
from poolwright.model.json_value import child
from poolwright.model.kubernetes import CONFIG_MAPS
from poolwright.model.managed_cluster import MANAGED_CLUSTER, ManagedClusterSpec
from poolwright.model.pod import Pod
from poolwright.plan.actions import NodeEvent
from poolwright.plan.expander import (
    PRIORITY_CONFIG_MAP,
    PRIORITY_KEY,
    Priorities,
    read_priorities,
)
from poolwright.plan.scaling import (
    Pool,
    ScalingPlan,
    ScalingProfile,
    ScalingWorld,
    plan_scaling,
)
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters
from poolwright.ports.store import Store, Update
from poolwright.reconcile.loop import note

_log: Any = structlog.get_logger("poolwright.audit")

COMPONENT = "cluster-autoscaler"
EVENTS_MAX = 50
"""Events of one scan: thousands of pending pods must not become thousands of requests."""


class AutoscalerController:
    """One cluster's autoscaler."""

    name = "autoscaler"

    def __init__(self, store: Store, clusters: Clusters, clock: Clock, identity: Identity) -> None:
        self._store = store
        self._clusters = clusters
        self._clock = clock
        self._identity = identity
        self._told: dict[ClusterKey, dict[str, str]] = {}

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One scan; comes back when the next node has been unneeded for long enough."""
        world = await self._observe(key)
        if world is None:
            self._told.pop(key, None)
            return None
        now = self._clock.now().world
        plan = plan_scaling(world, now)
        note(
            nodes=len(world.nodes),
            pending=len(world.pending),
            read=len(world.nodes) + len(world.pending),
            planned=len(plan.growths) + len(plan.shrinkages),
        )
        await self._record(key, world, plan, now)
        await self._tell(key, plan)
        return plan.wake_at

    async def _observe(self, key: ClusterKey) -> ScalingWorld | None:
        """None unless some pool is scaled and the cluster can be seen."""
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        if not any(pool.spec.enable_auto_scaling for pool in pools):
            return None
        cluster = await self._store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if (
            cluster is None
            or cluster.deleted_at is not None
            or cluster.spec.is_stopped
            or not cluster.status.provisioning_state.is_terminal
            or not cluster.status.running_kubernetes_version
            or cluster.status.outage is not None
        ):
            return None
        view = self._clusters.view(key)
        if not view.is_synced:
            return None
        nodes = view.nodes()
        return ScalingWorld(
            cluster=cluster.spec,
            pools=pools,
            nodes=nodes,
            pods={node.name: view.pods_on(node.name) for node in nodes},
            pending=view.pending_pods(),
            priorities=await self._priorities(key, cluster.spec),
        )

    async def _priorities(self, key: ClusterKey, cluster: ManagedClusterSpec) -> Priorities:
        """What users told the priority expander; nothing unless it is in use."""
        if "priority" not in ScalingProfile.of(cluster).expander:
            return {}
        try:
            told = await self._clusters.kube(key).get(
                CONFIG_MAPS, PRIORITY_CONFIG_MAP, namespace="kube-system"
            )
        except NotFound:
            return {}
        return read_priorities(str(child(told, "data").get(PRIORITY_KEY, "")))

    async def _record(
        self, key: ClusterKey, world: ScalingWorld, plan: ScalingPlan, now: Instant
    ) -> None:
        """One guarded write per changed pool, all in one transaction."""
        specs: dict[str, AgentPoolSpec] = {pool.name: pool.spec for pool in world.pools}
        statuses: dict[str, AgentPoolStatus] = {pool.name: pool.status for pool in world.pools}
        for name, memory in plan.unneeded.items():
            statuses[name] = replace(statuses[name], unneeded_since=memory)
        for growth in plan.growths:
            name = growth.pool.name
            specs[name] = replace(specs[name], count=growth.count)
            statuses[name] = replace(statuses[name], last_scale_up_at=now)
            self._audit(key, growth.pool, growth.count, f"{len(growth.pods)} pods fit nowhere")
        for shrinkage in plan.shrinkages:
            name, spec = shrinkage.pool.name, specs[shrinkage.pool.name]
            count = spec.count - len(shrinkage.names)
            kept = {
                node: since
                for node, since in statuses[name].unneeded_since.items()
                if node not in shrinkage.names
            }
            specs[name] = replace(spec, count=count)
            statuses[name] = replace(
                statuses[name],
                leaving=(*statuses[name].leaving, *shrinkage.names),
                unneeded_since=kept,
                last_scale_down_at=now,
            )
            because = f"unneeded: {', '.join(shrinkage.names)}"
            self._audit(key, shrinkage.pool, count, because)
        writes = [
            Update(
                AGENT_POOL,
                pool.name,
                spec=specs[pool.name] if specs[pool.name] != pool.spec else None,
                status=statuses[pool.name],
                expect_uid=pool.uid,
                expect_revision=pool.revision,
                expect_generation=pool.generation,
            )
            for pool in world.pools
            if (specs[pool.name], statuses[pool.name]) != (pool.spec, pool.status)
        ]
        if writes:
            await self._store.transact(key.arm_scope, writes)

    def _audit(self, key: ClusterKey, pool: Pool, count: int, because: str) -> None:
        _log.info(
            "scaled",
            cluster=str(key),
            agent_pool=pool.name,
            before=pool.spec.count,
            after=count,
            because=because,
        )

    async def _tell(self, key: ClusterKey, plan: ScalingPlan) -> None:
        """Events on pods: what was triggered, and once per pod and reason why nothing was."""
        before = self._told.get(key, {})
        told: dict[str, str] = {}
        events: list[tuple[Pod, NodeEvent]] = []
        for growth in plan.growths:
            event = NodeEvent("TriggeredScaleUp", growth.message)
            events += [(pod, event) for pod in growth.pods]
        for pod, reason in plan.hopeless:
            told[pod.uid] = reason
            if before.get(pod.uid) != reason:
                events.append((pod, NodeEvent("NotTriggerScaleUp", reason)))
        self._told[key] = told
        await self._write(key, events[:EVENTS_MAX])

    async def _write(self, key: ClusterKey, events: Iterable[tuple[Pod, NodeEvent]]) -> None:
        kube = self._clusters.kube(key)
        for pod, event in events:
            about = {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.uid,
            }
            try:
                await write_event(
                    kube, self._clock, self._identity, about, event, component=COMPONENT
                )
            except PoolwrightError as error:
                _log.info("event not written", pod=pod.name, error=str(error))
                return
