"""No machine loses its disk for nothing: what already has an image is not given the same again.

A reimage that arrives twice, or late, must miss: it carries the uid that it was planned for.
"""

from __future__ import annotations

from poolwright.model.machine import MachinePhase
from poolwright.ports.store import Change
from poolwright.providers.simulated.ledger import MACHINE
from poolwright.sim.checkers.checker import Checker


class ReimageOnce(Checker):
    """Compares each new incarnation in the cloud's ledger with the one before."""

    def on_change(self, change: Change) -> None:
        """A new incarnation has a new image, or the old one had failed."""
        record, previous = change.record, change.previous
        if record.kind.name != MACHINE.name or previous is None or change.deleted:
            return
        before, after = previous.status, record.status
        had_failed = before.segment_at(self.scene.now).phase is MachinePhase.FAILED
        if before.uid != after.uid and before.bootstrap == after.bootstrap and not had_failed:
            machine = record.spec.request.name
            self.scene.broken("no needless reimage", f"{machine}: {before.uid} → {after.uid}")
