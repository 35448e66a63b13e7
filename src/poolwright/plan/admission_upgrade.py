"""Rules of upgrade settings: surge, unavailable, drain and soak times."""

from __future__ import annotations

import re

from poolwright.model.agent_pool import (
    AgentPoolSpec,
    PoolMode,
    ProvisioningState,
    UndrainableNodeBehavior,
)
from poolwright.model.errors import Unsupported
from poolwright.model.limits import TODAY
from poolwright.plan.admission_message import bad_request, invalid

_AMOUNT = re.compile(r"(\d{1,4})(%?)")
EFFECTIVE_SURGE = "10%"
"""Source: AKS upgrade-aks-node-pools-rolling."""


def amount(text: str, count: int) -> int:
    """``3`` → 3; ``33%`` of ``count``, rounded up.

    Raises:
        ValueError: not an amount.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError(f"{text!r} is no amount")
    number = int(match[1])
    return -(-number * count // 100) if match[2] else number


def check_upgrade_settings(spec: AgentPoolSpec, state: ProvisioningState) -> None:
    """Check upgrade settings, and that an upgrade's surge fits the pool's limit.

    Raises:
        InvalidRequest: target ``agentPoolProfile.upgradeSettings.…``.
    """
    settings = spec.upgrade_settings
    where = "agentPoolProfile.upgradeSettings"
    if spec.accepted.get("upgradeStrategy") == "BlueGreen":
        raise Unsupported(
            "The upgrade strategy BlueGreen is not supported by this server; use Rolling.",
            target="agentPoolProfile.upgradeStrategy",
        )
    for name, text in (
        ("maxSurge", settings.max_surge),
        ("maxUnavailable", settings.max_unavailable),
        ("maxBlockedNodes", settings.max_blocked_nodes),
    ):
        if text is None:
            continue
        try:
            amount(text, spec.count)
        except ValueError:
            raise invalid(
                f"{where}.{name}", f"'{text}' is neither a number nor a percentage up to 100%"
            ) from None
    surge = settings.max_surge or EFFECTIVE_SURGE
    unavailable = settings.max_unavailable or "0"
    if _AMOUNT.sub(r"\1", surge) == "0" and _AMOUNT.sub(r"\1", unavailable) == "0":
        raise invalid(f"{where}.maxSurge", "maxSurge and maxUnavailable cannot both be 0")
    if spec.mode is PoolMode.SYSTEM and _AMOUNT.sub(r"\1", unavailable) != "0":
        raise invalid(f"{where}.maxUnavailable", "maxUnavailable cannot be used on System pools")
    _check_minutes(spec)
    if (
        settings.max_blocked_nodes is not None
        and settings.undrainable_node_behavior is UndrainableNodeBehavior.SCHEDULE
    ):
        raise invalid(f"{where}.maxBlockedNodes", "maxBlockedNodes needs behavior Cordon")
    upgrades = state in {ProvisioningState.UPGRADING, ProvisioningState.UPGRADING_NODE_IMAGE}
    if upgrades and spec.count + amount(surge, spec.count) > TODAY.nodes_per_pool:
        # Source: AKS release notes 2026-08.
        raise bad_request(
            f"The agent pool has {spec.count} nodes; with a surge of {surge} the upgrade would "
            f"need more than {TODAY.nodes_per_pool}. Reduce maxSurge or the node count.",
            target=f"{where}.maxSurge",
        )


def _check_minutes(spec: AgentPoolSpec) -> None:
    settings = spec.upgrade_settings
    where = "agentPoolProfile.upgradeSettings"
    drain, soak = settings.drain_timeout_in_minutes, settings.node_soak_duration_in_minutes
    if drain is not None and not 5 <= drain <= 1440:  # Source: AKS release notes 2024
        raise invalid(
            f"{where}.drainTimeoutInMinutes", "the value must be between 5 and 1440 minutes"
        )
    if soak is not None and not 0 <= soak <= 30:
        raise invalid(
            f"{where}.nodeSoakDurationInMinutes", "the value must be between 0 and 30 minutes"
        )
