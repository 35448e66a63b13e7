"""While a pool is upgraded, its ready nodes never fall below count minus max-unavailable.

Source: AKS, upgrade-aks-node-pools-rolling (2026-05-29).
"""

from __future__ import annotations

from dataclasses import dataclass

from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec, ProvisioningState
from poolwright.model.instant import Instant
from poolwright.plan.admission_upgrade import EFFECTIVE_SURGE, amount
from poolwright.plan.bootstrap import STARTUP_TAINT
from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker, Scene

_UPGRADES = {ProvisioningState.UPGRADING, ProvisioningState.UPGRADING_NODE_IMAGE}


@dataclass(frozen=True, slots=True)
class _Upgrade:
    generation: int
    floor: int


class ReadyFloor(Checker):
    """The floor is taken when an upgrade begins, from what was ready then, and for so long that
    whoever upgrades could have seen it; it lasts as long as nobody asks for something else.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._upgrades: dict[str, _Upgrade] = {}
        self._since: dict[str, dict[str, Instant]] = {}

    def _ready(self, pool: str) -> list[str]:
        return [
            node.name
            for node in self.scene.view.nodes(pool)
            if node.is_ready and not node.unschedulable and STARTUP_TAINT not in node.taints
        ]

    def _ready_for_long(self, pool: str) -> int:
        """Nodes whose readiness was no news when the upgrade began."""
        since = self._since.get(pool, {})
        now = self.scene.now
        return sum(at.after(self.scene.lag_max) <= now for at in since.values())

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
            ready = min(self._ready_for_long(record.name), record.spec.count)
            floor = max(0, ready - _unavailable(record.spec))
            self._upgrades[record.name] = _Upgrade(record.generation, floor)

    def on_nodes(self, pool: str) -> None:
        """Count after every change of a node."""
        names, before, now = self._ready(pool), self._since.get(pool, {}), self.scene.now
        self._since[pool] = {name: before.get(name, now) for name in names}
        upgrade = self._upgrades.get(pool)
        if upgrade is not None and len(names) < upgrade.floor:
            self.scene.broken(
                "ready floor", f"{pool}: {len(names)} ready, {upgrade.floor} promised"
            )


def _unavailable(spec: AgentPoolSpec) -> int:
    settings = spec.upgrade_settings
    if amount(settings.max_surge or EFFECTIVE_SURGE, spec.count) > 0:
        return 0
    return max(1, amount(settings.max_unavailable or "0", spec.count))
