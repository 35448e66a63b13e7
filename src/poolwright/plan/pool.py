"""What to do next with one agent pool: the planner that `control` follows.

``plan_agent_pool`` is pure and total. By what the pool is asked to be, one of: removal, the end of
an aborted operation, waiting for the control plane, stopping, upkeep only (after a failure or an
abort, until the next accepted write), or a `Rollout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from poolwright.model.agent_pool import (
    AgentPoolStatus,
    OperationState,
    ProvisioningState,
)
from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.model.managed_cluster import Outage
from poolwright.model.version import KubernetesVersion
from poolwright.plan.actions import Action, DeleteMachine, StopMachine
from poolwright.plan.plan import CANCELED, SUCCEEDED, OperationEnd, PoolPlan, failed
from poolwright.plan.readiness import ready_within
from poolwright.plan.rollout import Rollout
from poolwright.plan.upgrade import may_go_in_place
from poolwright.plan.upkeep import plan_strays, plan_upkeep
from poolwright.plan.waiting import operation_message, slow_from
from poolwright.plan.world import Member, PoolWorld, later, observe_members

OUTAGE_PATIENCE = timedelta(hours=1)
"""How long an operation waits for a cluster that cannot be reached before it fails."""
REFUSAL_PAUSE = timedelta(minutes=5)
"""How long growth pauses after a refusal when no operation waits for it."""


def plan_agent_pool(world: PoolWorld, now: Instant) -> PoolPlan:
    """Decide the next actions, status and wake-up of one agent pool."""
    pool = world.pool
    if pool.deleted_at is not None:
        return _removal(world)
    if pool.status.is_halted and not pool.status.provisioning_state.is_terminal:
        return _cancel(pool.status)
    if world.cluster_status.outage is not None:
        return _wait_out(world, world.cluster_status.outage, now)
    waiting = _waits_for_control_plane(world)
    if waiting:
        return PoolPlan(status=replace(pool.status, message=waiting))
    if pool.spec.is_stopped or world.cluster.is_stopped:
        return _stop(world, now)
    if world.nodes is None:
        return PoolPlan(status=pool.status)
    if pool.status.is_halted or pool.status.provisioning_state in {
        ProvisioningState.FAILED,
        ProvisioningState.CANCELED,
    }:
        return _upkeep_only(world)
    return _run(world, now)


# -- the simple cases ------------------------------------------------------------------------------


def _removal(world: PoolWorld) -> PoolPlan:
    """Every machine goes, without a drain; then the record."""
    actions: list[Action] = [
        DeleteMachine(m.name, m.uid, "the agent pool is being deleted")
        for m in world.machines
        if m.phase is not MachinePhase.DELETING
    ]
    status = replace(
        world.pool.status,
        machine_count=len(world.machines),
        ready_count=0,
        pending_machines=(),
        drains={},
        message=f"{len(world.machines)} machines are being deleted",
    )
    return PoolPlan(
        status=status,
        actions=tuple(actions[: world.actions_max]),
        end=None if world.machines else SUCCEEDED,
        is_gone=not world.machines,
    )


def _ended(status: AgentPoolStatus, end: OperationEnd, **changes: object) -> AgentPoolStatus:
    """The status with everything gone that belongs to a running operation."""
    return replace(
        status,
        provisioning_state=end.provisioning_state,
        operation_id=None,
        abort_operation_id=None,
        operation_started_at=None,
        operation_deadline=None,
        pending_machines=(),
        surge_limit=None,
        drains={},  # the next operation gives each its whole time again
        error=end.error,
        message="",
        **changes,
    )


def _cancel(status: AgentPoolStatus) -> PoolPlan:
    """End an aborted operation; nothing is rolled back."""
    end = OperationEnd(OperationState.CANCELED, CANCELED)
    return PoolPlan(status=replace(_ended(status, end), error=None), end=end)


def _wait_out(world: PoolWorld, outage: Outage, now: Instant) -> PoolPlan:
    """Nothing is decided on an old picture. The operation says what it waits for; it goes on with
    a new deadline, or ends when nobody should wait any longer.
    """
    status = world.pool.status
    if status.provisioning_state.is_terminal:
        return PoolPlan(status=status)
    started_at = status.operation_started_at or now
    until = max(outage.since, started_at).after(OUTAGE_PATIENCE)
    if until <= now:
        end = OperationEnd(OperationState.FAILED, outage.error)
        return PoolPlan(status=_ended(status, end), end=end)
    waiting = replace(
        status,
        operation_started_at=started_at,
        operation_deadline=None,
        message=outage.error.message,
    )
    return PoolPlan(
        status=waiting,
        wake_at=until,
        operation_message=f"WaitingForAPIServer: {outage.error.message}",
        percent=_percent(status, world.pool.spec.count),
    )


def _waits_for_control_plane(world: PoolWorld) -> str:
    running = world.cluster_status.running_kubernetes_version
    if not running:
        return "waiting for the control plane"
    wanted = KubernetesVersion.parse(world.pool.spec.kubernetes_version)
    if wanted > KubernetesVersion.parse(running) and not world.cluster.profile:
        return f"waiting for the control plane to run {wanted}"
    return ""


_STOPPABLE = frozenset({MachinePhase.CREATING, MachinePhase.BOOTSTRAPPING, MachinePhase.RUNNING})


def _stop(world: PoolWorld, now: Instant) -> PoolPlan:
    """Deallocate everything, without a drain; done when nothing runs."""
    status = world.pool.status
    running = [m for m in world.machines if m.phase in _STOPPABLE]
    going = [m for m in world.machines if m.phase is MachinePhase.DELETING]
    actions = tuple(
        StopMachine(m.name, m.uid, "the agent pool shall be stopped")
        for m in running[: world.actions_max]
    )
    is_own = world.pool.spec.is_stopped
    shown = replace(
        status,
        machine_count=len(world.machines) - len(going),
        ready_count=0,
        drains={},
        pending_machines=(),
        operation_started_at=status.operation_started_at or now,
        message=f"{len(running)} machines still run" if running else "",
    )
    if is_own and not running and not going and not status.provisioning_state.is_terminal:
        return PoolPlan(status=_ended(shown, SUCCEEDED), end=SUCCEEDED)
    if status.provisioning_state.is_terminal:
        shown = replace(shown, operation_started_at=status.operation_started_at)
    return PoolPlan(status=shown, actions=actions)


def _counted(status: AgentPoolStatus, members: Sequence[Member]) -> AgentPoolStatus:
    there = [m for m in members if m.machine.phase is not MachinePhase.DELETING]
    return replace(status, machine_count=len(there), ready_count=sum(m.is_ready for m in there))


def _upkeep_only(world: PoolWorld) -> PoolPlan:
    """After a failure or an abort: nodes are kept well, machines are left as they are.

    What the operation had cordoned is given back, because nobody goes on to drain it.
    """
    members = observe_members(world)
    patches: list[Action] = [*plan_upkeep(members, world.pool.spec, cordons={})]
    patches += plan_strays(world)
    return PoolPlan(
        status=replace(_counted(world.pool.status, members), drains={}),
        actions=tuple(patches[: world.actions_max]),
    )


# -- a running pool --------------------------------------------------------------------------------


def _run(world: PoolWorld, now: Instant) -> PoolPlan:
    status = world.pool.status
    running = not status.provisioning_state.is_terminal
    started_at = (status.operation_started_at or now) if running else None
    members = observe_members(world)
    rollout = Rollout(world, now, started_at=started_at)
    rollout.run(members)
    deadline = None
    if running:
        deadline = status.operation_deadline or _deadline(rollout, now)
    names = {m.name for m in members}
    status = replace(
        _counted(status, members),
        observed_generation=world.pool.generation,
        operation_started_at=started_at,
        operation_deadline=deadline,
        vmss_number=rollout.number,
        next_machine_index=rollout.next_index,
        pending_machines=tuple(rollout.pending),
        leaving=tuple(name for name in status.leaving if name in names),
        drains=rollout.drains,
        missing_since={lost.member.name: lost.since for lost in rollout.missing},
        current_kubernetes_version=_current_version(rollout, status),
        message=_message(rollout),
        error=None if running else status.error,
    )
    wakes = list(rollout.wakes)
    if rollout.is_cut:
        wakes.append(now)
    if running and deadline is not None:
        late = list(_late(rollout, started_at or now))
        end = _end(rollout, late, deadline, now)
        if end is not None:
            return _ending(world, rollout, status, end)
        wakes += [deadline, *late, *slow_from(rollout, status, now)]
    return PoolPlan(
        status=status,
        actions=tuple(rollout.actions),
        wake_at=min(wakes, default=None),
        operation_message=operation_message(rollout, status, now) if running else "",
        percent=_percent(status, world.pool.spec.count),
    )


def _deadline(rollout: Rollout, now: Instant) -> Instant:
    """When the operation fails at the latest: decisions §2, plus the drains it has to do."""
    base = ready_within(rollout.want)
    if rollout.outdated:
        at_once = max(1, rollout.rule.surge or rollout.rule.unavailable)
        waves = -(-len(rollout.outdated) // at_once)
        return now.after(base + waves * (base + rollout.rule.drain_timeout + rollout.rule.soak))
    if len(rollout.members) > rollout.spec.count:
        return now.after(base + rollout.rule.drain_timeout)
    return now.after(base)


def _late(rollout: Rollout, started_at: Instant) -> Iterable[Instant]:
    """When each member that is not ready should be, counted from this operation on."""
    within = ready_within(rollout.want)
    for member in rollout.alive:
        if not member.is_ready and not member.is_failed and member.memory is None:
            began_at = max(member.machine.phase_since, started_at)
            yield later(began_at, rollout.world.cluster_status.outage_ended_at).after(within)


def _end(
    rollout: Rollout, late: Sequence[Instant], deadline: Instant, now: Instant
) -> OperationEnd | None:
    """Whether the operation ends with this pass, and how."""
    if rollout.undrainable:
        return _undrainable(rollout)
    if rollout.is_blocked and not rollout.quarantine:
        return _quarantined(rollout, f", more than maxBlockedNodes ({rollout.rule.blocked_max})")
    coming = sum(at > now for at in late)
    stuck = [m for m in rollout.alive if not m.is_ready]
    if now >= deadline or ((rollout.failures or late) and not coming and not rollout.drains):
        return _not_ready(rollout, stuck)
    busy = rollout.actions or rollout.going or rollout.drains or rollout.outdated
    if busy or len(rollout.alive) != rollout.spec.count or coming:
        return None
    if rollout.quarantined and rollout.status.provisioning_state in _UPGRADES:
        return _quarantined(rollout)
    return SUCCEEDED


_UPGRADES = frozenset({ProvisioningState.UPGRADING, ProvisioningState.UPGRADING_NODE_IMAGE})


def _quarantined(rollout: Rollout, excess: str = "") -> OperationEnd:
    names = ", ".join(m.name for m in rollout.quarantined)
    return failed(
        "UpgradeFailed", f"Nodes could not be drained and are quarantined{excess}: {names}"
    )


def _undrainable(rollout: Rollout) -> OperationEnd:
    details: list[ErrorDetail] = []
    for name, drain in rollout.undrainable:
        pod = next(iter(drain.remaining), "(none left; the node could not be cordoned)")
        by = f" Too Many Requests: budget {drain.blocked_by}." if drain.blocked_by else ""
        details.append(
            ErrorDetail("PodDrainFailure", f"Drain node {name} failed when evicting pod {pod}.{by}")
        )
    return failed("PodDrainFailure", details[0].message, tuple(details))


def _not_ready(rollout: Rollout, stuck: Sequence[Member]) -> OperationEnd:
    """Failed, naming node, step and code: the provider's own code where it has one."""
    details = tuple(_member_error(member) for member in stuck[:20])
    expected = rollout.spec.count
    actual = sum(m.is_ready for m in rollout.alive)
    summary = f"Not all nodes reached Ready state. Expected: {expected}, Actual: {actual}."
    provider = next((m.machine.failure for m in stuck if m.machine.failure is not None), None)
    if provider is not None:
        return failed(provider.code, provider.message, details)
    first = f" {details[0].message}" if details else ""
    return failed("NodesNotReady", summary + first, details)


