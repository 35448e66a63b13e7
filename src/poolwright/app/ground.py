"""What the product stands on: a Kubernetes of its own, or one that somebody else made.

Each is a choice of adapters; nothing behind the ports knows which was chosen.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol

import httpx

from poolwright.app.adopting import adopt_clusters
from poolwright.app.kubelet_relay import KubeletRelay
from poolwright.app.outside import Outside
from poolwright.app.settings import Settings
from poolwright.arm.context import ArmContext
from poolwright.kube.adopted import AdoptedControlPlanes
from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kubesim.api.application import BARE_PATHS, PREFIX
from poolwright.kubesim.server import KubeSim
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.node import Node
from poolwright.ports.kube import Clusters, ControlPlane, ControlPlanes
from poolwright.providers.kwok.fleet import KwokFleet
from poolwright.providers.kwok.node_object import owns
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.telemetry.metrics import Metrics

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
_CLUSTER_PATHS = (PREFIX, *BARE_PATHS)


class Ground(Protocol):
    """Control planes, how they are reached, and the machines under them."""

    @property
    def control_planes(self) -> ControlPlanes:
        """Who makes and ends control planes."""
        ...

    def transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """The transport to a control plane."""
        ...

    def owns(self, cluster: ClusterKey, node: Node) -> bool:
        """Whether a node of a cluster is of our machines, or of any."""
        ...

    def cloud(self, clusters: Clusters, rng: random.Random) -> SimulatedCloud:
        """Who makes machines; called once."""
        ...

    def app(self, path: str) -> App | None:
        """What serves a path of its own, if it is one."""
        ...

    def app_of_bearer(self, scope: Scope) -> App | None:
        """What gave a request its credential, if it did."""
        ...

    async def prepare(self, context: ArmContext) -> None:
        """What has to be before anything runs.

        Raises:
            PoolwrightError: it cannot be had.
        """
        ...

    def connections(self) -> AbstractAsyncContextManager[object]:
        """Open while anything runs."""
        ...

    async def run(self) -> None:
        """Everything that goes on in it, until cancelled."""
        ...

    def end_watches(self) -> None:
        """End what its clients would listen to for ever."""
        ...


class EmbeddedGround:
    """A Kubernetes in this process, on machines and kubelets that are simulated."""

    def __init__(self, outside: Outside, settings: Settings, metrics: Metrics) -> None:
        self._outside = outside
        self._settings = settings
        self._kubelet = KubeletRelay()
        self.control_planes = KubeSim(
            outside.store,
            outside.clock,
            outside.identity,
            self._kubelet,
            replace(settings.kubernetes, server_url=outside.endpoint, ca_pem=outside.ca_pem),
            metrics.on_listener_bug,
        )
        self._transport = AsgiTransport(self.control_planes.asgi_app)

    def transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """Every cluster of ours is served by this process."""
        del control_plane
        return self._transport

    def owns(self, cluster: ClusterKey, node: Node) -> bool:
        """A cluster of ours is ours with all its nodes."""
        del cluster, node
        return True

    def cloud(self, clusters: Clusters, rng: random.Random) -> SimulatedCloud:
        """A cloud whose kubelets the embedded API servers ask."""
        outside = self._outside
        cloud = SimulatedCloud(
            outside.store, clusters, outside.clock, outside.identity, rng, self._settings.cloud
        )
        self._kubelet.target = cloud.kubelet
        return cloud

    def app(self, path: str) -> App | None:
        """The API servers, by their paths."""
        is_ours = path.lstrip("/").partition("/")[0] in _CLUSTER_PATHS
        return self.control_planes.asgi_app if is_ours else None

    def app_of_bearer(self, scope: Scope) -> App | None:
        """The API servers, if the credential is of a kubeconfig of theirs."""
        application = self.control_planes.asgi_app
        return application if application.is_known(scope) else None

    async def prepare(self, context: ArmContext) -> None:
        """Nothing: clusters are made when they are asked for."""

    def connections(self) -> AbstractAsyncContextManager[object]:
        """Those to the API servers in this process."""
        return self._transport

    async def run(self) -> None:
        """Run the clusters' controllers."""
        await self.control_planes.run()

    def end_watches(self) -> None:
        """Those of every cluster."""
        self.control_planes.end_watches()


class AdoptedGround:
    """Clusters that kubeconfigs name, on machines whose kubelets KWOK plays."""

    def __init__(self, outside: Outside, settings: Settings) -> None:
        self._outside = outside
        self._settings = settings
        self.control_planes = AdoptedControlPlanes()

    def transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """The connection to the cluster."""
        return self.control_planes.transport_for(control_plane)

    def owns(self, cluster: ClusterKey, node: Node) -> bool:
        """Only what our machines registered."""
        return owns(cluster, node)

    def cloud(self, clusters: Clusters, rng: random.Random) -> SimulatedCloud:
        """A cloud that registers its machines' nodes for KWOK."""
        outside = self._outside
        return SimulatedCloud(
            outside.store,
            clusters,
            outside.clock,
            outside.identity,
            rng,
            self._settings.cloud,
            new_node_side=KwokFleet,
        )

    def app(self, path: str) -> App | None:
        """Nothing: the cluster serves itself."""
        del path

    def app_of_bearer(self, scope: Scope) -> App | None:
        """Nothing: the cluster serves itself."""
        del scope

    async def prepare(self, context: ArmContext) -> None:
        """Look at the clusters, and enter them as managed clusters."""
        await adopt_clusters(context, self.control_planes, self._settings.adopt.wanted)

    def connections(self) -> AbstractAsyncContextManager[object]:
        """Those to the cluster."""
        return self.control_planes

    async def run(self) -> None:
        """Nothing: the cluster runs by itself."""

    def end_watches(self) -> None:
        """Nothing: the cluster serves itself."""


def choose_ground(outside: Outside, settings: Settings, metrics: Metrics) -> Ground:
    """The ground that the settings ask for."""
    if settings.adopt.wanted:
        return AdoptedGround(outside, settings)
    return EmbeddedGround(outside, settings, metrics)
