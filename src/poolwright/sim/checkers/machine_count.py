"""A pool never has more machines than its count plus its surge."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Any

from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.model.record import Stored
from poolwright.plan.admission_upgrade import EFFECTIVE_SURGE, amount
from poolwright.ports.store import Change
from poolwright.providers.simulated.ledger import MACHINE
from poolwright.sim.checkers.checker import Checker, Scene

_SLACK = timedelta(minutes=5)


class MachineCount(Checker):
    """Counts in the cloud's ledger whenever a machine is made. A machine that is being deleted does
    not count. A foreign provider cannot check a generation (architecture, rule 4), so two things
    are forgiven: a creation that was under way when the count was lowered, for as long as a call
    can be under way; and a name that existed before, for names are used once, so that is the late
    copy of a creation whose machine has gone. What they leave behind must be gone in the end.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._bounds: dict[str, deque[tuple[Instant, int]]] = {}
        self._machines: dict[str, dict[str, Stored[Any, Any]]] = {}
        self._ended: set[str] = set()

    def on_change(self, change: Change) -> None:
        """Remember bounds; count at each creation."""
        record = change.record
        if record.kind.name == AGENT_POOL.name and change.scope == self.scene.cluster.arm_scope:
            spec: AgentPoolSpec = record.spec
            bounds = self._bounds.setdefault(record.name, deque())
            gone = change.deleted or record.deleted_at is not None
            bounds.append((self.scene.now, 0 if gone else _bound(spec)))
        elif record.kind.name == MACHINE.name:
            request = record.spec.request
            machines = self._machines.setdefault(request.pool, {})
            is_new = record.name not in machines
            if change.deleted:
                machines.pop(record.name, None)
                self._ended.add(record.name)
            elif record.name not in self._ended:
                machines[record.name] = record
                if is_new:
                    self._count(request.pool, machines)

    def _count(self, pool: str, machines: dict[str, Stored[Any, Any]]) -> None:
        now = self.scene.now
        alive = [
            name
            for name, record in machines.items()
            if record.status.segment_at(now).phase is not MachinePhase.DELETING
        ]
        most = self._bound_at(pool, now)
        if len(alive) > most:
            self.scene.broken("machines ≤ count + surge", f"{pool}: {len(alive)} of {most}")

    def _bound_at(self, pool: str, now: Instant) -> int:
        bounds = self._bounds.get(pool, deque[tuple[Instant, int]]())
        since = now.after(-(self.scene.stall_max + _SLACK))
        while len(bounds) > 1 and bounds[1][0] <= since:
            bounds.popleft()
        return max((bound for _, bound in bounds), default=0)


def _bound(spec: AgentPoolSpec) -> int:
    surge = spec.upgrade_settings.max_surge or EFFECTIVE_SURGE
    return spec.count + amount(surge, spec.count)
