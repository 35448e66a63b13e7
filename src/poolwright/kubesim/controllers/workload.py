"""Runs the planners of ReplicaSets, Deployments, Jobs and budgets: one key per object."""

from __future__ import annotations

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import ClusterState, Following
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import (
    DEPLOYMENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    Resource,
)
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Plan
from poolwright.plan.kubernetes.budget import plan_budget
from poolwright.plan.kubernetes.deployment import plan_deployment
from poolwright.plan.kubernetes.job import FINALIZER, JobPod, plan_job
from poolwright.plan.kubernetes.replica_set import plan_replica_set
from poolwright.ports.clock import Clock
from poolwright.reconcile.loop import Loop, note


class WorkloadController:
    """What these controllers share: the key is ``namespace/name`` of one object of their kind."""

    name = ""
    resource: Resource

    def __init__(
        self, registry: Following, state: ClusterState, performer: Performer, clock: Clock
    ) -> None:
        self._registry = registry
        self._state = state
        self._performer = performer
        self._clock = clock

    def start(self, loop: Loop[str]) -> None:
        """Look at every object once, and at each again when something of it changes."""
        self._registry.subscribe(lambda change: loop.wake(change.new.key), (self.resource,))
        self._follow(loop)
        for entry in self._registry.list(self.resource):
            loop.wake(entry.key)

    def _follow(self, loop: Loop[str]) -> None:
        """Follow what else the plan looks at."""

    def _follow_pods(self, loop: Loop[str], kind: str) -> None:
        def on_pod(old: Pod | None, new: Pod | None) -> None:
            for pod in (old, new):
                owner = pod.controller if pod else None
                if pod is not None and owner is not None and owner.kind == kind:
                    loop.wake(f"{pod.namespace}/{owner.name}")

        self._state.on_pod(on_pod)

    async def reconcile(self, key: str) -> Instant | None:
        """Move one object one step."""
        namespace, _, name = key.rpartition("/")
        wire = self._registry.get(self.resource, name, namespace)
        if wire is None:
            self._forget(key)
            return None
        plan = self._plan(wire)
        if plan.actions:
            note(planned=len(plan.actions))
            await self._performer.perform(plan)
        return plan.wake_at

    def _plan(self, wire: Json) -> Plan:
        raise NotImplementedError

    def _forget(self, key: str) -> None:
        """The object is gone."""


class ReplicaSetController(WorkloadController):
    """So many pods of a template."""

    name = "replica_set"
    resource = REPLICA_SETS

    def _follow(self, loop: Loop[str]) -> None:
        self._follow_pods(loop, "ReplicaSet")

    def _plan(self, wire: Json) -> Plan:
        pods = self._state.owned_by(wire["metadata"]["uid"])
        return plan_replica_set(wire, pods, self._state.ready_at, self._clock.now())


class DeploymentController(WorkloadController):
    """Rolls templates out."""

    name = "deployment"
    resource = DEPLOYMENTS

    def __init__(
        self, registry: Following, state: ClusterState, performer: Performer, clock: Clock
    ) -> None:
        super().__init__(registry, state, performer, clock)
        self._progress: dict[str, tuple[object, Instant]] = {}

    def _follow(self, loop: Loop[str]) -> None:
        def on_set(change: ObjectChange) -> None:
            for owner in child(change.new.object(), "metadata").get("ownerReferences") or ():
                if owner.get("kind") == "Deployment":
                    loop.wake(f"{change.new.namespace}/{owner['name']}")

        self._registry.subscribe(on_set, (REPLICA_SETS,))

    def _plan(self, wire: Json) -> Plan:
        uid = wire["metadata"]["uid"]
        sets = [e.object() for e in self._registry.owned_by(REPLICA_SETS, uid)]
        now = self._clock.now()
        seen = tuple(
            (s["metadata"]["uid"], str(s.get("status")), s["spec"].get("replicas")) for s in sets
        )
        key = f"{wire['metadata']['namespace']}/{wire['metadata']['name']}"
        if self._progress.get(key, (None, None))[0] != seen:
            self._progress[key] = (seen, now.world)
        return plan_deployment(wire, sets, now, self._progress[key][1])

    def _forget(self, key: str) -> None:
        self._progress.pop(key, None)


class JobController(WorkloadController):
    """Pods that run to completion."""

    name = "job"
    resource = JOBS

    def _follow(self, loop: Loop[str]) -> None:
        self._follow_pods(loop, "Job")

    def _plan(self, wire: Json) -> Plan:
        pods = [
            JobPod(p, FINALIZER in p.finalizers, self._state.finished_at.get(p.uid))
            for p in self._state.owned_by(wire["metadata"]["uid"])
        ]
        return plan_job(wire, pods, self._clock.now())


class BudgetController(WorkloadController):
    """How many pods may be disrupted now."""

    name = "budget"
    resource = POD_DISRUPTION_BUDGETS

    def _follow(self, loop: Loop[str]) -> None:
        def wake_all(namespace: str) -> None:
            for entry in self._registry.list(POD_DISRUPTION_BUDGETS, namespace):
                loop.wake(entry.key)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            if old is None or new is None or _counts(old) != _counts(new):
                pod = new or old
                if pod is not None:
                    wake_all(pod.namespace)

        self._state.on_pod(on_pod)
        self._registry.subscribe(
            lambda change: wake_all(change.new.namespace), (REPLICA_SETS, DEPLOYMENTS)
        )

    def _plan(self, wire: Json) -> Plan:
        namespace = wire["metadata"]["namespace"]
        entries = self._registry.list(PODS, namespace)
        pods = [p for p in map(self._pod, entries) if p is not None]
        owners = {p.controller.uid: p for p in pods if p.controller}
        scales = {uid: self._scale(pod) for uid, pod in owners.items()}
        known = {uid: scale for uid, scale in scales.items() if scale is not None}
        return plan_budget(wire, pods, known, self._clock.now())

    def _pod(self, entry: Entry) -> Pod | None:
        return self._state.pods.get(entry.key)

    def _scale(self, pod: Pod) -> int | None:
        """What the workload behind a pod asks for."""
        owner = pod.controller
        if owner is None or owner.kind != "ReplicaSet":
            return None
        found = self._registry.get(REPLICA_SETS, owner.name, pod.namespace)
        if found is None or found["metadata"]["uid"] != owner.uid:
            return None
        for above in found["metadata"].get("ownerReferences") or ():
            if above.get("controller") and above.get("kind") == "Deployment":
                deployment = self._registry.get(DEPLOYMENTS, above["name"], pod.namespace)
                if deployment is not None:
                    found = deployment
        replicas = child(found, "spec").get("replicas")
        return 1 if replicas is None else int(replicas)


def _counts(pod: Pod) -> tuple[object, ...]:
    return pod.uid, pod.is_ready, pod.deleting, pod.is_finished, pod.labels
