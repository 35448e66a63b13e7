"""What the ARM front does by itself: deleting resource groups, carrying out deployments, and
forgetting operations that ended long ago.

Each runs in the one loop of `reconcile`, woken by changes of records.
"""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Callable
from random import Random
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.deployment_controller import DeploymentController, DeploymentKey
from poolwright.arm.deployments import DEPLOYMENT, TERMINAL
from poolwright.arm.operation_retention import KEPT_FOR, OperationRetention
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.resource_group_deletion import (
    Perform,
    ResourceGroupDeletion,
    ResourceGroupKey,
)
from poolwright.arm.resource_groups import DELETING
from poolwright.model.agent_pool import AGENT_POOL, OPERATION
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.record import Stored
from poolwright.ports.store import Change
from poolwright.reconcile.loop import Loop, LoopSettings, Pass, supervise
from poolwright.reconcile.records import follow_records

_ARM = "arm/"


class _Background:
    """The loops, and what wakes them. ``_running`` are deployments that have not ended: a
    change of any cluster or pool of their subscription may be what they wait for.
    """

    def __init__(
        self,
        context: ArmContext,
        perform: Perform,
        rng: Random,
        holder: str,
        settings: LoopSettings,
        on_pass: Callable[[Pass], None] | None,
    ) -> None:
        self._store = context.store
        self._clock = context.clock
        self._rng = rng
        self._settings = settings

        def loop(controller: Any) -> Loop[Any]:
            return Loop(
                controller,
                context.clock,
                rng,
                settings,
                leases=context.store,
                holder=holder,
                on_pass=on_pass,
            )

        self._groups: Loop[ResourceGroupKey] = loop(ResourceGroupDeletion(context, perform))
        self._deployments: Loop[DeploymentKey] = loop(DeploymentController(context, perform))
        self._operations: Loop[str] = loop(OperationRetention(context.store, context.clock))
        self._running: dict[DeploymentKey, None] = {}

    async def run(self) -> None:
        async with TaskGroup() as group:
            group.create_task(self._groups.run())
            group.create_task(self._deployments.run())
            group.create_task(self._operations.run())
            group.create_task(
                supervise(
                    "arm/records",
                    self._follow,
                    self._clock,
                    self._rng,
                    raise_bugs=self._settings.raise_bugs,
                )
            )

    async def _follow(self) -> None:
        await follow_records(self._store, _ARM, self._look, self._on_change)

    async def _look(self) -> None:
        for group in await self._store.find(_ARM, RESOURCE_GROUP):
            self._on_group(group)
        for deployment in await self._store.find(_ARM, DEPLOYMENT):
            self._on_deployment(deployment)
        for cluster in await self._store.find(_ARM, MANAGED_CLUSTER):
            self._groups.wake(_group_of(cluster.scope))
        for scope in await self._store.scopes(_ARM):
            self._operations.wake(scope)

    def _on_change(self, change: Change) -> None:
        record: Stored[Any, Any] = change.record
        kind = record.kind.name
        if kind == RESOURCE_GROUP.name:
            if not change.deleted:
                self._on_group(record)
        elif kind == DEPLOYMENT.name:
            self._on_deployment(record)
        elif kind in {MANAGED_CLUSTER.name, AGENT_POOL.name}:
            group = _group_of(change.scope)
            if kind == MANAGED_CLUSTER.name and (change.deleted or change.previous is None):
                self._groups.wake(group)
            for key in self._running:
                if key.subscription == group.subscription and _state_moved(change):
                    self._deployments.wake(key)
        elif kind == OPERATION.name and change.previous is None:
            self._operations.wake(change.scope, self._clock.now().world.after(KEPT_FOR))

    def _on_group(self, record: Stored[Any, Any]) -> None:
        if record.status.state == DELETING:
            subscription = record.scope.removeprefix(_ARM)
            self._groups.wake(ResourceGroupKey(subscription, record.name))

    def _on_deployment(self, record: Stored[Any, Any]) -> None:
        key = DeploymentKey(record.scope.removeprefix(_ARM), record.name)
        if record.status.state in TERMINAL:
            self._running.pop(key, None)
        else:
            self._running[key] = None
            self._deployments.wake(key)


def _group_of(scope: str) -> ResourceGroupKey:
    """The resource group that the scope of a cluster is in."""
    subscription, resource_group, _ = scope.removeprefix(_ARM).split("/", 2)
    return ResourceGroupKey(subscription, resource_group)


def _state_moved(change: Change) -> bool:
    """Whether a cluster or pool came, went, or entered another provisioning state."""
    before, after = change.previous, change.record
    return (
        before is None
        or change.deleted
        or before.status.provisioning_state != after.status.provisioning_state
    )


async def run_background(
    context: ArmContext,
    perform: Perform,
    rng: Random,
    *,
    holder: str,
    settings: LoopSettings | None = None,
    on_pass: Callable[[Pass], None] | None = None,
) -> None:
    """Run all until cancelled. ``perform`` is `ArmApp.perform`; ``holder`` names this replica."""
    await _Background(context, perform, rng, holder, settings or LoopSettings(), on_pass).run()
