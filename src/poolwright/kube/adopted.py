"""``ports.ControlPlanes`` of clusters that somebody else made: reached, never changed, but for the
one object that says whose nodes they have (`ownership`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Any

import httpx
import structlog

from poolwright.kube.client import WATCH, Endpoint, HttpKube
from poolwright.kube.kubeconfig import KubeAccess
from poolwright.kube.ownership import Claim, claim
from poolwright.kube.token_file import TokenFileTransport
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import (
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Refused,
    Transient,
    Unknown,
    Unsupported,
)
from poolwright.model.json_value import child
from poolwright.model.kubernetes import NAMESPACES, NODES
from poolwright.model.version import check_adoptable
from poolwright.ports.kube import ControlPlane

_log: Any = structlog.get_logger("poolwright.audit")
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
_PATIENCE = timedelta(seconds=10)
"""How long a cluster may take to answer when the server starts."""
_IN_USE = WATCH + timedelta(minutes=1)
"""How long something may go on over a connection that is given nothing new: real time."""
_EXPLAINED = {"Unauthorized": "Unauthorized: it does not know the user, or the login has expired"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a cluster says of itself."""

    version: str
    """Without v."""
    uid: str
    """Of its namespace ``kube-system``, which is never made anew; empty if we may not see it."""


@dataclass(frozen=True, slots=True)
class _Adopted:
    access: KubeAccess
    version: str
    read: Callable[[], KubeAccess]
    claim: Claim


class _Gate(httpx.AsyncBaseTransport):
    """The way to a cluster, closed as soon as it is known to be another store's."""

    def __init__(self, inner: httpx.AsyncBaseTransport, held: Claim) -> None:
        self._inner = inner
        self._claim = held

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._claim.refusal:
            raise httpx.ConnectError(self._claim.refusal)
        return await self._inner.handle_async_request(request)


