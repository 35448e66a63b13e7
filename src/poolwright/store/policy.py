"""What each part of the store is owed (ADR 0001)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How the embedded store keeps a scope.

    ``survives_power_cut``: an acknowledged write is on the disk, not only with the kernel.
    ``keeps_log``: changes are also written to a table, so that a watch can resume after a restart.
    """

    survives_power_cut: bool
    keeps_log: bool


POLICIES = {
    "arm": Policy(survives_power_cut=True, keeps_log=True),
    "cloud": Policy(survives_power_cut=True, keeps_log=False),
    "kube": Policy(survives_power_cut=False, keeps_log=False),
}
"""By the first part of the scope's name."""

LOG_LIMIT = 10_000
"""Changes of a scope that the log keeps at least."""
LOG_SLACK = 1_024
"""Compaction runs once in so many revisions."""


def policy_of(scope: str) -> Policy:
    """The policy of a scope; the safest one if its part of the store is unknown."""
    return POLICIES.get(scope.partition("/")[0], POLICIES["arm"])


def compaction_floor(before: int, after: int) -> int | None:
    """Up to which revision the log may be forgotten when a scope moves from ``before`` to
    ``after``, or None if it is not time.
    """
    if before // LOG_SLACK == after // LOG_SLACK or after <= LOG_LIMIT:
        return None
    return after - LOG_LIMIT
