"""Runs the scheduler of `plan.kubernetes.scheduler` over one cluster."""

from __future__ import annotations

from datetime import timedelta

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import ClusterState, Following
from poolwright.kubesim.entry import ObjectChange
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    RESOURCE_CLAIMS,
    STORAGE_CLASSES,
    Resource,
)
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import BindPod
from poolwright.plan.kubernetes.pod_claims import device_flaw, volume_flaw
from poolwright.plan.kubernetes.preemption import Guard
from poolwright.plan.kubernetes.scheduler import Scheduler
from poolwright.ports.clock import Clock
from poolwright.reconcile.loop import Loop, note

BATCH = 256
"""Pods decided for in one pass; their bindings are written together."""
_RETELL = timedelta(seconds=5)  # a pod's reason is told anew at most this often


class SchedulerController:
    """One key: the queue as a whole."""

    name = "scheduler"

    def __init__(
        self,
        registry: Following,
        state: ClusterState,
        performer: Performer,
        clock: Clock,
        kubernetes_minor: int,
    ) -> None:
        self._registry = registry
        self._state = state
        self._budgets_moved = True
        self._performer = performer
        self._clock = clock
        self._scheduler = Scheduler(kubernetes_minor=kubernetes_minor)
        self._retell_at: Instant | None = None
        self._loop: Loop[str] | None = None

    def start(self, loop: Loop[str]) -> None:
        """Take the cluster as it is, and follow it from now on."""
        self._loop = loop
        for entry in self._registry.list(NAMESPACES):
            self._scheduler.set_namespace(entry.name, entry.labels)
        self._on_classes()
        for entry in self._registry.list(RESOURCE_CLAIMS):
            self._set_claim(RESOURCE_CLAIMS, entry.key, entry.object())
        for node in self._state.nodes.values():
            self._scheduler.set_node(node)
        for pod in sorted(self._state.pods.values(), key=lambda p: (p.created, p.key)):
            self._scheduler.set_pod(pod)
        self._registry.subscribe(self._on_namespace, (NAMESPACES,))
        self._registry.subscribe(self._on_budget, (POD_DISRUPTION_BUDGETS,))
        self._registry.subscribe(self._on_claim, (PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS))
        self._registry.subscribe(lambda _: self._on_classes(), (STORAGE_CLASSES,))
        self._state.on_node(self._on_node)
        self._state.on_pod(self._on_pod)
        loop.wake("queue")

    def _on_namespace(self, change: ObjectChange) -> None:
        gone = change.type == "DELETED"
        if gone or change.old is None or change.old.labels != change.new.labels:
            self._scheduler.set_namespace(change.new.name, None if gone else change.new.labels)
            self._wake()

    def _on_budget(self, change: ObjectChange) -> None:
        self._budgets_moved = True

    def _on_claim(self, change: ObjectChange) -> None:
        body = None if change.type == "DELETED" else change.new.object()
        self._set_claim(change.kind.resource, change.new.key, body)

    def _on_classes(self) -> None:
        for entry in self._registry.list(PERSISTENT_VOLUME_CLAIMS):
            self._set_claim(PERSISTENT_VOLUME_CLAIMS, entry.key, entry.object())

    def _set_claim(self, resource: Resource, key: str, body: Json | None) -> None:
        flaw: str | None = None
        if body is not None and resource == RESOURCE_CLAIMS:
            flaw = device_flaw(body)
        elif body is not None:
            name = child(body, "spec").get("storageClassName")
            found = self._registry.get(STORAGE_CLASSES, name) if name else None
            flaw = volume_flaw(body, found or {})
        self._scheduler.set_claim(resource, key, flaw)
        self._wake()

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._scheduler.remove_node(old.name)
        elif old is None or _matters(old) != _matters(new):
            self._scheduler.set_node(new)
        self._wake()

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._scheduler.remove_pod(old.key)
        if new is not None:
            self._scheduler.set_pod(new)
        self._wake()

    def _wake(self) -> None:
        if self._scheduler.has_work and self._loop is not None:
            self._loop.wake("queue")

    async def reconcile(self, key: str) -> Instant | None:
        """Bind or refuse a batch of pods."""
        if self._budgets_moved:
            self._budgets_moved = False
            budgets = self._registry.list(POD_DISRUPTION_BUDGETS)
            guards = (Guard.from_object(entry.object()) for entry in budgets)
            self._scheduler.set_guards([g for g in guards if g is not None])
        plan = self._scheduler.plan(BATCH)
        now = self._clock.now().world
        if self._retell_at is not None and self._retell_at <= now:
            self._retell_at = None
            plan = type(plan)((*plan.actions, *self._scheduler.refresh_messages().actions))
        elif self._retell_at is None:
            self._retell_at = now.after(_RETELL)
        if plan.actions:
            note(planned=len(plan.actions))
        unbound = [a.target for a in plan.actions if isinstance(a, BindPod)]
        try:
            lost = await self._performer.perform(plan)
            unbound = [x.action.target for x in lost if isinstance(x.action, BindPod)]
        finally:
            for target in unbound:
                pod_key = f"{target.namespace}/{target.name}"
                self._scheduler.bind_failed(self._state.pods.get(pod_key), pod_key)
        self._wake()
        return self._retell_at if self._scheduler.is_anybody_waiting else None


def _matters(node: Node) -> tuple[object, ...]:
    return node.labels, node.taints, node.unschedulable, node.allocatable, node.uid
