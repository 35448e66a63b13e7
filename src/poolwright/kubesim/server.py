"""All embedded clusters of one process: made, found again, served and ended here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import ClassVar

from poolwright.kubesim.api.application import Application
from poolwright.kubesim.bootstrap import bootstrap_objects, ensure, keep_bootstrap
from poolwright.kubesim.cluster import (
    CONTROL_PLANE,
    CONTROL_PLANE_NAME,
    Cluster,
    ControlPlaneRecord,
)
from poolwright.kubesim.controllers import ControllerSettings, run_controllers
from poolwright.kubesim.housekeeping import expire_events, keep_definitions, keep_namespaces
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.type_check import keep_policies
from poolwright.model import kubernetes as names
from poolwright.model.bounds import Bounds, check_bounds
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound, Precondition
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import ControlPlane, Kubelet
from poolwright.ports.store import Create, Store, Update
from poolwright.reconcile.loop import supervise

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_API_SERVICE = {
    "metadata": {
        "name": "kubernetes",
        "labels": {"component": "apiserver", "provider": "kubernetes"},
    },
    "spec": {"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 443}]},
}
"""``default/kubernetes``: how pods reach the API."""


@dataclass(frozen=True, slots=True)
class KubeSimSettings:
    """What the embedded clusters are told from outside."""

    server_url: str = "https://localhost:8443"
    """Where clients reach this process; each cluster's path is appended."""
    ca_pem: bytes = b""
    """The certificate authority that vouches for ``server_url``."""
    system_pods: bool = True
    """Whether the usual kube-system workloads are installed; off in scale tests."""
    controllers: bool = True
    """Whether the scheduler and the workload controllers run."""
    raise_bugs: bool = False
    """Whether a bug in a controller ends the process: true in simulations."""
    event_seconds: int = 3600
    """How long events are kept (kube-apiserver --event-ttl). Legal: 60 to 86,400."""

    BOUNDS: ClassVar[Bounds] = {"event_seconds": (60, 86_400)}

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)


