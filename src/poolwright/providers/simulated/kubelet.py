"""The kubelets of one cluster: what happens to the pods that are bound to its nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolwright.model.cluster_key import ClusterKey
from poolwright.ports.kube import Kube
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class PodKey:
    """A pod in the outbox."""

    uid: str


class Kubelets:
    """Follows pods."""

    def __init__(
        self,
        cluster: ClusterKey,
        around: Surroundings,
        nodes: dict[str, NodeState],
        write: Callable[[PodKey | str], None],
    ) -> None:
        self._nodes = nodes

    async def follow(self, kube: Callable[[], Kube]) -> None:
        """Follow."""

    async def write(self, kube: Kube, key: PodKey) -> None:
        """Write."""

    def node_alive(self, name: str) -> None:
        """Alive."""

    def node_dead(self, name: str) -> None:
        """Dead."""

    def node_gone(self, name: str) -> None:
        """Gone."""
