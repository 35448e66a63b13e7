"""Rules of the cluster autoscaler's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolwright.model.agent_pool import AgentPoolSpec, PoolMode
from poolwright.model.errors import InvalidRequest
from poolwright.plan.admission_message import invalid


def check_autoscaler(given: Mapping[str, Any], old: AgentPoolSpec | None) -> None:
    """Check minCount, maxCount and, at creation, count between them.

    The upper limit is checked with the count. Bounds that are sent although the autoscaler is
    off do not count (§ PUT: they read back null).

    Raises:
        InvalidRequest: a bound is missing or out of range.
    """
    if not given.get("enable_auto_scaling", old.enable_auto_scaling if old else False):
        return
    low = given.get("min_count", old.min_count if old else None)
    high = given.get("max_count", old.max_count if old else None)
    for name, value in (("minCount", low), ("maxCount", high)):
        if value is None:
            raise InvalidRequest(
                f"Required parameter properties.{name} is missing (null).",
                code="InvalidParameter",
                target=f"properties.{name}",
            )
    assert low is not None
    assert high is not None
    mode = given.get("mode") or (old.mode if old else PoolMode.USER)
    if low < (1 if mode == PoolMode.SYSTEM else 0):
        raise invalid(
            "agentPoolProfile.minCount", f"minCount was {low}; a System pool needs at least 1"
        )
    if low > high:
        raise invalid(
            "agentPoolProfile.minCount",
            f"minCount {low} must be less than or equal to maxCount {high}",
        )
    if high < 1:
        raise invalid("agentPoolProfile.maxCount", f"maxCount was {high}")
    count = given.get("count")
    if old is None and count is not None and not low <= count <= high:
        raise invalid(
            "agentPoolProfile.count",
            f"count {count} must be between minCount {low} and maxCount {high} with the "
            "cluster autoscaler",
        )
