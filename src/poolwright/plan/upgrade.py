"""How an upgrade may roll: how many machines extra, how many nodes away at once.

Source: AKS "Customize node surge" and "upgrade-aks-node-pools-rolling" (2026-05): a percentage is
of the count, rounded up; surge is capped by what is left to upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from poolwright.model.agent_pool import AgentPoolSpec, AgentPoolStatus, UndrainableNodeBehavior
from poolwright.model.limits import TODAY
from poolwright.plan.admission_upgrade import EFFECTIVE_SURGE, amount

DRAIN_TIMEOUT = timedelta(minutes=30)
"""Source: AKS, default of ``drainTimeoutInMinutes``."""


def surge_count(setting: str, *, count: int, left: int) -> int:
    """How many extra machines an upgrade may hold at once: at most ``left``, and never so many
    that the pool would pass its limit.
    """
    return max(0, min(amount(setting, count), left, TODAY.nodes_per_pool - count))


@dataclass(frozen=True, slots=True)
class RollRule:
    """The effective upgrade settings of a pool. ``surge`` is not yet capped by what is left."""

    surge: int
    unavailable: int
    drain_timeout: timedelta
    soak: timedelta
    quarantines: bool
    blocked_max: int
    """How many nodes may end up quarantined before the upgrade fails."""


def roll_rule(spec: AgentPoolSpec, status: AgentPoolStatus) -> RollRule:
    """The settings with their defaults, and with the surge that the region could give.

    With both, absence is the fallback for when no surge fits. A rule that allows neither would
    never move: then one node may be away.
    """
    settings = spec.upgrade_settings
    declared = settings.max_surge or EFFECTIVE_SURGE
    surge = surge_count(declared, count=spec.count, left=spec.count)
    if status.surge_limit is not None:
        surge = min(surge, status.surge_limit)
    unavailable = amount(settings.max_unavailable or "0", spec.count) if surge == 0 else 0
    if surge == 0 and unavailable == 0:
        unavailable = 1
    # Source: AKS upgrade-aks-node-pools-rolling: maxBlockedNodes is maxSurge unless it is set.
    blocked = settings.max_blocked_nodes
    if blocked is None:
        blocked = declared if amount(declared, spec.count) else EFFECTIVE_SURGE
    minutes = settings.drain_timeout_in_minutes
    return RollRule(
        surge=surge,
        unavailable=min(unavailable, spec.count),
        drain_timeout=DRAIN_TIMEOUT if minutes is None else timedelta(minutes=minutes),
        soak=timedelta(minutes=settings.node_soak_duration_in_minutes or 0),
        quarantines=settings.undrainable_node_behavior is UndrainableNodeBehavior.CORDON,
        blocked_max=amount(blocked, spec.count),
    )


def may_go_in_place(spec: AgentPoolSpec) -> bool:
    """Whether the user allows nodes to be away without a surge node in their place."""
    return amount(spec.upgrade_settings.max_unavailable or "0", spec.count) > 0
