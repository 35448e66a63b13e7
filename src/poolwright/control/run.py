"""Running all controllers: who is woken by what, and what is looked at when a process starts."""

from __future__ import annotations

from asyncio import Task, TaskGroup
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

from poolwright.control.act import Actor
from poolwright.control.agent_pool import AgentPoolController
from poolwright.control.autoscaler import AutoscalerController
from poolwright.control.components import ComponentsController
from poolwright.control.contact import ContactController
from poolwright.control.managed_cluster import ManagedClusterController
from poolwright.control.orphans import OrphansController
from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.bounds import Bounds, check_bounds
from poolwright.model.cluster_key import ClusterKey, PoolKey
from poolwright.model.errors import Transient, Unknown
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.record import Stored
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Change, Store
from poolwright.reconcile.loop import Loop, LoopSettings, Pass, supervise

ARM = "arm/"

LOOK_AGAIN = timedelta(seconds=1)
"""Real time until the first look at everything is tried again."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How control behaves."""

    components_namespace: str = "default"
    """Namespace of the managed GPU components; AKS' own guide looks for them in ``default``."""
    actions_max: int = 100
    """Actions of one pass over one pool, 1 to 1000; more passes follow at once."""
    parallel: int = 16
    """Actions of one pass in flight at once, 1 to 256."""
    pools: LoopSettings = field(
        default_factory=lambda: LoopSettings(debounce=timedelta(milliseconds=50))
    )
    """The loops of agent pools and clusters; nodes and pods wake them, so they wait for bursts."""
    autoscaler: LoopSettings = field(
        default_factory=lambda: LoopSettings(debounce=timedelta(milliseconds=500))
    )
    """The loop of the autoscaler: it scans when something changed, at most this often."""
    others: LoopSettings = field(default_factory=LoopSettings)
    """The loops of components, orphans and contact with adopted clusters."""

    BOUNDS: ClassVar[Bounds] = {"actions_max": (1, 1000), "parallel": (1, 256)}

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)


def cluster_key(scope: str) -> ClusterKey | None:
    """The cluster of a scope; None for the scope of a subscription."""
    try:
        return ClusterKey.parse(scope.removeprefix(ARM))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Outside:
    """The ports."""

    store: Store
    provider: MachineProvider
    clusters: Clusters
    control_planes: ControlPlanes
    clock: Clock
    identity: Identity


