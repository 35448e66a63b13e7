"""All rooms behind the ARM front on the virtual loop: store, embedded cluster, simulated cloud."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

from plan.pool_world import CLUSTER, pool_spec
from poolwright.control import ControlSettings, run_control
from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.clusters import HttpClusters
from poolwright.kubesim.cluster import CONTROL_PLANE
from poolwright.kubesim.kinds import KINDS as OBJECT_KINDS
from poolwright.kubesim.registry import store_kind
from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.agent_pool import (
    AGENT_POOL,
    OPERATION,
    AgentPoolStatus,
    OperationSpec,
    OperationState,
    OperationStatus,
    ProvisioningState,
)
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.kubernetes import NODES
from poolwright.model.managed_cluster import MANAGED_CLUSTER, ManagedClusterStatus
from poolwright.ports.store import Create, Update
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.ledger import KINDS as CLOUD_KINDS
from poolwright.reconcile.loop import LoopSettings
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.store.embedded import EmbeddedStore
from poolwright.telemetry.metrics import resource_of

KEY = ClusterKey("sub-1", "rg1", "aks1")
SCOPE = KEY.arm_scope


class Traffic:
    """Counts the requests to the cluster, by method and resource."""

    def __init__(self):
        self.requests = Counter()

    def sent(self, method, path, size):
        self.requests[method, resource_of(path)] += 1

    def received(self, size):
        pass


class Rooms:
    """A world without its ARM front: tests write the records that `arm` would write."""

    def __init__(self, *, speed=60.0, seed=7, before=None):
        self.clock = SimClock(speed=speed)
        kinds = (
            AGENT_POOL,
            OPERATION,
            MANAGED_CLUSTER,
            CONTROL_PLANE,
            *CLOUD_KINDS,
            *(store_kind(kind) for kind in OBJECT_KINDS),
        )
        self.store = before.store if before else EmbeddedStore(None, self.clock, kinds)
        self.identity = SeededIdentity(Random(f"{seed}/identity"))
        self.seed = seed
        self.passes = []
        self.kubesim = KubeSim(
            self.store,
            self.clock,
            self.identity,
            self._kubelet(),
            KubeSimSettings(system_pods=False, raise_bugs=True),
        )
        self.transport = AsgiTransport(self.kubesim.asgi_app)
        self.traffic = Traffic()
        self.clusters = HttpClusters(
            self.kubesim,
            lambda _: self.transport,
            self.clock,
            Random(f"{seed}/views"),
            traffic=self.traffic,
        )
        self.cloud = SimulatedCloud(
            self.store, self.clusters, self.clock, self.identity, Random(f"{seed}/cloud")
        )

    def _kubelet(self):
        return None  # nobody asks for logs here

    @contextlib.asynccontextmanager
    async def running(self):
        async with self.transport, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work)
                for work in (
                    self.kubesim.run(),
                    self.clusters.run(),
                    self.cloud.run(),
                    self._control("replica-1"),
                )
            ]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    def _control(self, holder):
        loops = LoopSettings(raise_bugs=True)
        settings = ControlSettings(
            pools=replace(loops, debounce=timedelta(milliseconds=50)), others=loops
        )
        return run_control(
            self.store,
            self.cloud,
            self.clusters,
            self.kubesim,
            self.clock,
            self.identity,
            Random(f"{self.seed}/{holder}"),
            settings,
            holder,
            on_pass=self.passes.append,
        )

    @contextlib.asynccontextmanager
    async def another_control(self, holder):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._control(holder))
            try:
                yield
            finally:
                task.cancel()

    # -- what `arm` writes -----------------------------------------------------------------------

    def _operation(self, name, type_, pool=""):
        return Create(
            OPERATION,
            name,
            self.identity.uid(),
            OperationSpec(resource_id=f"/{pool}", type=type_, pool=pool, region="eastus"),
            OperationStatus(OperationState.IN_PROGRESS, self.clock.now().wall),
            self.clock.now().wall,
        )

    async def create_cluster(self, *pools):
        """R5: cluster, pools and one operation."""
        wall = self.clock.now().wall
        writes = [
            Create(
                MANAGED_CLUSTER,
                KEY.name,
                self.identity.uid(),
                CLUSTER,
                ManagedClusterStatus(operation_id="create"),
                wall,
            ),
            self._operation("create", "Creating"),
        ]
        for spec in pools:
            writes.append(
                Create(AGENT_POOL, spec.name, self.identity.uid(), spec, AgentPoolStatus(), wall)
            )
        await self.store.transact(SCOPE, writes)

    async def create_pool(self, spec, operation):
        await self.store.transact(
            SCOPE,
            [
                Create(
                    AGENT_POOL,
                    spec.name,
                    self.identity.uid(),
                    spec,
                    AgentPoolStatus(operation_id=operation),
                    self.clock.now().wall,
                ),
                self._operation(operation, "Creating", spec.name),
            ],
        )

    async def change_pool(self, name, state, operation, *, deleted=False, **changes):
        found = await self.pool(name)
        status = replace(
            found.status, provisioning_state=state, operation_id=operation, is_halted=False
        )
        await self.store.transact(
            SCOPE,
            [
                Update(
                    AGENT_POOL,
                    name,
                    spec=replace(found.spec, **changes),
                    status=status,
                    deleted_at=self.clock.now().wall if deleted else None,
                    expect_revision=found.revision,
                ),
                self._operation(operation, str(state), name),
            ],
        )

    async def abort(self, name, operation):
        """R9."""
        found = await self.pool(name)
        status = replace(
            found.status,
            provisioning_state=ProvisioningState.CANCELING,
            is_halted=True,
            abort_operation_id=operation,
        )
        await self.store.transact(
            SCOPE,
            [
                Update(AGENT_POOL, name, status=status, expect_revision=found.revision),
                self._operation(operation, "Canceling", name),
            ],
        )

    async def change_cluster(self, state, operation, *, deleted=False, **changes):
        found = await self.cluster()
        status = replace(found.status, provisioning_state=state, operation_id=operation)
        await self.store.transact(
            SCOPE,
            [
                Update(
                    MANAGED_CLUSTER,
                    KEY.name,
                    spec=replace(found.spec, **changes),
                    status=status,
                    deleted_at=self.clock.now().wall if deleted else None,
                    expect_revision=found.revision,
                ),
                self._operation(operation, str(state)),
            ],
        )

    # -- what can be seen ------------------------------------------------------------------------

    async def pool(self, name="np1"):
        return await self.store.get(SCOPE, AGENT_POOL, name)

    async def cluster(self):
        return await self.store.get(SCOPE, MANAGED_CLUSTER, KEY.name)

    async def operation(self, name):
        return (await self.store.get(SCOPE, OPERATION, name)).status

    async def ended(self, name, *, minutes=120):
        """The operation once it has ended; fails after so many world minutes."""
        for _ in range(minutes * 2):
            status = await self.operation(name)
            if status.state.is_terminal:
                return status
            await self.later(seconds=30)
        pool = await self.pool()
        raise AssertionError(f"{name} still runs: {status}; {pool and pool.status}")

    async def later(self, **duration):
        await self.clock.sleep_until(self.clock.now().world.after(timedelta(**duration)))

    async def nodes(self):
        return (await self.clusters.kube(KEY).list(NODES)).items

    async def machines(self):
        return await self.cloud.list_machines(KEY)


STATE = ProvisioningState
SYSTEM = pool_spec(name="system", count=1)
