"""The controller of managed clusters: observe, plan, record, act on control planes."""

from __future__ import annotations

from dataclasses import replace

from poolwright.control.records import ends, progress, resource_writes
from poolwright.model.agent_pool import AGENT_POOL, OperationState, ProvisioningState
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Precondition
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.plan.cluster import (
    ClusterPlan,
    ClusterWorld,
    ControlPlaneState,
    DeleteControlPlane,
    DeletePool,
    Pool,
    PutControlPlane,
    plan_cluster,
)
from poolwright.plan.plan import CANCELED, OperationEnd
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Store, Update, Write
from poolwright.reconcile.loop import note

_AT_REST = frozenset({MachinePhase.STOPPED, MachinePhase.FAILED, MachinePhase.DELETING})


class ManagedClusterController:
    """Moves one managed cluster one step closer to its spec."""

    name = "managed_cluster"

    def __init__(
        self,
        store: Store,
        provider: MachineProvider,
        clusters: Clusters,
        control_planes: ControlPlanes,
        clock: Clock,
    ) -> None:
        self._store = store
        self._provider = provider
        self._clusters = clusters
        self._control_planes = control_planes
        self._clock = clock

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One pass."""
        world = await self._observe(key)
        if world is None:
            return None
        plan = plan_cluster(world, self._clock.now().world)
        note(
            generation=world.cluster.generation,
            state=str(world.cluster.status.provisioning_state),
            planned=len(plan.actions),
            because=plan.actions[0].because if plan.actions else None,
            end=str(plan.end.state) if plan.end else None,
        )
        await self._record(world, plan)
        if plan.is_gone:
            self._clusters.forget(key)
            return None
        if not plan.actions:
            return plan.wake_at
        await self._perform(world, plan)
        return self._clock.now().world

    async def _observe(self, key: ClusterKey) -> ClusterWorld | None:
        cluster = await self._store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if cluster is None:
            return None
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        found = await self._control_planes.get(key)
        running = 0
        if cluster.spec.is_stopped and not cluster.status.provisioning_state.is_terminal:
            machines = await self._provider.list_machines(key)
            running = sum(machine.phase not in _AT_REST for machine in machines)
        return ClusterWorld(
            key=key,
            cluster=cluster,
            pools=pools,
            control_plane=found and ControlPlaneState(found.version, found.is_running),
            running_machines=running,
        )

    async def _record(self, world: ClusterWorld, plan: ClusterPlan) -> None:
        cluster, scope = world.cluster, world.key.arm_scope
        writes = resource_writes(
            cluster, spec=cluster.spec, status=plan.status, is_gone=plan.is_gone
        )
        operation = cluster.status.operation_id
        if plan.end is not None:
            writes += await ends(
                self._store,
                scope,
                plan.end,
                self._clock.now().wall,
                operation=operation,
                abort_operation=cluster.status.abort_operation_id,
            )
        else:
            writes += await progress(self._store, scope, operation, plan.operation_message, 0)
        if writes:
            await self._store.transact(scope, writes)

    async def _perform(self, world: ClusterWorld, plan: ClusterPlan) -> None:
        for action in plan.actions:
            await self._check_current(world)
            match action:
                case PutControlPlane(version=version, running=running):
                    await self._control_planes.put(world.key, version=version, running=running)
                case DeleteControlPlane():
                    self._clusters.forget(world.key)
                    await self._control_planes.delete(world.key)
                case DeletePool(pool=pool):
                    await self._delete_pool(world.key, pool)

    async def _delete_pool(self, key: ClusterKey, pool: Pool) -> None:
        """Mark a pool as deleted; what ran on it ends as canceled."""
        wall = self._clock.now().wall
        status = replace(
            pool.status,
            provisioning_state=ProvisioningState.DELETING,
            operation_id=None,
            abort_operation_id=None,
        )
        writes: list[Write] = [
            Update(
                AGENT_POOL,
                pool.name,
                status=status,
                deleted_at=wall,
                expect_revision=pool.revision,
            )
        ]
        writes += await ends(
            self._store,
            key.arm_scope,
            OperationEnd(OperationState.CANCELED, CANCELED),
            wall,
            operation=pool.status.operation_id,
            abort_operation=pool.status.abort_operation_id,
        )
        await self._store.transact(key.arm_scope, writes)

    async def _check_current(self, world: ClusterWorld) -> None:
        """Refuse to act for a spec that has moved on."""
        now = await self._store.get(world.key.arm_scope, MANAGED_CLUSTER, world.key.name)
        if (
            now is None
            or now.uid != world.cluster.uid
            or now.generation != world.cluster.generation
            or (now.deleted_at is None) != (world.cluster.deleted_at is None)
        ):
            raise Precondition("the cluster's spec moved on")
