"""Keeps the managed GPU components in each cluster: applied with the first managed GPU pool, again
whenever somebody edits or deletes them, removed with the last pool. What somebody else made under
their names stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Expired, NotFound
from poolwright.model.instant import Instant
from poolwright.model.json_value import child
from poolwright.model.kubernetes import DAEMON_SETS
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.plan.components import COMPONENTS, MANAGER, MANAGER_LABEL, managed_components
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters, Kube, Object, PatchKind
from poolwright.ports.store import Store
from poolwright.reconcile.insistence import Insistence
from poolwright.reconcile.loop import note


@dataclass(frozen=True, slots=True)
class _Applied:
    """A component as we applied it, and the generation that it had then."""

    body: Mapping[str, Any]
    generation: int


class ComponentsController:
    """One cluster's managed components, by server-side apply as our field manager."""

    name = "components"

    def __init__(self, store: Store, clusters: Clusters, clock: Clock, *, namespace: str) -> None:
        self._store = store
        self._clusters = clusters
        self._clock = clock
        self._insistence: Insistence[tuple[ClusterKey, str]] = Insistence()
        self._namespace = namespace
        self._applied: dict[ClusterKey, dict[str, _Applied]] = {}
        self._removed: dict[ClusterKey, None] = {}
        """Clusters that have none of ours, as far as was seen."""
        self._revisions: dict[ClusterKey, str] = {}

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
            self._removed.pop(key, None)
            self._revisions.pop(key, None)
            return None
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        wanted = managed_components(
            (pool.spec for pool in pools if pool.deleted_at is None), self._namespace
        )
        kube = self._clusters.kube(key)
        if wanted:
            note(planned=len(wanted), because="the cluster has managed GPU pools")
            self._removed.pop(key, None)
            return await self._apply_all(key, kube, wanted)
        if key not in self._removed:
            await self._remove(kube)
            self._applied.pop(key, None)
            self._removed[key] = None
        return None

    async def _apply_all(
        self, key: ClusterKey, kube: Kube, wanted: Iterable[dict[str, Any]]
    ) -> Instant | None:
        """Apply what is not as it was applied; when to come back for what somebody else insists
        on having otherwise.
        """
        applied = self._applied.setdefault(key, {})
        again_at: Instant | None = None
        for body in wanted:
            name = body["metadata"]["name"]
            known = applied.get(name)
            if known is not None and known.body == body:
                continue
            now, what = self._clock.now().world, repr(body)
            at = self._insistence.may_at((key, name), what, now)
            if at > now:
                again_at = min(at, again_at or at)
                continue
            stored = await self._apply(kube, body)
            if stored is not None:
                applied[name] = _Applied(body, _generation(stored))
                self._insistence.wrote((key, name), what, now)
        return again_at

    async def _apply(self, kube: Kube, body: dict[str, Any]) -> Object | None:
        """By force only over what is ours; None over what somebody else made."""
        name = body["metadata"]["name"]
        found = await self._find(kube, name)
        if found is not None and not _is_ours(found):
            note(foreign=name)
            return None
        return await kube.patch(
            DAEMON_SETS,
            name,
            body,
            kind=PatchKind.APPLY,
            namespace=self._namespace,
            force=found is not None,
        )

    async def _remove(self, kube: Kube) -> None:
        """Remove what is ours; objects of the same name that a user made stay."""
        for name in COMPONENTS:
            found = await self._find(kube, name)
            if found is not None and _is_ours(found):
                note(planned=1, because="the last managed GPU pool is gone")
                uid = found["metadata"]["uid"]
                await kube.delete(DAEMON_SETS, name, namespace=self._namespace, uid=uid)

    async def _find(self, kube: Kube, name: str) -> Object | None:
        try:
            return await kube.get(DAEMON_SETS, name, namespace=self._namespace)
        except NotFound:
            return None

    async def changes(self, key: ClusterKey) -> None:
        """Return when somebody else changed or deleted a component; ends also with its watch, and
        goes on where that ended when it is called again.
        """
        kube = self._clusters.kube(key)
        # Kept only by a watch that ended well: after an error everything is looked at again.
        revision = self._revisions.pop(key, "")
        if not revision:
            listed = await kube.list(DAEMON_SETS, namespace=self._namespace)
            found = {o["metadata"]["name"]: _generation(o) for o in listed.items}
            if self._forget_changed(key, {name: found.get(name) for name in COMPONENTS}):
                return
            revision = listed.revision
        watch: Any = kube.watch(DAEMON_SETS, after=revision, namespace=self._namespace)
        try:
            async with aclosing(watch) as events:
                async for event in events:
                    meta: dict[str, Any] = event.object["metadata"]
                    revision = meta.get("resourceVersion") or revision
                    if event.type == "BOOKMARK" or meta.get("name") not in COMPONENTS:
                        continue
                    is_gone = event.type == "DELETED"
                    generation = None if is_gone else _generation(event.object)
                    if self._forget_changed(key, {meta["name"]: generation}) or is_gone:
                        break
        except Expired:
            return
        self._revisions[key] = revision

    def _forget_changed(self, key: ClusterKey, seen: Mapping[str, int | None]) -> bool:
        """Forget the components that are not as they were applied; whether there were any."""
        if any(generation is not None for generation in seen.values()):
            self._removed.pop(key, None)
        applied = self._applied.get(key, {})
        changed = [
            name
            for name, known in applied.items()
            if name in seen and seen[name] != known.generation
        ]
        for name in changed:
            del applied[name]
        return bool(changed)


def _is_ours(found: Object) -> bool:
    """Whether we made it: by its label, or, should somebody have taken that away, by its fields."""
    metadata: dict[str, Any] = found["metadata"]
    if child(metadata, "labels").get(MANAGER_LABEL) == MANAGER:
        return True
    return any(
        entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or ()
    )


def _generation(wire: Object) -> int:
    return int(wire["metadata"].get("generation") or 0)
