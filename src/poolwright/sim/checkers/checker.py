"""What a checker sees, and what it is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from poolwright.model.cluster_key import ClusterKey, PoolKey
from poolwright.model.instant import Instant
from poolwright.ports.clock import Clock
from poolwright.ports.kube import ClusterView
from poolwright.ports.store import Change, Store
from poolwright.providers.simulated.cloud import SimulatedCloud


@dataclass(slots=True)
class Scene:
    """The true world, past all faults: the store itself, the cloud itself, a view of its own."""

    cluster: ClusterKey
    clock: Clock
    store: Store
    cloud: SimulatedCloud
    view: ClusterView
    stall_max: timedelta
    """How long, in world time, a call that was planned may be under way."""
    lag_max: timedelta
    """How long, in world time, what is seen may lie behind."""
    passes: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Finished passes by controller and key."""
    violations: list[str] = field(default_factory=list[str])
    probes: Counter[str] = field(default_factory=Counter[str])
    """What came about in this world, and how often: a sweep that never saw it proved nothing."""

    @property
    def now(self) -> Instant:
        """World time."""
        return self.clock.now().world

    def broken(self, promise: str, what: str) -> None:
        """A promise does not hold; said once."""
        seconds = self.now.micros / 1e6
        if not any(f"{promise}: {what}" in known for known in self.violations):
            self.violations.append(f"[world {seconds:.1f} s] {promise}: {what}")

    def pool_key(self, pool: str) -> PoolKey:
        """The key of a pool of the scene's cluster."""
        return PoolKey(self.cluster, pool)


class Checker:
    """Watches a scene. Every hook may call `Scene.broken`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def on_change(self, change: Change) -> None:
        """A record of the API or of the cloud changed."""

    def on_object(self, change: Change) -> None:
        """An object of the cluster changed, as its API server stored it."""

    def on_nodes(self, pool: str) -> None:
        """A node of the pool, or a pod on it, changed."""

    async def at_calm(self) -> None:
        """Everything has settled; the world stands still from here on."""

    async def at_end(self) -> None:
        """The world stood still for a while; it ends."""
