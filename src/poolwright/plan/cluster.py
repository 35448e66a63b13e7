"""What to do next with one managed cluster: its control plane, and its end with that of its pools.

How long a control plane takes is data here, as for any world time that nobody can observe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from poolwright.model.agent_pool import (
    AgentPoolSpec,
    AgentPoolStatus,
    OperationState,
    ProvisioningState,
)
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Instant
from poolwright.model.managed_cluster import ManagedClusterSpec, ManagedClusterStatus
from poolwright.model.record import Stored
from poolwright.plan.plan import CANCELED, SUCCEEDED, OperationEnd, failed

Pool = Stored[AgentPoolSpec, AgentPoolStatus]


class Change(StrEnum):
    """What is being done to a control plane."""

    CREATE = "create"
    UPGRADE = "upgrade"
    STOP = "stop"
    START = "start"


CHANGE_TIME: Mapping[Change, timedelta] = {
    # Typical for AKS; creation and upgrade as in the timings of az's own scenario recordings.
    Change.CREATE: timedelta(minutes=4),
    Change.UPGRADE: timedelta(minutes=5),
    Change.STOP: timedelta(minutes=1),
    Change.START: timedelta(minutes=2),
}

START_DEADLINE = timedelta(minutes=30)
"""How long the nodes of a started cluster may take: a GPU node's 10 minutes plus 20 (decisions)."""


@dataclass(frozen=True, slots=True)
class ControlPlaneState:
    """A control plane as observed."""

    version: str
    is_running: bool


@dataclass(frozen=True, slots=True)
class ClusterWorld:
    """All that planning one cluster needs. ``running_machines`` counts what is not deallocated."""

    key: ClusterKey
    cluster: Stored[ManagedClusterSpec, ManagedClusterStatus]
    pools: Sequence[Pool]
    control_plane: ControlPlaneState | None
    running_machines: int = 0


@dataclass(frozen=True, slots=True)
class PutControlPlane:
    """Make, upgrade, stop or start the control plane."""

    version: str
    running: bool
    because: str


@dataclass(frozen=True, slots=True)
class DeleteControlPlane:
    """Remove the control plane with everything in it."""

    because: str


@dataclass(frozen=True, slots=True)
class DeletePool:
    """Mark a pool as deleted."""

    pool: Pool
    because: str


ClusterAction = PutControlPlane | DeleteControlPlane | DeletePool


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """As `PoolPlan`, for a cluster."""

    status: ManagedClusterStatus
    actions: tuple[ClusterAction, ...] = ()
    end: OperationEnd | None = None
    is_gone: bool = False
    wake_at: Instant | None = None
    operation_message: str = ""


def plan_cluster(world: ClusterWorld, now: Instant) -> ClusterPlan:
    """Decide the next actions, status and wake-up of one managed cluster."""
    cluster = world.cluster
    if cluster.deleted_at is not None:
        return _removal(world)
    if cluster.status.is_halted and not cluster.status.provisioning_state.is_terminal:
        end = OperationEnd(OperationState.CANCELED, CANCELED)
        return ClusterPlan(replace(_ended(cluster.status, end), error=None), end=end)
    if cluster.status.provisioning_state.is_terminal:
        return _assert_control_plane(world)
    return _run(world, now)


def _removal(world: ClusterWorld) -> ClusterPlan:
    status = world.cluster.status
    because = "the cluster is being deleted"
    if world.pools:
        message = f"{len(world.pools)} agent pools are being deleted"
        return ClusterPlan(
            replace(status, message=message),
            actions=tuple(DeletePool(p, because) for p in world.pools if p.deleted_at is None),
        )
    if world.control_plane is not None:
        return ClusterPlan(replace(status, message=""), actions=(DeleteControlPlane(because),))
    return ClusterPlan(status, end=SUCCEEDED, is_gone=True)


def _ended(status: ManagedClusterStatus, end: OperationEnd) -> ManagedClusterStatus:
    return replace(
        status,
        provisioning_state=end.provisioning_state,
        operation_id=None,
        abort_operation_id=None,
        operation_started_at=None,
        operation_deadline=None,
        control_plane_ready_at=None,
        error=end.error,
        message="",
    )


def _assert_control_plane(world: ClusterWorld) -> ClusterPlan:
    """Between operations: what ran must run on, whatever happened to who serves it."""
    status, spec = world.cluster.status, world.cluster.spec
    if spec.is_adopted or status.is_halted or not status.running_kubernetes_version:
        return ClusterPlan(status)
    want = ControlPlaneState(status.running_kubernetes_version, not spec.is_stopped)
    if world.control_plane == want:
        return ClusterPlan(status)
    return ClusterPlan(
        status,
        actions=(
            PutControlPlane(want.version, want.is_running, "the control plane is not as was"),
        ),
    )


