"""Runs the planners of ReplicaSets, Deployments, Jobs and budgets: one key per object."""

from __future__ import annotations

from collections.abc import Mapping

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import ClusterState, Following
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.json_path import first
from poolwright.kubesim.status import StatusError
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import (
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Resource,
)
from poolwright.model.label_selector import LabelSelector
from poolwright.model.pod import Owner, Pod
from poolwright.plan.kubernetes.action import Plan
from poolwright.plan.kubernetes.budget import plan_budget
from poolwright.plan.kubernetes.deployment import plan_deployment
from poolwright.plan.kubernetes.job import FINALIZER, JOB_NAME, plan_job, unhold
from poolwright.plan.kubernetes.job_count import JobPod
from poolwright.plan.kubernetes.ownership import claim, selector_of
from poolwright.plan.kubernetes.replica_set import (
    REPLICA_SET,
    ReplicaKind,
    plan_replica_status,
    plan_replicas,
)
from poolwright.plan.kubernetes.stateful_set import plan_stateful_set, wanted_claims
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

    def _follow_pods(self, loop: Loop[str]) -> None:
        """Follow the pods of these objects, and pods without an owner that they would adopt."""
        selectors = self._selectors(self.resource)

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            for pod in (old, new):
                owner = pod.controller if pod else None
                if pod is not None and owner is not None and owner.kind == self.resource.kind:
                    loop.wake(f"{pod.namespace}/{owner.name}")
            if new is None or new.controller is not None:
                return
            if old is None or old.controller is not None or old.labels != new.labels:
                for key, selector in selectors.get(new.namespace, {}).items():
                    if selector.matches(new.labels):
                        loop.wake(key)

        self._state.on_pod(on_pod)

    def _selectors(self, resource: Resource) -> Mapping[str, Mapping[str, LabelSelector]]:
        """By namespace and key, what the objects of a kind select; kept up to date."""
        found: dict[str, dict[str, LabelSelector]] = {}

        def learn(entry: Entry) -> None:
            selector = selector_of(resource, entry.object())
            if selector is not None:
                found.setdefault(entry.namespace, {})[entry.key] = selector

        def on_change(change: ObjectChange) -> None:
            if change.type == "DELETED":
                found.get(change.new.namespace, {}).pop(change.new.key, None)
            elif change.type == "ADDED" or resource == REPLICATION_CONTROLLERS:
                learn(change.new)  # other selectors never change

        self._registry.subscribe(on_change, (resource,))
        for entry in self._registry.list(resource):
            learn(entry)
        return found

    async def reconcile(self, key: str) -> Instant | None:
        """Move one object one step."""
        namespace, _, name = key.rpartition("/")
        wire = self._registry.get(self.resource, name, namespace)
        if wire is None:
            self._forget(key)
            return None
        return await self._move(wire)

    async def _move(self, wire: Json) -> Instant | None:
        plan = self._plan(wire)
        await self._perform(plan)
        return plan.wake_at

    async def _perform(self, plan: Plan) -> None:
        if plan.actions:
            note(planned=len(plan.actions))
            await self._performer.perform(plan)

    def _pods_of(self, wire: Json) -> list[Pod]:
        """The pods that it controls, and those that it could adopt."""
        meta = wire["metadata"]
        orphans = self._state.orphans(meta["namespace"])
        return [*self._state.owned_by(meta["uid"]), *orphans]

    def _plan(self, wire: Json) -> Plan:
        raise NotImplementedError

    def _forget(self, key: str) -> None:
        """The object is gone."""


