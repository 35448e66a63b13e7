"""Who makes Nodes of the cloud's machines: kubelets of its own, or somebody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from poolwright.model.cluster_key import ClusterKey
from poolwright.providers.simulated.surroundings import Surroundings

Retire = Callable[[ClusterKey, str], Awaitable[None]]
"""Told when a machine that ceased has no Node any more."""


class NodeSide(Protocol):
    """The nodes of one cluster, in line with its machines."""

    @property
    def is_cut_off(self) -> bool:
        """Whether the cluster has not been reached for a while; perhaps another process can."""
        ...

    def machine_changed(self, name: str) -> None:
        """The machine has a new course or began a new segment of it."""
        ...

    async def run(self) -> None:
        """Keep the cluster's nodes in line with the machines, for ever."""
        ...


NewNodeSide = Callable[[ClusterKey, Surroundings, Retire], NodeSide]
