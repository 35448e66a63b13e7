"""The controller of agent pools: observe, plan, record, act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from poolwright.control.act import Actor, Performed
from poolwright.control.records import ends, progress, resource_writes
from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec, AgentPoolStatus
from poolwright.model.cluster_key import PoolKey
from poolwright.model.instant import Instant
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.model.node import Node
from poolwright.model.pod import Budget, Pod
from poolwright.model.record import Stored
from poolwright.plan.actions import Action
from poolwright.plan.plan import PoolPlan
from poolwright.plan.pool import plan_agent_pool, plan_refusal
from poolwright.plan.pool_event import pool_events
from poolwright.plan.world import PoolWorld, Recall
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Store
from poolwright.reconcile.loop import note

Pool = Stored[AgentPoolSpec, AgentPoolStatus]
Cluster = Stored[ManagedClusterSpec, ManagedClusterStatus]


@dataclass(frozen=True, slots=True)
class _Picture:
    """What a cluster's view shows of one pool."""

    nodes: dict[str, Node]
    pods: dict[str, Sequence[Pod]]
    budgets: dict[str, Sequence[Budget]]


LOOK_AGAIN = timedelta(minutes=5)
"""World time after which a pool that was acted on is looked at, should no change wake it."""


class AgentPoolController:
    """Moves one agent pool one step closer to its spec (architecture §1)."""

    name = "agent_pool"

    def __init__(
        self,
        store: Store,
        provider: MachineProvider,
        clusters: Clusters,
        clock: Clock,
        actor: Actor,
        *,
        actions_max: int = 100,
    ) -> None:
        self._store = store
        self._provider = provider
        self._clusters = clusters
        self._clock = clock
        self._actor = actor
        self._actions_max = actions_max
        self._recalls: dict[PoolKey, Recall] = {}

    async def reconcile(self, key: PoolKey) -> Instant | None:
        """One pass. A lost race raises `Precondition`: the loop observes again."""
        world = await self._observe(key)
        if world is None:
            self._recalls.pop(key, None)
            return None
        plan = plan_agent_pool(world, self._clock.now().world)
        self._explain(world, plan)
        await self._record(world, plan)
        for event in pool_events(world, plan):
            await self._actor.tell_of_pool(key, world.pool.uid, event)
        if plan.is_gone or plan.end is not None or not plan.actions:
            return plan.wake_at
        performed = await self._perform(world, plan.actions)
        if performed.refusal is not None:
            return await self._refused(key, world, performed)
        if performed.retry is not None:
            raise performed.retry
        again = self._clock.now().world.after(LOOK_AGAIN)
        return min(at for at in (again, performed.again_at, plan.wake_at) if at is not None)

    async def _observe(self, key: PoolKey) -> PoolWorld | None:
        """Records, then machines, then nodes: a node that is seen has a machine that was listed."""
        scope = key.cluster.arm_scope
        pool = await self._store.get(scope, AGENT_POOL, key.pool)
        cluster = await self._store.get(scope, MANAGED_CLUSTER, key.cluster.name)
        if pool is None or cluster is None:
            return None
        machines = await self._provider.list_machines(key.cluster, key.pool)
        picture = self._picture(key, cluster, is_leaving=pool.deleted_at is not None)
        return PoolWorld(
            key=key,
            cluster=cluster.spec,
            cluster_status=cluster.status,
            pool=pool,
            machines=machines,
            nodes=picture.nodes if picture else None,
            pods=picture.pods if picture else {},
            budgets=picture.budgets if picture else {},
            actions_max=self._actions_max,
            recall=self._recalls.setdefault(key, Recall()),
        )

    def _picture(self, key: PoolKey, cluster: Cluster, *, is_leaving: bool) -> _Picture | None:
        """None while the cluster cannot be seen; planning then does only what needs no nodes."""
        if is_leaving or not cluster.status.running_kubernetes_version:
            return None
        view = self._clusters.view(key.cluster)
        if not view.is_synced:
            return None
        nodes = {node.name: node for node in view.nodes(key.pool)}
        pods = {name: view.pods_on(name) for name in nodes}
        namespaces = sorted({pod.namespace for on_node in pods.values() for pod in on_node})
        return _Picture(nodes, pods, {name: view.budgets(name) for name in namespaces})

    def _explain(self, world: PoolWorld, plan: PoolPlan) -> None:
        first = plan.actions[0] if plan.actions else None
        note(
            generation=world.pool.generation,
            state=str(world.pool.status.provisioning_state),
            machines=len(world.machines),
            nodes=len(world.nodes) if world.nodes is not None else None,
            read=len(world.machines) + len(world.nodes or ()) + sum(map(len, world.pods.values())),
            planned=len(plan.actions),
            because=first.because if first else None,
            end=str(plan.end.state) if plan.end else None,
        )

    async def _record(self, world: PoolWorld, plan: PoolPlan) -> None:
        """One guarded write of what must survive, before anything is done."""
        pool, scope = world.pool, world.key.cluster.arm_scope
        writes = resource_writes(
            pool, spec=plan.spec or pool.spec, status=plan.status, is_gone=plan.is_gone
        )
        operation = pool.status.operation_id
        if plan.end is not None:
            writes += await ends(
                self._store,
                scope,
                plan.end,
                self._clock.now().wall,
                operation=operation,
                abort_operation=pool.status.abort_operation_id,
            )
        else:
            writes += await progress(
                self._store, scope, operation, plan.operation_message, plan.percent
            )
        if writes:
            await self._store.transact(scope, writes)

    async def _perform(self, world: PoolWorld, actions: Sequence[Action]) -> Performed:
        async def is_current() -> bool:
            now = await self._store.get(world.key.cluster.arm_scope, AGENT_POOL, world.key.pool)
            planned = world.pool
            return (
                now is not None
                and now.uid == planned.uid
                and now.generation == planned.generation
                and now.status.is_halted == planned.status.is_halted
                and (now.deleted_at is None) == (planned.deleted_at is None)
            )

        return await self._actor.perform(
            world.key.cluster,
            actions,
            is_current=is_current,
            agent_pool=world.key.pool,
            generation=world.pool.generation,
            operation_id=world.pool.status.operation_id,
        )

    async def _refused(
        self, key: PoolKey, before: PoolWorld, performed: Performed
    ) -> Instant | None:
        """Plan again with the refusal in hand, on the world as it is after the batch."""
        world = await self._observe(key)
        assert performed.refusal is not None
        if world is None or world.pool.generation != before.pool.generation:
            return self._clock.now().world
        if world.pool.deleted_at is not None or world.pool.status.is_halted:
            return self._clock.now().world
        plan = plan_refusal(world, performed.refusal, self._clock.now().world)
        note(refused=performed.refusal.code)
        await self._record(world, plan)
        return plan.wake_at