def _change(world: ClusterWorld) -> Change | None:
    """What has to be done to the control plane, or None if it is as wanted."""
    spec, have = world.cluster.spec, world.control_plane
    if spec.is_adopted:
        return None
    if have is None:
        return Change.CREATE
    if spec.is_stopped:
        return Change.STOP if have.is_running else None
    if not have.is_running:
        return Change.START
    return Change.UPGRADE if have.version != spec.current_kubernetes_version else None


_WORDS: Mapping[Change, str] = {
    # Words that AKS shows while an operation runs; the others show as InProgress.
    Change.CREATE: "ProvisioningControlPlane",
}


def _run(world: ClusterWorld, now: Instant) -> ClusterPlan:
    status, spec = world.cluster.status, world.cluster.spec
    status = replace(
        status,
        observed_generation=world.cluster.generation,
        operation_started_at=status.operation_started_at or now,
    )
    change = _change(world)
    if change is None:
        return _finish(world, replace(status, control_plane_ready_at=None), now)
    if change is Change.STOP and world.running_machines:
        message = f"{world.running_machines} machines still run"
        return ClusterPlan(replace(status, message=message))
    ready_at = status.control_plane_ready_at or now.after(CHANGE_TIME[change])
    status = replace(status, control_plane_ready_at=ready_at, message=f"control plane: {change}")
    if ready_at > now:
        return ClusterPlan(status, wake_at=ready_at, operation_message=_WORDS.get(change, ""))
    version = spec.current_kubernetes_version
    if change is Change.STOP and world.control_plane is not None:
        version = world.control_plane.version
    return ClusterPlan(
        status,
        actions=(PutControlPlane(version, not spec.is_stopped, f"the cluster wants to {change}"),),
        operation_message=_WORDS.get(change, ""),
    )


def _finish(world: ClusterWorld, status: ManagedClusterStatus, now: Instant) -> ClusterPlan:
    """The control plane is as wanted: wait for the pools, then end the operation."""
    spec, state = world.cluster.spec, status.provisioning_state
    if world.control_plane is not None and not spec.is_stopped and not spec.is_adopted:
        status = replace(status, running_kubernetes_version=world.control_plane.version)
    if spec.is_stopped:
        return ClusterPlan(_ended(status, SUCCEEDED), end=SUCCEEDED)
    waiting = [p for p in world.pools if not p.status.provisioning_state.is_terminal]
    if waiting:
        nodes = sum(p.spec.count for p in world.pools)
        ready = sum(min(p.status.ready_count, p.spec.count) for p in world.pools)
        word = f"CreatingAgentPools: {ready}/{nodes} nodes completed"
        names = ", ".join(p.name for p in waiting)
        return ClusterPlan(
            replace(status, message=f"waiting for agent pools {names}: {ready}/{nodes} nodes"),
            operation_message=word if state is ProvisioningState.CREATING else "",
        )
    if state is ProvisioningState.STARTING:
        late = [p for p in world.pools if not p.spec.is_stopped and _lacks_nodes(p)]
        deadline = status.operation_deadline or now.after(START_DEADLINE)
        if late and deadline > now:
            names = ", ".join(p.name for p in late)
            waiting_status = replace(
                status, operation_deadline=deadline, message=f"starting the nodes of {names}"
            )
            return ClusterPlan(waiting_status, wake_at=deadline)
        if late:
            return _end(status, failed("NodesNotReady", _not_ready_text(late)))
    return _end(status, _outcome(world, state))


def _end(status: ManagedClusterStatus, end: OperationEnd) -> ClusterPlan:
    return ClusterPlan(_ended(status, end), end=end)


def _lacks_nodes(pool: Pool) -> bool:
    return pool.status.ready_count < pool.spec.count


def _not_ready_text(pools: Sequence[Pool]) -> str:
    expected = sum(p.spec.count for p in pools)
    actual = sum(p.status.ready_count for p in pools)
    return f"Not all nodes reached Ready state. Expected: {expected}, Actual: {actual}"


def _outcome(world: ClusterWorld, state: ProvisioningState) -> OperationEnd:
    """Failed if the operation made pools and one of them failed."""
    if state not in {ProvisioningState.CREATING, ProvisioningState.UPGRADING}:
        return SUCCEEDED
    bad = [p for p in world.pools if p.status.provisioning_state is ProvisioningState.FAILED]
    if not bad:
        return SUCCEEDED
    details = tuple(
        ErrorDetail(
            p.status.error.code if p.status.error else "InternalOperationError",
            p.status.error.message if p.status.error else f"Agent pool {p.name} failed.",
            p.name,
        )
        for p in bad
    )
    return failed(details[0].code, f"Agent pool {bad[0].name}: {details[0].message}", details)
