"""``ports.ControlPlanes`` of clusters that somebody else made: reached, never changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import httpx

from poolwright.kube.client import Endpoint, HttpKube
from poolwright.kube.kubeconfig import KubeAccess
from poolwright.kube.token_file import TokenFileTransport
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import (
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Unsupported,
)
from poolwright.model.kubernetes import NODES
from poolwright.ports.kube import ControlPlane

OLDEST_MINOR = 30
"""Of Kubernetes 1. What is used of the API is older; older servers are not tried out."""
_VERSION = re.compile(r"v?(1)\.(\d+)\.(\d+)")
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=64)


@dataclass(frozen=True, slots=True)
class AdoptedCluster:
    """A cluster as it was found."""

    key: ClusterKey
    access: KubeAccess
    version: str
    """Without v."""


class AdoptedControlPlanes:
    """The clusters that were adopted when the server started.

    Deleting one lets go of it; the cluster itself lives on.
    """

    def __init__(self) -> None:
        self._clusters: dict[ClusterKey, AdoptedCluster] = {}
        self._transports: dict[str, httpx.AsyncBaseTransport] = {}

    async def __aenter__(self) -> AdoptedControlPlanes:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()

    async def adopt(self, key: ClusterKey, access: KubeAccess) -> AdoptedCluster:
        """Look at a cluster and take it in.

        Raises:
            InvalidRequest: it cannot be reached, refuses us, or is too old.
        """
        transport: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(
            verify=access.ssl_context(), limits=_CONNECTIONS
        )
        if access.token_file is not None:
            transport = TokenFileTransport(transport, access.token_file)
        self._transports[access.server_url] = transport

        async def connect() -> Endpoint:
            return Endpoint(transport, access.server_url, access.token)

        kube = HttpKube(connect)
        try:
            said = await kube.version()
            await kube.list(NODES, field_selector="metadata.name=none")
        except PoolwrightError as error:
            raise InvalidRequest(f"{access.server_url}: {error.message}") from error
        found = _VERSION.match(said)
        if found is None or int(found[2]) < OLDEST_MINOR:
            raise InvalidRequest(
                f"{access.server_url}: Kubernetes {said} is too old; 1.{OLDEST_MINOR} is needed"
            )
        cluster = AdoptedCluster(key, access, ".".join(found.groups()))
        self._clusters[key] = cluster
        return cluster

    def transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """The one transport to a cluster."""
        return self._transports[control_plane.server_url]

    async def get(self, cluster: ClusterKey) -> ControlPlane | None:
        """As `ports.ControlPlanes.get`."""
        found = self._clusters.get(cluster)
        return found and _control_plane(found)

    async def put(self, cluster: ClusterKey, *, version: str, running: bool) -> ControlPlane:
        """As `ports.ControlPlanes.put`: what is, is confirmed; nothing is made or changed.

        Raises:
            Unsupported: another version or state is wanted, or another cluster.
        """
        found = self._clusters.get(cluster)
        if found is None:
            raise Unsupported(
                "This server manages the clusters that it was given and makes none of its own."
            )
        if version != found.version or not running:
            raise Unsupported(
                f"The control plane of managed cluster {cluster.name} was not made by this server "
                "and is not changed by it."
            )
        return _control_plane(found)

    async def delete(self, cluster: ClusterKey) -> None:
        """As `ports.ControlPlanes.delete`: let go of it."""
        self._clusters.pop(cluster, None)

    async def token(self, cluster: ClusterKey, *, admin: bool) -> str:
        """As `ports.ControlPlanes.token`; empty where the transport says who we are."""
        return self._access(cluster).token

    async def kubeconfig_user(self, cluster: ClusterKey, *, admin: bool) -> Mapping[str, str]:
        """As `ports.ControlPlanes.kubeconfig_user`: the user of the file that was given."""
        return self._access(cluster).user

    def _access(self, cluster: ClusterKey) -> KubeAccess:
        found = self._clusters.get(cluster)
        if found is None:
            raise NotFound(f"no control plane for {cluster}")
        return found.access


def _control_plane(found: AdoptedCluster) -> ControlPlane:
    access = found.access
    return ControlPlane(found.version, True, access.server_url, access.ca_pem)