class ReplicaController(WorkloadController):
    """So many pods of a template: ReplicaSets, or replication controllers."""

    def __init__(
        self,
        registry: Following,
        state: ClusterState,
        performer: Performer,
        clock: Clock,
        kind: ReplicaKind = REPLICA_SET,
    ) -> None:
        super().__init__(registry, state, performer, clock)
        self.resource = kind.resource
        self.name = "replica_set" if kind is REPLICA_SET else "replication_controller"
        self._kind = kind

    def _follow(self, loop: Loop[str]) -> None:
        self._follow_pods(loop)

    async def _move(self, wire: Json) -> Instant | None:
        """First the pods and then the numbers, which also say if the pods were refused."""
        failure: tuple[str, str] | None = None
        error: StatusError | None = None
        plan = plan_replicas(wire, self._pods_of(wire), self._kind)
        try:
            await self._perform(plan)
        except StatusError as refused:
            error, failure = refused, ("FailedCreate", refused.message)
        status = plan_replica_status(
            wire,
            self._pods_of(wire),
            self._state.ready_at,
            self._clock.now(),
            kind=self._kind,
            failure=failure,
        )
        await self._perform(status)
        if error is not None:
            raise error
        return status.wake_at


class StatefulSetController(WorkloadController):
    """Pods with names that last."""

    name = "stateful_set"
    resource = STATEFUL_SETS

    def _follow(self, loop: Loop[str]) -> None:
        self._follow_pods(loop)

    def _plan(self, wire: Json) -> Plan:
        owned = self._registry.owned_by(CONTROLLER_REVISIONS, wire["metadata"]["uid"])
        revisions = [entry.object() for entry in owned]
        pods, now = self._pods_of(wire), self._clock.now()
        ready_at = self._state.ready_at
        return plan_stateful_set(wire, pods, revisions, ready_at, now, self._claims(wire, pods))

    def _claims(self, wire: Json, pods: list[Pod]) -> Mapping[str, Json]:
        namespace = wire["metadata"]["namespace"]
        names = list(wanted_claims(wire, [pod for pod in pods if pod.controller is not None]))
        found = {n: self._registry.get(PERSISTENT_VOLUME_CLAIMS, n, namespace) for n in names}
        return {name: body for name, body in found.items() if body is not None}


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
        selectors = self._selectors(DEPLOYMENTS)

        def on_set(change: ObjectChange) -> None:
            entry = change.new
            owners = child(change.seen(), "metadata").get("ownerReferences") or ()
            for owner in owners:
                if owner.get("kind") == "Deployment":
                    loop.wake(f"{entry.namespace}/{owner['name']}")
            if not owners and change.type != "DELETED":
                for key, selector in selectors.get(entry.namespace, {}).items():
                    if selector.matches(entry.labels):
                        loop.wake(key)

        self._registry.subscribe(on_set, (REPLICA_SETS,))

    def _plan(self, wire: Json) -> Plan:
        namespace, uid = wire["metadata"]["namespace"], wire["metadata"]["uid"]
        entries = self._registry.list(REPLICA_SETS, namespace)
        found = (e.object() for e in entries if not e.owners or uid in e.owners)
        sets, claims = claim(DEPLOYMENTS, wire, found, REPLICA_SETS)
        now = self._clock.now()
        seen = tuple(
            (s["metadata"]["uid"], str(s.get("status")), s["spec"].get("replicas")) for s in sets
        )
        key = f"{wire['metadata']['namespace']}/{wire['metadata']['name']}"
        if self._progress.get(key, (None, None))[0] != seen:
            self._progress[key] = (seen, now.world)
        plan = plan_deployment(wire, sets, now, self._progress[key][1])
        return Plan((*claims, *plan.actions), plan.wake_at)

    def _forget(self, key: str) -> None:
        self._progress.pop(key, None)