class AdoptedControlPlanes:
    """The clusters that were adopted when the server started.

    Deleting one lets go of it; the cluster itself lives on.
    """

    def __init__(self) -> None:
        self._clusters: dict[ClusterKey, _Adopted] = {}
        self._transports: dict[str, httpx.AsyncBaseTransport] = {}
        self._retired: deque[tuple[float, httpx.AsyncBaseTransport]] = deque()

    async def __aenter__(self) -> AdoptedControlPlanes:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        retired = (transport for _, transport in self._retired)
        for transport in (*self._transports.values(), *retired):
            await transport.aclose()

    async def look(self, access: KubeAccess) -> Found:
        """Ask a cluster who it is.

        Raises:
            Transient: it cannot be reached, or does not accept the login.
            InvalidRequest: it gives us no right to see its nodes, or is too old.
        """
        kube = self._kube(access)
        try:
            version = check_adoptable(await kube.version())
            await kube.list(NODES, field_selector="metadata.name=none")
            return Found(str(version), await _uid(kube))
        except Refused as error:
            raise InvalidRequest(f"{access.server_url}: {error.message}") from error
        except PoolwrightError as error:
            message = _EXPLAINED.get(error.message, error.message)
            raise Transient(f"{access.server_url}: {message}") from error
        except ValueError as error:
            raise InvalidRequest(f"{access.server_url}: {error}") from error

    async def claim(self, access: KubeAccess, store: str, key: ClusterKey) -> None:
        """Make a cluster the store's, or see that it is.

        Raises:
            Conflict: it is another store's.
            PoolwrightError: it cannot be reached, or gives no right to say so in it.
        """
        await claim(self._kube(access), store, key)

    def _kube(self, access: KubeAccess) -> HttpKube:
        transport = self._transport(access)

        async def connect() -> Endpoint:
            return Endpoint(transport, access.server_url, access.token)

        return HttpKube(connect, timeout=_PATIENCE)

    def add(
        self,
        key: ClusterKey,
        access: KubeAccess,
        version: str,
        store: str,
        read: Callable[[], KubeAccess],
    ) -> None:
        """Take a cluster in, whether or not it can be reached now. Nothing is sent to it before it
        is confirmed as the store's. ``read`` is asked again for the login whenever a connection
        is made: somebody may have renewed it.
        """
        self._transport(access)
        held = Claim(lambda: self._kube(self._access(key)), store, key)
        self._clusters[key] = _Adopted(access, version, read, held)

    def _transport(self, access: KubeAccess) -> httpx.AsyncBaseTransport:
        transport = self._transports.get(access.server_url)
        if transport is None:
            transport = httpx.AsyncHTTPTransport(verify=access.ssl_context(), limits=_CONNECTIONS)
            if access.token_file is not None:
                transport = TokenFileTransport(transport, access.token_file)
            self._transports[access.server_url] = transport
        return transport

    def _renew(self, key: ClusterKey) -> None:
        """Take over a login that was renewed, to the same address."""
        found = self._clusters.get(key)
        if found is None:
            return
        try:
            access = found.read()
            if access == found.access or access.server_url != found.access.server_url:
                return
            access.ssl_context()
        except InvalidRequest:  # it is just being written
            return
        if replace(access, token="") != replace(found.access, token=""):
            self._retire(access.server_url)  # of a token it knows nothing
        self._transport(access)
        self._clusters[key] = replace(found, access=access)

    def _retire(self, server_url: str) -> None:
        """Begin nothing new on a transport; what is under way on it ends by itself."""
        now = asyncio.get_running_loop().time()
        self._retired.append((now, self._transports.pop(server_url)))

    async def _close_retired(self) -> None:
        unused_since = asyncio.get_running_loop().time() - _IN_USE.total_seconds()
        while self._retired and self._retired[0][0] <= unused_since:
            await self._retired.popleft()[1].aclose()

    def transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """The one transport to a cluster.

        Raises:
            Transient: it was let go of.
        """
        url = control_plane.server_url
        for found in self._clusters.values():
            if found.access.server_url == url:
                return _Gate(self._transports[url], found.claim)
        raise Transient(f"{url} is no longer managed")

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

    async def confirm(self, cluster: ClusterKey) -> None:
        """As `ports.ControlPlanes.confirm` (K19)."""
        found = self._clusters.get(cluster)
        if found is not None:
            await found.claim.confirm()

    async def delete(self, cluster: ClusterKey) -> None:
        """As `ports.ControlPlanes.delete`: let go of it, and let others have it. One that cannot be
        reached is let go of, too; it then stays the store's until somebody says otherwise.
        """
        found = self._clusters.pop(cluster, None)
        if found is None:
            return
        try:
            await found.claim.release(self._kube(found.access))
        except PoolwrightError as error:
            _log.warning("cluster not given up", cluster=str(cluster), error=error.message)
        self._retire(found.access.server_url)

    async def token(self, cluster: ClusterKey, *, admin: bool) -> str:
        """As `ports.ControlPlanes.token`; empty where the transport says who we are. Whoever
        connects comes here first, so a cluster that was away is confirmed before anything else.

        Raises:
            Transient: it is another store's now, or that cannot be said.
        """
        await self._close_retired()
        self._renew(cluster)
        token = self._access(cluster).token
        try:
            await self.confirm(cluster)
        except (Refused, Unknown) as error:
            raise Transient(error.message) from error
        return token

    async def kubeconfig_user(self, cluster: ClusterKey, *, admin: bool) -> Mapping[str, str]:
        """As `ports.ControlPlanes.kubeconfig_user`: the user of the file that was given."""
        return self._access(cluster).user

    def _access(self, cluster: ClusterKey) -> KubeAccess:
        found = self._clusters.get(cluster)
        if found is None:
            raise NotFound(f"no control plane for {cluster}")
        return found.access


def _control_plane(found: _Adopted) -> ControlPlane:
    access = found.access
    return ControlPlane(found.version, True, access.server_url, access.ca_pem)


async def _uid(kube: HttpKube) -> str:
    try:
        return child(await kube.get(NAMESPACES, "kube-system"), "metadata").get("uid", "")
    except Refused:
        return ""
