"""What a running operation says that it waits for."""

from __future__ import annotations

from collections.abc import Iterable

from poolwright.model.agent_pool import AgentPoolStatus, ProvisioningState
from poolwright.model.instant import Instant
from poolwright.plan.readiness import READY_GRACE, ready_within
from poolwright.plan.rollout import Rollout
from poolwright.plan.world import Member

_NAMED = 3
"""Pods of a drain that are named; there may be hundreds."""


def operation_message(rollout: Rollout, status: AgentPoolStatus, now: Instant) -> str:
    """The status word of a running operation: what it waits for beyond the usual time of machines,
    or of a creation how far it is, as AKS shows it.
    """
    if rollout.held:
        name, drain = rollout.held[0]
        left = ", ".join(drain.remaining[:_NAMED])
        return f"WaitingForDrain: {name} still has {left}; budget {drain.blocked_by} allows none"
    count = rollout.spec.count
    for lost in rollout.missing:
        unmet = lost.member.unmet
        if unmet is not None and lost.is_in_repair:
            why = f"{lost.member.name}: {unmet.step}, its Node was deleted, the machine is reimaged"
            return f"WaitingForNodes: {status.ready_count}/{count} nodes ready; {why}"
    for member in rollout.alive:
        if member.unmet is not None and _slow_since(member, status) <= now:
            why = f"{member.name}: {member.unmet.step}, {member.unmet.message}"
            return f"WaitingForNodes: {status.ready_count}/{count} nodes ready; {why}"
    if status.provisioning_state is ProvisioningState.CREATING:
        return f"CreatingAgentPool: {status.ready_count}/{count} nodes completed"
    return ""


def slow_from(rollout: Rollout, status: AgentPoolStatus, now: Instant) -> Iterable[Instant]:
    """When members will be slow that are not yet."""
    for member in rollout.alive:
        if member.unmet is not None and not member.is_failed:
            at = _slow_since(member, status)
            if at > now:
                yield at


def _slow_since(member: Member, status: AgentPoolStatus) -> Instant:
    """The end of its usual time, which begins anew with an operation."""
    usual = member.late_at.after(-READY_GRACE)
    began_at = status.operation_started_at
    if began_at is None:
        return usual
    within = ready_within(member.machine.bootstrap) - READY_GRACE
    return max(usual, began_at.after(within))
