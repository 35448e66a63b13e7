"""provisioningState moves only along its diagram.

Source: facts aks-api §2.7 and docs/contracts/records.md, R2 to R9.
"""

from __future__ import annotations

from poolwright.model.agent_pool import AGENT_POOL, ProvisioningState
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker

_S = ProvisioningState
_ENDS = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED})
_INTERRUPTED = frozenset({_S.CANCELING, _S.DELETING})
_STARTS = frozenset(_S) - _ENDS - {_S.CREATING, _S.CANCELING}


def may_follow(before: ProvisioningState, after: ProvisioningState) -> bool:
    """Whether the diagram has an arrow between two different states."""
    if before is _S.DELETING:
        return after in {_S.FAILED, _S.CANCELED}  # else the record goes
    if before is _S.CANCELING:
        return after in {_S.CANCELED, _S.DELETING}
    if before in _ENDS:
        return after in _STARTS
    return after in _ENDS | _INTERRUPTED


class StateDiagram(Checker):
    """Compares each change with the state before it."""

    def on_change(self, change: Change) -> None:
        """The state before and after must be joined by an arrow."""
        record, previous = change.record, change.previous
        if record.kind.name not in {AGENT_POOL.name, MANAGED_CLUSTER.name} or previous is None:
            return
        if change.deleted or previous.uid != record.uid:
            return
        before = previous.status.provisioning_state
        after = record.status.provisioning_state
        if before is not after and not may_follow(before, after):
            self.scene.broken("state diagram", f"{record.name}: {before} → {after}")
        if after.is_terminal and record.status.operation_id is not None:
            self.scene.broken("state diagram", f"{record.name} is {after} with an operation")
