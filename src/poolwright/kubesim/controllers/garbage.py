"""Runs garbage collection by owner references, for every kind of object."""

from __future__ import annotations

from collections.abc import Iterable

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import Following
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json
from poolwright.model.kubernetes import CUSTOM_RESOURCE_DEFINITIONS, EVENTS
from poolwright.plan.kubernetes.action import Plan, Target
from poolwright.plan.kubernetes.garbage import Dependent, plan_dependents, plan_leaving_owner
from poolwright.reconcile.loop import Loop, note

_GONE_MAX = 500  # k8s.io/kubernetes pkg/controller/garbagecollector: absentOwnerCache
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"


class GarbageController:
    """One key per uid of an owner that is gone or going."""

    name = "garbage"

    def __init__(self, registry: Following, performer: Performer) -> None:
        self._registry = registry
        self._performer = performer
        self._objects: dict[str, tuple[ObjectKind, str]] = {}
        self._gone: dict[str, None] = {}
        """Owners that were seen to go, whatever is served now."""
        self._unsure: dict[str, None] = {}
        """Owners that could not be looked for."""

    def start(self, loop: Loop[str]) -> None:
        """Look at every object with an owner once, and follow all changes."""
        self._loop = loop
        self._registry.subscribe(self._on_change, ())
        for kind in self._kinds():
            for entry in self._registry.list(kind):
                self._objects[entry.uid] = (kind, entry.key)
        for kind in self._kinds():
            for entry in self._registry.list(kind):
                self._consider(entry)

    def _kinds(self) -> Iterable[ObjectKind]:
        """Every kind that is served now, but events: there are many, and nobody's."""
        return (kind for kind in self._registry.catalog.kinds if kind.resource != EVENTS)

    def _exists(self, uid: str, namespace: str) -> bool:
        """Whether an owner is there for objects of a namespace (for cluster-wide ones: ``""``)."""
        kind, key = self._objects.get(uid, (None, ""))
        if kind is None:
            return False
        return not kind.resource.namespaced or key.rpartition("/")[0] == namespace

    def _consider(self, entry: Entry) -> None:
        for uid in entry.owners:
            if not self._exists(uid, entry.namespace):
                self._loop.wake(uid)
        if _waits(entry, _FOREGROUND, _ORPHAN):
            self._loop.wake(entry.uid)

    def _on_change(self, change: ObjectChange) -> None:
        if change.kind.resource == EVENTS:
            return
        if change.kind.resource == CUSTOM_RESOURCE_DEFINITIONS:
            for uid in self._unsure:
                self._loop.wake(uid)
            self._unsure.clear()
        entry = change.new
        if change.type != "DELETED":
            self._objects[entry.uid] = (change.kind, entry.key)
            self._consider(entry)
            if change.old is not None and change.old.owners != entry.owners:
                self._consider_owners(change.old)
            return
        if self._objects.get(entry.uid, (None, ""))[1] == entry.key:
            del self._objects[entry.uid]
        self._gone[entry.uid] = None
        if len(self._gone) > _GONE_MAX:
            del self._gone[next(iter(self._gone))]
        self._loop.wake(entry.uid)
        self._consider_owners(entry)

    def _consider_owners(self, entry: Entry) -> None:
        """Owners may have waited for what is theirs no more."""
        for uid in entry.owners:
            owner = self._entry(uid)
            if owner is not None:
                self._consider(owner)

    def _entry(self, uid: str) -> Entry | None:
        kind, key = self._objects.get(uid, (None, ""))
        entry = self._registry.cache(kind).get(key) if kind is not None else None
        return entry if entry is not None and entry.uid == uid else None

    async def reconcile(self, key: str) -> Instant | None:
        """Act on one owner's dependents."""
        dependents = [
            Dependent(Target(kind.resource, entry.namespace, entry.name, entry.uid), entry.object())
            for kind in self._kinds()
            for entry in self._registry.owned_by(kind, key)
        ]
        owner = self._entry(key)
        plan = plan_dependents(key, dependents, self._exists, self._is_sure)
        if owner is not None and owner.is_leaving:
            resource = owner.kind.resource
            leaving = plan_leaving_owner(
                resource, owner.object(), dependents, self._is_waited_for, self._is_solid
            )
            plan = Plan((*plan.actions, *leaving.actions))
        if plan.actions:
            note(planned=len(plan.actions))
            await self._performer.perform(plan)
        return None

    def _is_sure(self, reference: Json) -> bool:
        """Whether an owner that is not there is gone, and not only of a kind that nobody knows."""
        uid = str(reference.get("uid") or "")
        kind = (reference.get("apiVersion"), reference.get("kind"))
        views = self._registry.catalog.views.values()
        if uid in self._gone or any(
            (v.resource.api_version, v.resource.kind) == kind for v in views
        ):
            return True
        self._unsure[uid] = None
        return False

    def _is_solid(self, uid: str, namespace: str) -> bool:
        """Whether an owner is there for objects of a namespace, and does not wait for them."""
        entry = self._entry(uid) if self._exists(uid, namespace) else None
        return entry is not None and not _waits(entry, _FOREGROUND)

    def _is_waited_for(self, uid: str) -> bool:
        """Whether an object has a dependent that waits for its own dependents."""
        return any(
            _waits(entry, _FOREGROUND)
            for kind in self._kinds()
            for entry in self._registry.owned_by(kind, uid)
        )


def _waits(entry: Entry, *finalizers: str) -> bool:
    """Whether an object is being deleted, but has one of these finalizers still."""
    return entry.is_leaving and any(f in entry.finalizers for f in finalizers)