class _Control:
    """The controllers of one process, their loops, and what wakes them."""

    def __init__(
        self,
        outside: _Outside,
        rng: Random,
        settings: ControlSettings,
        holder: str,
        on_pass: Callable[[Pass], None] | None,
    ) -> None:
        self._store = store = outside.store
        self._provider = provider = outside.provider
        self._clusters = clusters = outside.clusters
        self._clock = clock = outside.clock
        self._rng = rng
        self._settings = settings
        actor = Actor(provider, clusters, clock, outside.identity, parallel=settings.parallel)

        def loop(controller: Any, loop_settings: LoopSettings) -> Loop[Any]:
            return Loop(
                controller,
                clock,
                rng,
                loop_settings,
                leases=store,
                holder=holder,
                on_pass=on_pass,
            )

        self._pools: Loop[PoolKey] = loop(
            AgentPoolController(
                store, provider, clusters, clock, actor, actions_max=settings.actions_max
            ),
            settings.pools,
        )
        self._managed: Loop[ClusterKey] = loop(
            ManagedClusterController(store, provider, clusters, outside.control_planes, clock),
            settings.pools,
        )
        self._components_of = ComponentsController(
            store, clusters, clock, namespace=settings.components_namespace
        )
        self._components: Loop[ClusterKey] = loop(self._components_of, settings.others)
        self._orphans: Loop[ClusterKey] = loop(
            OrphansController(store, provider, clusters, clock), settings.others
        )
        self._autoscaler: Loop[ClusterKey] = loop(
            AutoscalerController(store, clusters, clock, outside.identity), settings.autoscaler
        )
        self._contact: Loop[ClusterKey] = loop(
            ContactController(store, clusters, outside.control_planes, clock, outside.identity),
            settings.others,
        )
        self._names: dict[ClusterKey, dict[str, None]] = {}
        self._stopping: dict[ClusterKey, None] = {}
        self._adopted: dict[ClusterKey, None] = {}
        self._followed: dict[ClusterKey, tuple[Task[None], ...]] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        async with TaskGroup() as group:
            self._group = group
            for loop in self._loops():
                group.create_task(loop.run())
            self._supervise("control/records", self._follow_records)
            self._supervise("control/machines", self._follow_machines)

    def _loops(self) -> tuple[Loop[Any], ...]:
        return (
            self._pools,
            self._managed,
            self._components,
            self._orphans,
            self._autoscaler,
            self._contact,
        )

    def _supervise(self, name: str, work: Callable[[], Any]) -> Task[None]:
        return self._group.create_task(
            supervise(
                name, work, self._clock, self._rng, raise_bugs=self._settings.others.raise_bugs
            )
        )

    # -- what wakes ----------------------------------------------------------------------------

    async def _follow_records(self) -> None:
        """Wake by every change of a record; everything is looked at once when we start, and again
        whenever the stream broke. The list comes after the subscription: nothing is missed.
        """
        lister = self._group.create_task(self._look_at_everything())
        try:
            async for change in self._store.follow(ARM):
                self._on_record(change)
        finally:
            lister.cancel()

    async def _look_at_everything(self) -> None:
        while True:
            try:
                pools = await self._store.find(ARM, AGENT_POOL)
                clusters = await self._store.find(ARM, MANAGED_CLUSTER)
                scopes = await self._store.scopes(ARM)
            except (Transient, Unknown):
                await self._clock.sleep(LOOK_AGAIN)
                continue
            for pool in pools:
                self._on_pool(pool)
            for cluster in clusters:
                self._on_cluster(cluster)
            for scope in scopes:  # operations outlive their cluster, and so may machines
                key = cluster_key(scope)
                if key is not None:
                    self._orphans.wake(key)
            return

    def _on_record(self, change: Change) -> None:
        key = cluster_key(change.scope)
        if key is None:
            return
        record: Stored[Any, Any] = change.record
        if record.kind.name == AGENT_POOL.name:
            self._on_pool(record)
            if change.deleted:
                self._names.get(key, {}).pop(record.name, None)
                self._orphans.wake(key)
            if change.deleted or _changes_spec(change):
                self._components.wake(key)
        elif record.kind.name == MANAGED_CLUSTER.name:
            if change.deleted:
                self._unfollow(key)
                return
            self._on_cluster(record)
            if _concerns_pools(change):
                self._clusters.wake(key)
                self._orphans.wake(key)
                self._components.wake(key)
                self._autoscaler.wake(key)
                self._wake_pools(key)

    def _on_pool(self, record: Stored[Any, Any]) -> None:
        key = cluster_key(record.scope)
        if key is not None:
            self._names.setdefault(key, {})[record.name] = None
            self._pools.wake(PoolKey(key, record.name))
            self._managed.wake(key)
            self._autoscaler.wake(key)

    def _on_cluster(self, record: Stored[Any, Any]) -> None:
        key = cluster_key(record.scope)
        if key is None:
            return
        self._managed.wake(key)
        if record.spec.is_adopted and key not in self._adopted:
            self._adopted[key] = None
            self._contact.wake(key)
        if record.spec.is_stopped and not record.status.provisioning_state.is_terminal:
            self._stopping[key] = None
        else:
            self._stopping.pop(key, None)
        if record.status.running_kubernetes_version and key not in self._followed:
            self._components.wake(key)
            self._followed[key] = (
                self._supervise(f"control/view/{key}", lambda: self._follow_view(key)),
                self._supervise(f"control/components/{key}", lambda: self._guard_components(key)),
            )

    def _unfollow(self, key: ClusterKey) -> None:
        self._names.pop(key, None)
        self._stopping.pop(key, None)
        self._adopted.pop(key, None)
        self._clusters.forget(key)  # whoever of us removed it
        for task in self._followed.pop(key, ()):
            task.cancel()

    async def _follow_machines(self) -> None:
        async for change in self._provider.changes():
            self._pools.wake(PoolKey(change.cluster, change.pool))
            if change.cluster in self._stopping:
                self._managed.wake(change.cluster)
            if change.pool not in self._names.get(change.cluster, {}):
                self._orphans.wake(change.cluster)

    async def _follow_view(self, key: ClusterKey) -> None:
        view = self._clusters.view(key)
        changes = view.changes()
        was_synced = False
        if view.is_synced:
            was_synced = True
            self._on_synced(key)
        async for change in changes:
            if change.pool:
                self._pools.wake(PoolKey(key, change.pool))
                if change.pool not in self._names.get(key, {}):
                    self._orphans.wake(key)
            elif view.is_synced and not was_synced:
                # A pool without nodes was perhaps planned before the view could be believed.
                was_synced = True
                self._on_synced(key)
            self._autoscaler.wake(key)

    def _on_synced(self, key: ClusterKey) -> None:
        """The nodes of a cluster are known from now on."""
        self._wake_pools(key)
        self._orphans.wake(key)

    def _wake_pools(self, key: ClusterKey) -> None:
        for name in self._names.get(key, {}):
            self._pools.wake(PoolKey(key, name))

    async def _guard_components(self, key: ClusterKey) -> None:
        await self._components_of.changes(key)
        self._components.wake(key)


def _changes_spec(change: Change) -> bool:
    before = change.previous
    return (
        before is None
        or before.generation != change.record.generation
        or (before.deleted_at != change.record.deleted_at)
    )


def _concerns_pools(change: Change) -> bool:
    """Whether a cluster's change lets its pools go on: its spec, the version that runs, or that
    it was lost or regained.
    """
    before, after = change.previous, change.record
    if before is None:
        return True
    return (
        before.generation != after.generation
        or before.status.running_kubernetes_version != after.status.running_kubernetes_version
        or before.status.control_plane_ready_at != after.status.control_plane_ready_at
        or before.status.outage != after.status.outage
    )


async def run_control(  # noqa: PLR0913, PLR0917 (one per port; only composition roots call it)
    store: Store,
    provider: MachineProvider,
    clusters: Clusters,
    control_planes: ControlPlanes,
    clock: Clock,
    identity: Identity,
    rng: Random,
    settings: ControlSettings,
    holder: str,
    *,
    on_pass: Callable[[Pass], None] | None = None,
) -> None:
    """Run all controllers until cancelled. ``holder`` names this replica for its leases."""
    outside = _Outside(store, provider, clusters, control_planes, clock, identity)
    await _Control(outside, rng, settings, holder, on_pass).run()
