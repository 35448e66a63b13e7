"""Machines whose Node somebody deleted, and when each is reimaged so that it registers again.

As on AKS the machine stays and is counted, and its kubelet does not register a second time by
itself. Node auto-repair takes up what said nothing for ten minutes; an operation does not wait for
that, and repairs at once what it found without a Node.

Source: learn.microsoft.com, "Azure Kubernetes Service (AKS) node auto-repair".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from poolwright.model.agent_pool import AgentPoolStatus
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.plan.world import Member, later

REPAIR_AFTER = timedelta(minutes=10)
"""How long a node may say nothing at all. Source: the page above."""
REGISTERS_WITHIN = timedelta(minutes=1)
"""How long after its bootstrap a machine's Node may take to be seen."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A machine without its Node. ``repair_at`` is None for one that is not (again) reimaged."""

    member: Member
    since: Instant
    repair_at: Instant | None

    @property
    def is_in_repair(self) -> bool:
        """Whether it is reimaged, or will be."""
        return self.repair_at is not None or self.member.machine.phase is not MachinePhase.RUNNING


@dataclass(frozen=True, slots=True)
class Loss:
    """The machines without a Node, and when others would be among them."""

    missing: tuple[Missing, ...]
    wakes: tuple[Instant, ...]


def find_loss(
    members: Iterable[Member],
    status: AgentPoolStatus,
    now: Instant,
    *,
    started_at: Instant | None,
    outage_ended_at: Instant | None,
) -> Loss:
    """Who lacks a Node. ``started_at`` is that of the operation that runs, if one does."""
    missing: list[Missing] = []
    wakes: list[Instant] = []
    for member in members:
        if member.node is not None:
            continue
        since = status.missing_since.get(member.name)
        if since is None:
            if member.machine.phase is not MachinePhase.RUNNING:
                continue
            ran_since = later(member.machine.phase_since, outage_ended_at)
            if ran_since.after(REGISTERS_WITHIN) > now:
                wakes.append(ran_since.after(REGISTERS_WITHIN))
                continue
            since = now
        at = _repair_at(member, later(since, outage_ended_at), now, started_at)
        missing.append(Missing(member, since, at))
        if at is not None and at > now:
            wakes.append(at)
    return Loss(tuple(missing), tuple(wakes))


def _repair_at(
    member: Member, since: Instant, now: Instant, started_at: Instant | None
) -> Instant | None:
    """Once per operation and once per loss: a machine that does not register after that never
    will, and somebody should look at it.
    """
    machine = member.machine
    if machine.phase is not MachinePhase.RUNNING or member.is_outdated:
        return None  # it is on its way, or is reimaged for what it runs
    if started_at is not None:
        return now if machine.phase_since < started_at else None
    return since.after(REPAIR_AFTER) if machine.phase_since <= since else None
