"""`Succeeded` means that the nodes are there: ready, and with their GPUs allocatable."""

from __future__ import annotations

from typing import Any

import msgspec

from poolwright.model.agent_pool import AGENT_POOL, ProvisioningState
from poolwright.model.gpu import InstallProfile
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.node import Node
from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker, Scene

_PROMISING = {
    ProvisioningState.CREATING,
    ProvisioningState.SCALING,
    ProvisioningState.UPGRADING,
    ProvisioningState.UPGRADING_NODE_IMAGE,
    ProvisioningState.STARTING,
}
_GPU = "nvidia.com/gpu"


class SuccessIsReal(Checker):
    """Counts a pool's nodes when it becomes Succeeded, as the API server has them."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._nodes: dict[str, Node] = {}
        self._is_stopped = False

    def on_object(self, change: Change) -> None:
        """Remember nodes."""
        if change.record.kind.name == "/nodes":
            if change.deleted:
                self._nodes.pop(change.record.name, None)
            else:
                wire: dict[str, Any] = msgspec.json.decode(change.record.spec)
                self._nodes[change.record.name] = Node.from_object(wire)

    def on_change(self, change: Change) -> None:
        """Compare at the moment of success."""
        record, previous = change.record, change.previous
        if record.kind.name == MANAGED_CLUSTER.name:
            self._is_stopped = record.spec.is_stopped
        if record.kind.name != AGENT_POOL.name or previous is None or change.deleted:
            return
        if (
            record.status.provisioning_state is not ProvisioningState.SUCCEEDED
            or previous.status.provisioning_state not in _PROMISING
            or record.spec.is_stopped
            or self._is_stopped
        ):
            return
        has_gpus = record.spec.install_profile is InstallProfile.EVERYTHING
        good = [
            node
            for node in self._nodes.values()
            if node.pool == record.name
            and node.is_ready
            and (not has_gpus or node.allocatable.get(_GPU, 0) > 0)
        ]
        if len(good) < record.spec.count:
            self.scene.broken(
                "success is real", f"{record.name}: {len(good)} of {record.spec.count} nodes"
            )