def _member_error(member: Member) -> ErrorDetail:
    failure = member.machine.failure
    unmet = member.unmet
    step = unmet.step if unmet else "Ready"
    text = failure.message if failure else (unmet.message if unmet else "")
    code = failure.code if failure else "NodesNotReady"
    return ErrorDetail(code, f"Node {member.name}, step {step}: {text}", member.name)


def _ending(
    world: PoolWorld, rollout: Rollout, status: AgentPoolStatus, end: OperationEnd
) -> PoolPlan:
    spec = world.pool.spec
    # A success says what the next pass would: a second write would move the ETag that clients
    # have just read.
    message = status.message if end is SUCCEEDED else ""
    return PoolPlan(
        status=replace(_ended(status, end), leaving=(), message=message),
        actions=() if end is not SUCCEEDED and not rollout.quarantine else tuple(rollout.actions),
        spec=replace(spec, doomed_machines=()) if spec.doomed_machines else None,
        end=end,
        percent=100,
    )


def _current_version(rollout: Rollout, status: AgentPoolStatus) -> str:
    """The version that nodes run: the old one until the last of them is new."""
    if status.current_kubernetes_version and rollout.outdated:
        return status.current_kubernetes_version
    return rollout.spec.kubernetes_version


def _message(rollout: Rollout) -> str:
    ready = sum(m.is_ready for m in rollout.alive)
    text = f"{ready}/{rollout.spec.count} nodes ready"
    if rollout.outdated:
        text += f", {len(rollout.outdated)} to upgrade"
    waiting = next((m for m in rollout.alive if m.unmet is not None), None)
    if waiting is not None and waiting.unmet is not None:
        text += f"; {waiting.name}: {waiting.unmet.step}, {waiting.unmet.message}"
    return text


