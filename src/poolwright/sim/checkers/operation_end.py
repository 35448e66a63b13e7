"""Every operation reaches exactly one terminal state, and keeps it."""

from __future__ import annotations

from poolwright.model.agent_pool import OPERATION, OperationState
from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker, Scene


class OperationEnd(Checker):
    """Follows every operation's state."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._states: dict[str, OperationState] = {}

    def on_change(self, change: Change) -> None:
        """A terminal state never changes; an operation that runs is not removed."""
        record = change.record
        if record.kind.name != OPERATION.name:
            return
        before, now = self._states.get(record.name), record.status.state
        self._states[record.name] = now
        if now.is_terminal and before is not now:
            whose = "pool" if record.spec.pool else "cluster"
            self.scene.probes[f"{whose} {record.spec.type} {now}"] += 1
        if before is not None and before.is_terminal and before is not now:
            self.scene.broken("operation ends once", f"{record.name}: {before} became {now}")
        if change.deleted and not now.is_terminal:
            self.scene.broken("operation ends once", f"{record.name} vanished while {now}")
        if now.is_terminal and record.status.ended_at is None:
            self.scene.broken("operation ends once", f"{record.name} is {now} without an end")

    async def at_calm(self) -> None:
        """None runs any more."""
        for name, state in self._states.items():
            if not state.is_terminal:
                self.scene.broken("operation ends once", f"{name} is still {state}")
