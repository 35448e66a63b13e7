"""The embedded cluster's scheduler and controllers: thin runners of what `plan.kubernetes` decides.

Every one is woken by the change it cares about and works through the loop of `reconcile`; when
nothing changes, nothing runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from poolwright.kubesim.controllers.account_secret import (
    AccountSecretController,
    SignAccountSecret,
)
from poolwright.kubesim.controllers.daemon_set import DaemonNodeController, DaemonSetController
from poolwright.kubesim.controllers.garbage import GarbageController
from poolwright.kubesim.controllers.node_lifecycle import NodeLifecycleController
from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.role_aggregation import aggregate_roles
from poolwright.kubesim.controllers.root_certificate import publish_root_certificate
from poolwright.kubesim.controllers.scheduler import SchedulerController
from poolwright.kubesim.controllers.state import ClusterState, Following
from poolwright.kubesim.controllers.volume import (
    ClaimController,
    PodClaimController,
    VolumeController,
)
from poolwright.kubesim.controllers.workload import (
    BudgetController,
    DeploymentController,
    JobController,
    ReplicaController,
    StatefulSetController,
    WorkloadController,
)
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.system_pods import install_system_pods
from poolwright.plan.kubernetes.replica_set import REPLICATION_CONTROLLER
from poolwright.ports.clock import Clock, Identity
from poolwright.reconcile.loop import Controller, Loop, LoopSettings, supervise


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """How one cluster's controllers run."""

    sign_account_secret: SignAccountSecret
    system_pods: bool = True
    """Whether the usual kube-system workloads are installed; off in scale tests."""
    kubernetes_minor: int = 35
    """The cluster's minor version; some wording depends on it."""
    ca_pem: bytes = b""
    """What ``kube-root-ca.crt`` holds."""
    raise_bugs: bool = False
    """Whether a bug ends the process: true in simulations, which must not hide one."""


_TOGETHER = timedelta(milliseconds=50)  # numbers of many pods that move at once are written once


async def run_controllers(
    registry: Registry, clock: Clock, identity: Identity, settings: ControllerSettings
) -> None:
    """Run the scheduler and all controllers of one cluster until cancelled.

    What they keep is made from changes; when some were missed, they start over.
    """
    reloaded = asyncio.Event()
    end = registry.on_reload(reloaded.set)
    try:
        while True:
            reloaded.clear()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(_run(registry, clock, identity, settings))
                await reloaded.wait()
                running.cancel()
    finally:
        end()


async def _run(
    registry: Registry, clock: Clock, identity: Identity, settings: ControllerSettings
) -> None:
    rng = Random(f"{registry.cluster}/controllers")  # jitter of back-off only
    following = Following(registry)
    state = ClusterState(following, clock)
    performer = Performer(registry, clock)
    loops: list[Loop[Any]] = []

    def loop_of(
        controller: Controller[Any], *, workers: int = 8, debounce: timedelta = timedelta()
    ) -> Loop[Any]:
        loop = Loop(
            controller,
            clock,
            rng,
            LoopSettings(workers=workers, debounce=debounce, raise_bugs=settings.raise_bugs),
        )
        loops.append(loop)
        return loop

    parts = (following, state, performer, clock)
    scheduler = SchedulerController(*parts, settings.kubernetes_minor)
    daemons = DaemonNodeController(*parts)
    nodes = NodeLifecycleController(*parts)
    garbage = GarbageController(following, performer)
    account_secrets = AccountSecretController(
        registry, performer, settings.ca_pem, settings.sign_account_secret
    )
    workloads: tuple[WorkloadController, ...] = (
        ReplicaController(*parts),
        ReplicaController(*parts, REPLICATION_CONTROLLER),
        StatefulSetController(*parts),
        DeploymentController(*parts),
        JobController(*parts),
        BudgetController(*parts),
        ClaimController(*parts),
        VolumeController(*parts),
        PodClaimController(*parts),
    )
    sets = DaemonSetController(following, state, daemons, performer)
    totals = loop_of(sets, debounce=_TOGETHER)
    scheduler.start(loop_of(scheduler, workers=1))
    daemons.start(loop_of(daemons, workers=64), totals)
    nodes.start(loop_of(nodes, workers=32))
    garbage.start(loop_of(garbage))
    account_secrets.start(loop_of(account_secrets), following)
    for workload in workloads:
        workload.start(loop_of(workload, debounce=_TOGETHER))

    def endless(name: str, work: Callable[[], Awaitable[None]]) -> Coroutine[Any, Any, None]:
        return supervise(name, work, clock, rng, raise_bugs=settings.raise_bugs)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(following.until_lost())
            for loop in loops:
                group.create_task(loop.run())
            group.create_task(endless("events", performer.write_events))
            group.create_task(endless("finished_pods", nodes.sweep_terminated))
            certificate = partial(publish_root_certificate, registry, settings.ca_pem)
            group.create_task(endless("root_certificate", certificate))
            group.create_task(endless("roles", partial(aggregate_roles, registry)))
            if settings.system_pods:
                await install_system_pods(registry)
    finally:
        following.end()


__all__ = ["ControllerSettings", "run_controllers"]