def _percent(status: AgentPoolStatus, count: int) -> int:
    return min(99, 100 * status.ready_count // max(1, count))


# -- refusals --------------------------------------------------------------------------------------


def plan_refusal(world: PoolWorld, error: ErrorDetail, now: Instant) -> PoolPlan:
    """What follows when a machine was refused for quota, capacity or its size.

    In an upgrade: as many surge machines as fit; with none, in place where the user allows it.
    Else the operation fails; without an operation the autoscaler gives the count back, and a
    fixed count is tried again later.
    """
    spec, status = world.pool.spec, world.pool.status
    status = replace(status, pending_machines=())
    alive = [
        m
        for m in world.machines
        if m.phase not in {MachinePhase.DELETING, MachinePhase.STOPPED, MachinePhase.FAILED}
    ]
    extra = len(alive) - spec.count
    if extra >= 1 or (extra == 0 and may_go_in_place(spec)):
        limited = replace(status, surge_limit=extra, message=f"surge limited: {error.message}")
        return PoolPlan(status=limited, wake_at=now)
    if not status.provisioning_state.is_terminal:
        end = OperationEnd(OperationState.FAILED, error)
        return PoolPlan(status=_ended(status, end), end=end)
    pause = now.after(REFUSAL_PAUSE)
    if spec.enable_auto_scaling and len(alive) < spec.count:
        count = max(len(alive), spec.min_count or 0)
        return PoolPlan(
            status=replace(status, scale_up_backoff_until=pause, message=error.message),
            spec=replace(spec, count=count) if count < spec.count else None,
            wake_at=pause,
        )
    return PoolPlan(status=replace(status, message=error.message), wake_at=pause)
