"""Token buckets of the AKS resource provider; off unless a setting asks for them.

Source: AKS quotas doc (facts aks-api §3.6, §5.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from poolwright.arm.errors import Throttled
from poolwright.arm.routing import Route
from poolwright.ports.clock import Clock

_BUCKETS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket: how many requests at once, and how many it gains per second.

    ``names`` are the template names whose values have a bucket of their own.
    """

    burst: int
    per_second: float
    names: tuple[str, ...]


_OPERATION_STATUS = Limit(200, 2, ("subscription",))
_OTHER = Limit(60, 1, ("subscription",))
_LIMITS: Mapping[tuple[str, str], Limit] = {
    # (method, resource type, with "/one" where the path names the resource): limit
    ("GET", "managedclusters"): Limit(60, 1, ("subscription", "resource_group")),
    ("GET", "managedclusters/one"): Limit(60, 1, ("subscription", "resource_group", "cluster")),
    ("PUT", "managedclusters/one"): Limit(
        20, 1 / 60, ("subscription", "resource_group", "cluster")
    ),
    ("PUT", "managedclusters/agentpools/one"): Limit(
        20, 1 / 60, ("subscription", "resource_group", "cluster", "pool")
    ),
    ("GET", "locations/operations/one"): _OPERATION_STATUS,
    ("GET", "locations/operationresults/one"): _OPERATION_STATUS,
}
_LIST_OF_SUBSCRIPTION = Limit(500, 1, ("subscription",))


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Throttle:
    """Counts requests per bucket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[object, ...], _Bucket] = {}

    def take(self, route: Route, names: Mapping[str, str]) -> None:
        """Take a token for a request.

        Raises:
            Throttled: the bucket is empty; ``retry_after`` says when the next token comes.
        """
        if route.namespace.lower() != "microsoft.containerservice":
            return
        limit = _limit_of(route)
        key = (limit, *(names.get(name, "").lower() for name in limit.names))
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS_MAX:
                self._buckets.clear()
            bucket = self._buckets[key] = _Bucket(limit.burst, now)
        gained = (now - bucket.at) * limit.per_second
        bucket.tokens = min(float(limit.burst), bucket.tokens + gained)
        bucket.at = now
        if bucket.tokens < 1:
            wait = math.ceil((1 - bucket.tokens) / limit.per_second)
            raise Throttled(
                f"The request is being throttled. Please try again after {wait} seconds.",
                code="Throttled",
                retry_after=max(1, wait),
            )
        bucket.tokens -= 1


def _limit_of(route: Route) -> Limit:
    names_one = route.segments[-1].startswith("{")
    kind = route.resource_type.lower() + ("/one" if names_one else "")
    is_of_group = "{resource_group}" in route.segments
    if (route.method, kind) == ("GET", "managedclusters") and not is_of_group:
        return _LIST_OF_SUBSCRIPTION
    return _LIMITS.get((route.method, kind), _OTHER)
