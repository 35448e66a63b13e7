"""The controller that keeps looking whether adopted clusters answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from poolwright.control.act import POOL_API, write_event
from poolwright.control.records import resource_writes
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import PoolwrightError
from poolwright.model.instant import Instant
from poolwright.model.kubernetes import NODES
from poolwright.model.managed_cluster import MANAGED_CLUSTER, ManagedClusterSpec
from poolwright.model.record import Stored
from poolwright.model.version import check_adoptable
from poolwright.plan.contact import (
    LOOK_EVERY,
    ContactPlan,
    ContactWorld,
    Failing,
    Sight,
    Signs,
    failed_again,
    must_ask,
    plan_contact,
)
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.ports.store import Store
from poolwright.reconcile.loop import note

_log: Any = structlog.get_logger("poolwright.audit")

PATIENCE = timedelta(seconds=10)
"""Real time that one look may take."""


class ContactController:
    """Looks at one adopted cluster; records when it was lost and when it was regained."""

    name = "contact"

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        control_planes: ControlPlanes,
        clock: Clock,
        identity: Identity,
    ) -> None:
        self._store = store
        self._clusters = clusters
        self._control_planes = control_planes
        self._clock = clock
        self._identity = identity
        self._failing: dict[ClusterKey, Failing] = {}
        self._answered: dict[ClusterKey, Instant] = {}

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One look."""
        cluster = await self._store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if cluster is None or cluster.deleted_at is not None or not cluster.spec.is_adopted:
            self._failing.pop(key, None)
            self._answered.pop(key, None)
            return None
        began = self._clock.now()
        silent_for = self._clusters.silent_for(key)
        signs = Signs(silent_for, self._answered.get(key), key in self._failing)
        if not must_ask(cluster.status, signs, began.world):
            return began.world.after(LOOK_EVERY)
        sight = await self._look(key)
        if sight.failure:
            self._failing[key] = failed_again(self._failing.get(key), began)
        else:
            self._failing.pop(key, None)
            self._answered[key] = began.world
        failing = self._failing.get(key)
        world = ContactWorld(cluster, sight, failing and failing.since)
        plan = plan_contact(world, self._clock.now().world)
        note(failure=sight.failure or None, because=plan.because or None)
        writes = resource_writes(cluster, spec=plan.spec, status=plan.status, is_gone=False)
        if writes:
            await self._store.transact(key.arm_scope, writes)
        await self._tell(key, cluster, plan)
        return plan.wake_at

    async def _look(self, key: ClusterKey) -> Sight:
        """Whether it answers, is of a version that we know, lets us see nodes, and is ours."""
        kube = self._clusters.kube(key)
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                version = check_adoptable(await kube.version())
                await kube.list(NODES, field_selector="metadata.name=none")
                await self._control_planes.confirm(key)
        except TimeoutError:
            return Sight(failure=f"no answer within {PATIENCE.total_seconds():g} s")
        except PoolwrightError as error:
            return Sight(failure=error.message)
        except ValueError as error:
            return Sight(failure=str(error))
        return Sight(version=str(version))

    async def _tell(
        self, key: ClusterKey, cluster: Stored[ManagedClusterSpec, Any], plan: ContactPlan
    ) -> None:
        if plan.status.outage is not None and plan.because:
            _log.warning("cluster lost", cluster=str(key), because=plan.because)
        elif plan.because:
            _log.warning(
                "cluster regained" if plan.event is not None else "cluster changed",
                cluster=str(key),
                because=plan.because,
            )
        if plan.event is None:
            return
        about = {
            "apiVersion": POOL_API,
            "kind": "ManagedCluster",
            "name": key.name,
            "uid": cluster.uid,
        }
        try:
            await write_event(
                self._clusters.kube(key), self._clock, self._identity, about, plan.event
            )
        except PoolwrightError as error:
            _log.info("event not written", about=key.name, error=str(error))
