"""While a pool is upgraded, its ready nodes never fall below count minus max-unavailable.

Source: AKS, upgrade-aks-node-pools-rolling (2026-05-29).
"""

from __future__ import annotations

from dataclasses import dataclass

from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec, ProvisioningState
from poolwright.plan.admission_upgrade import EFFECTIVE_SURGE, amount
from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker, Scene

_UPGRADES = {ProvisioningState.UPGRADING, ProvisioningState.UPGRADING_NODE_IMAGE}


@dataclass(frozen=True, slots=True)
class _Upgrade:
    generation: int
    floor: int


class ReadyFloor(Checker):
    """The floor is taken when an upgrade begins, from what was ready then; it lasts as long as
    nobody asks for something else.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._upgrades: dict[str, _Upgrade] = {}

    def _ready(self, pool: str) -> int:
        nodes = self.scene.view.nodes(pool)
        return sum(node.is_ready and not node.unschedulable for node in nodes)

    def on_change(self, change: Change) -> None:
        """Begin and end the watch over a pool."""
        record = change.record
        if record.kind.name != AGENT_POOL.name:
            return
        is_upgrade = (
            record.status.provisioning_state in _UPGRADES
            and not change.deleted
            and record.deleted_at is None
            and not record.status.is_halted
            and not record.spec.doomed_machines
            and not record.spec.is_stopped
        )
        if not is_upgrade or record.status.surge_limit is not None:
            self._upgrades.pop(record.name, None)
            return
        known = self._upgrades.get(record.name)
        if known is None or known.generation != record.generation:
            ready = min(self._ready(record.name), record.spec.count)
            floor = max(0, ready - _unavailable(record.spec))
            self._upgrades[record.name] = _Upgrade(record.generation, floor)

    def on_nodes(self, pool: str) -> None:
        """Count after every change of a node."""
        upgrade = self._upgrades.get(pool)
        if upgrade is not None and (ready := self._ready(pool)) < upgrade.floor:
            self.scene.broken("ready floor", f"{pool}: {ready} ready, {upgrade.floor} promised")


def _unavailable(spec: AgentPoolSpec) -> int:
    settings = spec.upgrade_settings
    if amount(settings.max_surge or EFFECTIVE_SURGE, spec.count) > 0:
        return 0
    return max(1, amount(settings.max_unavailable or "0", spec.count))