class JobController(WorkloadController):
    """Pods that run to completion."""

    name = "job"
    resource = JOBS

    def _follow(self, loop: Loop[str]) -> None:
        self._held: dict[str, set[str]] = {}
        """By key of a job that is or was, the keys of the pods that its finalizer holds. Nobody
        else lets them go when the job is gone."""

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            is_held = new is not None and FINALIZER in new.finalizers
            if old is not None and FINALIZER in old.finalizers and not is_held:
                self._held.get(_job_key(old), set()).discard(old.key)
            elif new is not None and is_held:
                self._hold(new)
                if new.controller is None:
                    loop.wake(_job_key(new))

        self._follow_pods(loop)
        self._state.on_pod(on_pod)
        for pod in self._state.pods.values():
            if FINALIZER in pod.finalizers:
                self._hold(pod)
        for key in self._held:
            loop.wake(key)

    def _hold(self, pod: Pod) -> None:
        self._held.setdefault(_job_key(pod), set()).add(pod.key)

    async def reconcile(self, key: str) -> Instant | None:
        """Move one job one step; let go what an earlier job of the name held."""
        wake_at = await super().reconcile(key)
        namespace, _, name = key.rpartition("/")
        job = self._registry.entry(JOBS, name, namespace)
        held = [self._state.pods.get(pod) for pod in sorted(self._held.get(key, ()))]
        left = [pod for pod in held if pod is not None and _is_left(pod, job)]
        if left:
            await self._perform(Plan(tuple(unhold(pod) for pod in left)))
        if not self._held.get(key):
            self._held.pop(key, None)
        return wake_at

    def _plan(self, wire: Json) -> Plan:
        mine, claims = claim(JOBS, wire, self._pods_of(wire))
        has_policy = bool(child(wire, "spec").get("podFailurePolicy"))
        pods = [self._job_pod(p, with_status=has_policy and p.phase == "Failed") for p in mine]
        plan = plan_job(wire, pods, self._clock.now())
        return Plan((*claims, *plan.actions), plan.wake_at)

    def _job_pod(self, pod: Pod, *, with_status: bool) -> JobPod:
        body = self._registry.get(PODS, pod.name, pod.namespace) if with_status else None
        finished_at = self._state.finished_at.get(pod.uid)
        return JobPod(pod, FINALIZER in pod.finalizers, finished_at, child(body or {}, "status"))


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
            lambda change: wake_all(change.new.namespace), (*_SCALED.values(), DEPLOYMENTS)
        )

        def on_change(change: ObjectChange) -> None:
            if change.kind.declared is not None and change.kind.declared.scale is not None:
                wake_all(change.new.namespace)

        self._registry.subscribe(on_change, ())

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
        if owner is None:
            return None
        resource = _SCALED.get(owner.kind)
        if resource is None:
            return self._custom_scale(owner, pod.namespace)
        found = self._registry.get(resource, owner.name, pod.namespace)
        if found is None or found["metadata"]["uid"] != owner.uid:
            return None
        for above in found["metadata"].get("ownerReferences") or ():
            if above.get("controller") and above.get("kind") == "Deployment":
                deployment = self._registry.get(DEPLOYMENTS, above["name"], pod.namespace)
                if deployment is not None:
                    found = deployment
        replicas = child(found, "spec").get("replicas")
        return 1 if replicas is None else int(replicas)

    def _custom_scale(self, owner: Owner, namespace: str) -> int | None:
        """What a custom resource with a scale asks for; None if no number is where it says."""
        for kind in self._registry.catalog.kinds:
            if kind.resource.kind == owner.kind and kind.declared and kind.declared.scale:
                found = self._registry.get(kind, owner.name, namespace)
                if found is not None and found["metadata"]["uid"] == owner.uid:
                    asked = first(found, kind.declared.scale.spec)
                    return asked if type(asked) is int else None
        return None


def _job_key(pod: Pod) -> str:
    """The job that a pod is or was of."""
    owner = pod.controller
    name = pod.labels.get(JOB_NAME, "") if owner is None else owner.name
    return f"{pod.namespace}/{name}"


def _is_left(pod: Pod, job: Entry | None) -> bool:
    """Whether the job that held a pod is gone; this one may have come after it."""
    return job is None or (pod.controller is not None and pod.controller.uid != job.uid)


_SCALED = {each.kind: each for each in (REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)}


def _counts(pod: Pod) -> tuple[object, ...]:
    return pod.uid, pod.is_ready, pod.deleting, pod.is_finished, pod.labels