class KubeSim:
    """Implements `ports.ControlPlanes`; ``asgi_app`` serves every cluster.

    ``run`` carries the clusters' background work; without it they still answer. ``on_bug`` counts
    the listeners to changes that failed and started over.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        identity: Identity,
        kubelet: Kubelet,
        settings: KubeSimSettings,
        on_bug: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identity = identity
        self._kubelet = kubelet
        self._settings = settings
        self._on_bug = on_bug
        self._clusters: dict[ClusterKey, Cluster] = {}
        self._tasks: dict[ClusterKey, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.asgi_app = Application(self._clusters)

    async def load(self) -> None:
        """Find the clusters of an earlier run again."""
        for stored in await self._store.find("kube/", CONTROL_PLANE):
            key = ClusterKey.parse(stored.scope.removeprefix("kube/"))
            if key not in self._clusters:
                await self._open(key, stored.spec)

    async def run(self) -> None:
        """Background work of all clusters, until cancelled; ends their watches when it ends."""
        await self.load()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for cluster in list(self._clusters.values()):
                    self._start(cluster)
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self._tasks.clear()
            self.end_watches()

    def end_watches(self) -> None:
        """End the watches that there are, each with a whole answer."""
        for cluster in self._clusters.values():
            cluster.hub.close()

    def cluster(self, key: ClusterKey) -> Cluster | None:
        """A running or stopped cluster of this process."""
        return self._clusters.get(key)

    # ports.ControlPlanes

    async def get(self, cluster: ClusterKey) -> ControlPlane | None:
        """The control plane, or None."""
        found = await self._find(cluster)
        return None if found is None else self._shown(found)

    async def put(self, cluster: ClusterKey, *, version: str, running: bool) -> ControlPlane:
        """Create, upgrade, stop or start so that it is as given; idempotent (K9)."""
        found = await self._find(cluster)
        if found is None:
            record = ControlPlaneRecord(
                version, running, self._secret(), self._secret(), self._secret()
            )
            write = Create(
                CONTROL_PLANE,
                CONTROL_PLANE_NAME,
                self._identity.uid(),
                record,
                None,
                self._clock.now().wall,
            )
            with contextlib.suppress(Precondition):  # another replica was faster
                await self._store.transact(cluster.kube_scope, (write,))
            stored = await self._store.get(cluster.kube_scope, CONTROL_PLANE, CONTROL_PLANE_NAME)
            assert stored is not None
            found = await self._open(cluster, stored.spec)
        elif (found.record.version, found.record.is_running) != (version, running):
            record = replace(found.record, version=version, is_running=running)
            commit = await self._store.transact(
                cluster.kube_scope, (Update(CONTROL_PLANE, CONTROL_PLANE_NAME, spec=record),)
            )
            found.registry.note(commit)
            found.record = record
            self._end_work(found)  # started again with the new version
            if running:
                self._start(found)
            else:
                found.hub.close()
        await self._furnish(found.registry)
        return self._shown(found)

    async def confirm(self, cluster: ClusterKey) -> None:
        """Nothing: a cluster of ours is ours (K19)."""

    async def delete(self, cluster: ClusterKey) -> None:
        """Remove with everything in it; a missing one is fine (K9)."""
        found = self._clusters.pop(cluster, None)
        if found is not None:
            self._end_work(found)
            found.hub.close()
        await self._store.drop(cluster.kube_scope)

    async def token(self, cluster: ClusterKey, *, admin: bool) -> str:
        """A bearer token for a kubeconfig.

        Raises:
            NotFound: no such control plane.
        """
        found = await self._find(cluster)
        if found is None:
            raise NotFound(f"no control plane for {cluster}")
        return found.record.admin_token if admin else found.record.user_token

    async def kubeconfig_user(self, cluster: ClusterKey, *, admin: bool) -> Mapping[str, str]:
        """The ``user`` of a kubeconfig: a token.

        Raises:
            NotFound: no such control plane.
        """
        return {"token": await self.token(cluster, admin=admin)}

    # Life of a cluster

    async def _find(self, key: ClusterKey) -> Cluster | None:
        found = self._clusters.get(key)
        if found is None:
            stored = await self._store.get(key.kube_scope, CONTROL_PLANE, CONTROL_PLANE_NAME)
            if stored is not None:
                found = await self._open(key, stored.spec)
        return found

    async def _open(self, key: ClusterKey, record: ControlPlaneRecord) -> Cluster:
        registry = await Registry.load(
            key,
            self._store,
            self._clock,
            self._identity,
            on_bug=self._on_bug,
            raise_bugs=self._settings.raise_bugs,
        )
        existing = self._clusters.get(key)  # somebody else may have opened it meanwhile
        if existing is not None:
            return existing
        cluster = Cluster(key, record, registry, self._kubelet)
        self._clusters[key] = cluster
        self._start(cluster)
        return cluster

    def _start(self, cluster: Cluster) -> None:
        if self._group is None or cluster.key in self._tasks or not cluster.record.is_running:
            return
        self._tasks[cluster.key] = self._group.create_task(self._serve(cluster))

    def _end_work(self, cluster: Cluster) -> None:
        task = self._tasks.pop(cluster.key, None)
        if task is not None:
            task.cancel()

    async def _serve(self, cluster: Cluster) -> None:
        """All that goes on in a cluster; neither a store that refuses for a while nor a bug in one
        part ends any other.
        """
        registry, rng = cluster.registry, Random(f"{cluster.key}/server")  # jitter of back-off only
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "changes": registry.follow,
            "namespaces": partial(keep_namespaces, registry),
            "definitions": partial(keep_definitions, registry),
            "policies": partial(keep_policies, registry),
            "built-in objects": partial(keep_bootstrap, registry),
            "quotas": registry.quotas.run,
            "old events": partial(
                expire_events, registry, timedelta(seconds=self._settings.event_seconds)
            ),
        }
        if self._settings.controllers:
            works["controllers"] = partial(self._control, cluster)
        async with asyncio.TaskGroup() as group:
            for name, work in works.items():
                group.create_task(
                    supervise(name, work, self._clock, rng, raise_bugs=self._settings.raise_bugs)
                )

    async def _control(self, cluster: Cluster) -> None:
        settings = ControllerSettings(
            sign_account_secret=cluster.sign_account_secret,
            system_pods=self._settings.system_pods,
            kubernetes_minor=int(cluster.record.version.removeprefix("v").split(".")[1]),
            ca_pem=self._settings.ca_pem,
            raise_bugs=self._settings.raise_bugs,
        )
        await run_controllers(cluster.registry, self._clock, self._identity, settings)

    async def _furnish(self, registry: Registry) -> None:
        for namespace in SYSTEM_NAMESPACES:
            await ensure(registry, names.NAMESPACES, {"metadata": {"name": namespace}})
            account = {"metadata": {"name": "default"}}
            await ensure(registry, names.SERVICE_ACCOUNTS, account, namespace)
        await ensure(registry, names.SERVICES, _API_SERVICE, "default")
        for resource, body in bootstrap_objects():
            await ensure(registry, resource, body)

    def _shown(self, cluster: Cluster) -> ControlPlane:
        return ControlPlane(
            version=cluster.record.version,
            is_running=cluster.record.is_running,
            server_url=f"{self._settings.server_url.rstrip('/')}/k8s/{cluster.key}",
            ca_pem=self._settings.ca_pem,
        )

    def _secret(self) -> str:
        return (self._identity.uid() + self._identity.uid()).replace("-", "")
