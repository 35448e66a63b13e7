"""A Kubernetes cluster as its clients see it, whoever serves it.

Contract: ``docs/contracts/kube.md`` (rules K1…).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.kubernetes import Resource
from poolwright.model.node import Node
from poolwright.model.pod import Budget, Pod

Object = Mapping[str, Any]
"""A Kubernetes object in its JSON form."""


class PatchKind(StrEnum):
    """The content type of a patch."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A list answer: the objects and the resourceVersion to watch from."""

    items: Sequence[Object]
    revision: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch; ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Kube(Protocol):
    """One cluster. Every call may raise `Transient`; every write may raise `Unknown`.

    ``namespace`` is empty for cluster-scoped resources and for lists across namespaces.
    """

    async def version(self) -> str:
        """The server's gitVersion, such as ``v1.35.4``."""
        ...

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """One object (K1).

        Raises:
            NotFound: it is not there.
        """
        ...

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """All objects that match, whatever pages the server makes of it (K2)."""
        ...

    def watch(
        self,
        resource: Resource,
        *,
        after: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after a resourceVersion; ends when the server closes the connection (K3).

        Raises:
            Expired: the server no longer knows that resourceVersion.
        """
        ...

    async def create(self, resource: Resource, body: Object, *, namespace: str = "") -> Object:
        """Create (K4).

        Raises:
            Conflict: the name is taken (code ``AlreadyExists``).
            InvalidRequest: the server refused the object.
        """
        ...

    async def replace(
        self,
        resource: Resource,
        name: str,
        body: Object,
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> Object:
        """PUT; guarded by ``metadata.resourceVersion`` if the body has one (K5).

        Raises:
            NotFound, InvalidRequest; Precondition: the object moved on (409 Conflict).
        """
        ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: object,
        *,
        kind: PatchKind = PatchKind.MERGE,
        namespace: str = "",
        subresource: str = "",
        force: bool = False,
    ) -> Object:
        """PATCH as our one field manager; a uid or resourceVersion in ``metadata`` guards (K6).

        Raises:
            NotFound, InvalidRequest; Precondition: the guard did not hold; Conflict: another
            manager owns a field and ``force`` was not given.
        """
        ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; a missing object is fine (K7).

        Raises:
            Precondition: the object has another uid.
        """
        ...

    async def evict(self, namespace: str, pod: str, *, uid: str) -> None:
        """Ask for a pod's eviction; a missing pod is fine (K8).

        Raises:
            Conflict: a disruption budget forbids it now (429, code ``TooManyRequests``).
            Precondition: the pod has another uid.
        """
        ...

    async def proxy_node(self, node: str, port: int, path: str) -> bytes:
        """The body of a GET of an HTTP endpoint on a node, through the API server (K18).

        Raises:
            NotFound: no such node, or nothing at that path.
        """
        ...


@dataclass(frozen=True, slots=True)
class ViewChange:
    """Something in a view changed: a node of ``pool``, or a pod on one of its nodes.

    ``pool`` is empty for a pending pod and for what belongs to no pool.
    """

    pool: str


class ClusterView(Protocol):
    """An indexed, eventually consistent picture of one cluster's nodes and pods (informer).

    Reads are synchronous and cost what they return; nothing here goes over the wire.
    """

    @property
    def is_synced(self) -> bool:
        """Whether the first full list has arrived. Before that every answer is empty."""
        ...

    def node(self, name: str) -> Node | None:
        """One node."""
        ...

    def nodes(self, pool: str | None = None) -> Sequence[Node]:
        """All nodes, or those of one pool, by name."""
        ...

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Pods bound to a node, by namespace and name."""
        ...

    def pending_pods(self) -> Sequence[Pod]:
        """Pods bound to no node and not finished."""
        ...

    def budgets(self, namespace: str) -> Sequence[Budget]:
        """Disruption budgets of a namespace."""
        ...

    def changes(self) -> AsyncIterator[ViewChange]:
        """Changes from now on, coalesced: what is not yet read is one entry per pool."""
        ...

    def on_amends(self, listen: Callable[[str], None]) -> Callable[[], None]:
        """Tell the name of every node whose `Node.amends` is not empty, now and whenever it
        changes, until the answer is called (K22).
        """
        ...


class Clusters(Protocol):
    """How to reach the clusters that we manage."""

    def kube(self, cluster: ClusterKey) -> Kube:
        """A client of the cluster; calls raise `Transient` while it cannot be reached."""
        ...

    def view(self, cluster: ClusterKey) -> ClusterView:
        """The shared view of the cluster; starts following it on first use."""
        ...

    def silent_for(self, cluster: ClusterKey) -> timedelta | None:
        """For how long no watch of the view has brought anything, be it a bookmark (real time);
        None while a watch is broken, nothing is followed, or the latest call failed (K20).
        """
        ...

    def wake(self, cluster: ClusterKey) -> None:
        """The cluster may be reachable again: its view tries now instead of after a back-off."""
        ...

    def forget(self, cluster: ClusterKey) -> None:
        """Stop following a cluster that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A Kubernetes control plane as observed. ``server_url`` is where clients reach it."""

    version: str
    is_running: bool
    server_url: str
    ca_pem: bytes
    platform_version: str = ""


class ControlPlanes(Protocol):
    """Who makes and ends Kubernetes control planes for managed clusters."""

    async def get(self, cluster: ClusterKey) -> ControlPlane | None:
        """The control plane, or None."""
        ...

    async def put(self, cluster: ClusterKey, *, version: str, running: bool) -> ControlPlane:
        """Create, upgrade, stop or start so that it is as given; idempotent (K9).

        Raises:
            Unsupported: the control plane is somebody else's, and is not as given.
        """
        ...

    async def confirm(self, cluster: ClusterKey) -> None:
        """See that the cluster is this store's to manage, and make it so if it is nobody's (K19).

        Raises:
            Conflict: it is another store's.
            PoolwrightError: that cannot be said.
        """
        ...

    async def delete(self, cluster: ClusterKey) -> None:
        """Remove with everything in it; a missing one is fine (K9)."""
        ...

    async def token(self, cluster: ClusterKey, *, admin: bool) -> str:
        """The bearer token that we come with; empty where the transport says who we are.

        Raises:
            NotFound: no such control plane.
        """
        ...

    async def kubeconfig_user(self, cluster: ClusterKey, *, admin: bool) -> Mapping[str, str]:
        """The ``user`` of a kubeconfig for the cluster.

        Raises:
            NotFound: no such control plane.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command run in a container printed, and its exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """The answer of an HTTP endpoint on a node or pod."""

    status: int
    content_type: str
    body: bytes


StandardInput = Callable[[], Awaitable[bytes]]
"""Gives all that a client sends to a command, once it has closed that."""


class Kubelet(Protocol):
    """What an API server asks of the kubelet of a node."""

    def logs(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """Log lines of a container, each ending in a newline; with ``follow`` until it ends.

        Raises:
            InvalidRequest: the container is waiting to start, or there is no previous one.
            Transient: the node cannot be reached.
        """
        ...

    async def execute(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        command: Sequence[str],
        *,
        standard_input: StandardInput | None = None,
    ) -> ExecResult:
        """Run a command in a running container. ``standard_input`` is awaited, at most once, only
        if the command reads it.

        Raises:
            InvalidRequest: the container is not running.
            Transient: the node cannot be reached.
        """
        ...

    async def proxy(self, cluster: ClusterKey, node: str, port: int, path: str) -> ProxyAnswer:
        """GET an HTTP endpoint that listens on the node.

        Raises:
            Transient: nothing listens there, or the node cannot be reached.
        """
        ...
