"""Keeps the managed GPU components in each cluster: applied with the first managed GPU pool, again
whenever somebody edits or deletes them, removed with the last pool.
"""

from __future__ import annotations

from typing import Any

from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound
from poolwright.model.instant import Instant
from poolwright.model.kubernetes import DAEMON_SETS
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.plan.components import COMPONENTS, MANAGER, MANAGER_LABEL, managed_components
from poolwright.ports.kube import Clusters, Kube, Object, PatchKind
from poolwright.ports.store import Store
from poolwright.reconcile.loop import note

SELECTOR = f"{MANAGER_LABEL}={MANAGER}"


class ComponentsController:
    """One cluster's managed components, by server-side apply as our field manager."""

    name = "components"

    def __init__(self, store: Store, clusters: Clusters, *, namespace: str) -> None:
        self._store = store
        self._clusters = clusters
        self._namespace = namespace
        self._applied: dict[ClusterKey, dict[str, int]] = {}

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One pass: apply all, or remove all."""
        cluster = await self._store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if (
            cluster is None
            or cluster.deleted_at is not None
            or cluster.spec.is_stopped
            or not cluster.status.running_kubernetes_version
        ):
            self._applied.pop(key, None)
            return None
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        wanted = managed_components(
            (pool.spec for pool in pools if pool.deleted_at is None), self._namespace
        )
        kube = self._clusters.kube(key)
        if wanted:
            applied: dict[str, int] = {}
            for body in wanted:
                name = body["metadata"]["name"]
                stored = await kube.patch(
                    DAEMON_SETS,
                    name,
                    body,
                    kind=PatchKind.APPLY,
                    namespace=self._namespace,
                    force=True,
                )
                applied[name] = _generation(stored)
            note(planned=len(wanted), because="the cluster has managed GPU pools")
            self._applied[key] = applied
        elif self._applied.get(key) != {}:
            await self._remove(kube)
            self._applied[key] = {}
        return None

    async def _remove(self, kube: Kube) -> None:
        """Remove what is ours; objects of the same name that a user made stay."""
        for name in COMPONENTS:
            try:
                found = await kube.get(DAEMON_SETS, name, namespace=self._namespace)
            except NotFound:
                continue
            metadata: dict[str, Any] = found["metadata"]
            labels: dict[str, str] = metadata.get("labels") or {}
            if labels.get(MANAGER_LABEL) == MANAGER:
                note(planned=1, because="the last managed GPU pool is gone")
                await kube.delete(DAEMON_SETS, name, namespace=self._namespace, uid=metadata["uid"])

    async def changes(self, key: ClusterKey) -> None:
        """Return when somebody else changed or deleted a component; ends also with its watch."""
        kube = self._clusters.kube(key)
        listed = await kube.list(DAEMON_SETS, namespace=self._namespace)
        applied = self._applied.get(key, {})
        generations = {o["metadata"]["name"]: _generation(o) for o in listed.items}
        if any(generations.get(name) != generation for name, generation in applied.items()):
            return
        async for event in kube.watch(
            DAEMON_SETS, after=listed.revision, namespace=self._namespace
        ):
            if event.type == "BOOKMARK":
                continue
            name: str = event.object["metadata"].get("name", "")
            ours = self._applied.get(key, {}).get(name)
            if ours is None:
                continue
            if event.type == "DELETED" or _generation(event.object) != ours:
                return


def _generation(wire: Object) -> int:
    return int(wire["metadata"].get("generation") or 0)
