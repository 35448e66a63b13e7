"""DaemonSets: one pod on every node that wants one.

Decided node by node, so that a change costs what it concerns; the numbers of a set's status and its
rolling update come from a tally that is kept as nodes change.

Source: k8s.io/kubernetes v1.36 pkg/controller/daemon.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import DAEMON_SETS, PODS
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import TaintEffect, untolerated
from poolwright.plan.fit import matches_selector
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    Plan,
    RecordEvent,
    Target,
    patch_status,
)
from poolwright.plan.kubernetes.history import REVISION_LABEL, current_hash
from poolwright.plan.kubernetes.template import pod_from, rounded

CONTROLLER = "daemonset-controller"
GENERATION_LABEL = "pod-template-generation"


def _toleration(key: str, effect: str) -> dict[str, str]:
    return {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}


# util/daemonset_util.go, AddOrUpdateDaemonPodTolerations
AUTOMATIC_TOLERATIONS = (
    _toleration("not-ready", "NoExecute"),
    _toleration("unreachable", "NoExecute"),
    _toleration("disk-pressure", "NoSchedule"),
    _toleration("memory-pressure", "NoSchedule"),
    _toleration("pid-pressure", "NoSchedule"),
    _toleration("unschedulable", "NoSchedule"),
)
HOST_NETWORK_TOLERATION = _toleration("network-unavailable", "NoSchedule")

FAILED_POD = "FailedDaemonPod"
"""The event about a failed pod that is taken away."""
_ENDED = {
    "Failed": (FAILED_POD, "Warning", "will try to kill"),
    "Succeeded": ("SucceededDaemonPod", "Normal", "will try to delete"),
}
"""By phase, how the set speaks of a pod that ended: it is deleted."""


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """A DaemonSet with what is worked out once per revision."""

    wire: Json
    target: Target
    revision: str
    pod_spec: Mapping[str, Any]
    probe: Pod
    hash: str
    rolling: bool
    max_unavailable: int | str
    max_surge: int | str
    min_ready_seconds: int
    deleting: bool

    @classmethod
    def from_object(cls, wire: Json, revisions: Sequence[Json] = ()) -> DaemonSet:
        """Read Kubernetes' JSON form; ``revisions`` are the set's ControllerRevisions."""
        spec = child(wire, "spec")
        template = child(spec, "template")
        pod_spec: dict[str, Any] = dict(child(template, "spec"))
        tolerations: list[Any] = list(pod_spec.get("tolerations") or ())
        automatic = AUTOMATIC_TOLERATIONS
        if pod_spec.get("hostNetwork"):
            automatic = (*automatic, HOST_NETWORK_TOLERATION)
        tolerations.extend(t for t in automatic if t not in tolerations)
        pod_spec["tolerations"] = tolerations
        strategy = child(spec, "updateStrategy")
        unavailable = child(strategy, "rollingUpdate").get("maxUnavailable")
        surge = child(strategy, "rollingUpdate").get("maxSurge")
        return cls(
            wire=wire,
            target=Target.of(DAEMON_SETS, wire),
            revision=wire["metadata"].get("resourceVersion", ""),
            pod_spec=pod_spec,
            probe=Pod.from_object({"metadata": {"name": ""}, "spec": pod_spec}),
            hash=current_hash(wire, revisions),
            rolling=strategy.get("type", "RollingUpdate") == "RollingUpdate",
            max_unavailable=1 if unavailable is None else unavailable,
            max_surge=0 if surge is None else surge,
            min_ready_seconds=int(spec.get("minReadySeconds") or 0),
            deleting="deletionTimestamp" in wire["metadata"],
        )

    @property
    def surges(self) -> bool:
        """Whether a new pod may come up beside the old one (AllowsSurge)."""
        return self.rolling and rounded(self.max_surge, 100, up=True) > 0

    def pod_for(self, node: str) -> dict[str, Any]:
        """The pod of this set for a node: bound through affinity on the node's name."""
        meta = self.wire["metadata"]
        labels = {REVISION_LABEL: self.hash, GENERATION_LABEL: str(meta.get("generation", 1))}
        template = {**child(self.wire, "spec", "template"), "spec": self.pod_spec}
        body = pod_from(DAEMON_SETS, self.wire, template, labels=labels)
        pinned = {"key": "metadata.name", "operator": "In", "values": [node]}
        affinity = dict(child(self.pod_spec, "affinity"))
        affinity["nodeAffinity"] = {
            **child(affinity, "nodeAffinity"),
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [pinned]}]
            },
        }
        body["spec"]["affinity"] = affinity
        return body


def runs_on(daemon_set: DaemonSet, node: Node) -> tuple[bool, bool]:
    """Whether a pod should be started on a node, and whether one there may stay."""
    probe = daemon_set.probe
    if probe.node_name and probe.node_name != node.name:
        return False, False
    if not matches_selector(probe, node):
        return False, False
    if untolerated(node.taints, probe.tolerations, (TaintEffect.NO_EXECUTE,)):
        return False, False
    if untolerated(node.taints, probe.tolerations, (TaintEffect.NO_SCHEDULE,)):
        return False, True
    return True, True


@dataclass(frozen=True, slots=True)
class Place:
    """What one node contributes to a set's status. ``outdated`` is its pod of an older template;
    ``surging``: a new one is there as well.
    """

    desired: bool = False
    scheduled: bool = False
    misscheduled: bool = False
    ready: bool = False
    available: bool = False
    updated: bool = False
    outdated: Target | None = None
    surging: bool = False
    leaving: bool = False


_FIRST_PATIENCE = timedelta(seconds=1)  # daemon_controller.go, NewController: failedPodsBackoff
_MOST_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class FailureBackOff:
    """How long a node keeps the next pod of a set that failed: a kubelet that refuses them must
    not be asked without a pause. It begins anew with another template (``hash``).
    """

    hash: str
    since: Instant
    patience: timedelta = _FIRST_PATIENCE

    @property
    def until(self) -> Instant:
        """When the next failed pod may be taken away."""
        return self.since.after(self.patience)

    def next(self, hash_: str, now: Instant) -> FailureBackOff:
        """After another failed pod was taken away."""
        if self.hash != hash_ or now.since(self.since) > 2 * _MOST_PATIENCE:
            return FailureBackOff(hash_, now)
        return FailureBackOff(hash_, now, min(2 * self.patience, _MOST_PATIENCE))


def _target(pod: Pod) -> Target:
    return Target(PODS, pod.namespace, pod.name, pod.uid)


def _delete(daemon_set: DaemonSet, pod: Pod, because: str) -> tuple[Action, ...]:
    told = RecordEvent(
        daemon_set.target, "SuccessfulDelete", f"Deleted pod: {pod.name}", CONTROLLER
    )
    return DeleteObject(_target(pod), because), told


def _sorted(daemon_set: DaemonSet, pods: Sequence[Pod]) -> tuple[list[Pod], list[Pod]]:
    """The pods of the present template and those of older ones that stay, each oldest first."""
    live = sorted((p for p in pods if not p.deleting), key=lambda p: (p.created, p.name))
    new = [p for p in live if p.labels.get(REVISION_LABEL) == daemon_set.hash]
    return new, [p for p in live if p not in new]


def plan_daemon_node(
    daemon_set: DaemonSet,
    name: str,
    node: Node | None,
    pods: Sequence[Pod],
    *,
    available: frozenset[str] = frozenset(),
    may_surge: bool = False,
    failed_until: Instant | None = None,
) -> Plan:
    """What a set does on one node.

    ``pods`` are the set's pods that are on it or bound for it, ``available`` those of them, by
    uid, that were ready for long enough; ``may_surge``: a new pod may come beside the old one;
    ``failed_until``: until then a pod that failed is left there.
    """
    if daemon_set.deleting or node is None:
        return Plan()
    should_run, may_stay = runs_on(daemon_set, node)
    live = sorted((p for p in pods if not p.deleting), key=lambda p: (p.created, p.name))
    actions: list[Action] = []
    if not may_stay:
        for pod in live:
            actions.extend(_delete(daemon_set, pod, "the node does not want the set"))
        return Plan(tuple(actions))
    is_patient = failed_until is not None and any(p.phase == "Failed" for p in live)
    for pod in live:
        if pod.phase in _ENDED and not (is_patient and pod.phase == "Failed"):
            reason, kind, way = _ENDED[pod.phase]
            words = f"Found {pod.phase.lower()} daemon pod {pod.key} on node {name}, {way} it"
            actions.append(RecordEvent(daemon_set.target, reason, words, CONTROLLER, kind))
            actions.extend(_delete(daemon_set, pod, f"it {pod.phase.lower()}"))
    kept = [p for p in live if p.phase not in _ENDED]
    for pod in _superfluous(daemon_set, kept, available):
        actions.extend(_delete(daemon_set, pod, "the node has another pod of the set"))
    new, old = _sorted(daemon_set, kept)
    waits = kept if daemon_set.surges else pods  # with a surge one that leaves is no obstacle
    wants = not waits or (may_surge and bool(old) and not new)
    if should_run and wants and not is_patient:
        told = RecordEvent(daemon_set.target, "SuccessfulCreate", "Created pod: {name}", CONTROLLER)
        body = daemon_set.pod_for(name)
        because = f"{name} has no pod of the {'present template' if waits else 'set'}"
        actions.append(CreateObject(PODS, body, because, told))
    return Plan(tuple(actions), failed_until if is_patient else None)


def _superfluous(
    daemon_set: DaemonSet, pods: Sequence[Pod], available: frozenset[str]
) -> Sequence[Pod]:
    """All but the oldest; with a surge the old one stays until the new one can replace it."""
    if not daemon_set.surges:
        return pods[1:]
    new, old = _sorted(daemon_set, pods)
    if new and old and (not old[0].is_ready or new[0].uid in available):
        return (*old, *new[1:])
    return (*old[1:], *new[1:])


def place_of(
    daemon_set: DaemonSet, node: Node | None, pods: Sequence[Pod], available: frozenset[str]
) -> Place:
    """What a node contributes; ``available``: the pods, by uid, that were ready long enough."""
    desired = node is not None and runs_on(daemon_set, node)[0]
    new, old = _sorted(daemon_set, pods)
    if not desired:
        return Place(misscheduled=bool(pods), outdated=_target(old[0]) if old else None)
    live = sorted((*new, *old), key=lambda p: (p.created, p.name))
    if not live:
        return Place(desired=True, scheduled=bool(pods), leaving=bool(pods))
    pod = live[0]
    return Place(
        desired=True,
        scheduled=True,
        ready=pod.is_ready,
        available=pod.is_ready and pod.uid in available,
        updated=pod in new,
        outdated=_target(old[0]) if old else None,
        surging=bool(old and new),
    )


class DaemonTally:
    """The places of one set, with their sums kept. It says nothing before every node of
    ``awaited`` was counted: half of them would read as a set that has come up, or has room.
    """

    def __init__(self, awaited: Iterable[str] = ()) -> None:
        self._awaited = set(awaited)
        self._places: dict[str, Place] = {}
        self._outdated: dict[str, Place] = {}
        self._sums = dict.fromkeys(
            ("desired", "scheduled", "misscheduled", "ready", "available", "updated"), 0
        )

    def set(self, node: str, place: Place | None) -> None:
        """Replace a node's place; None forgets it."""
        self._awaited.discard(node)
        old = self._places.pop(node, None)
        self._outdated.pop(node, None)
        for sign, counted in ((-1, old), (1, place)):
            if counted is not None:
                for name in self._sums:
                    self._sums[name] += sign * getattr(counted, name)
        if place is not None and (place.desired or place.misscheduled):
            self._places[node] = place
            if place.outdated is not None:
                self._outdated[node] = place

    @property
    def is_complete(self) -> bool:
        """Whether every node was counted."""
        return not self._awaited

    def status(self, daemon_set: DaemonSet) -> dict[str, Any]:
        """The status of the set."""
        sums = self._sums
        return {
            "currentNumberScheduled": sums["scheduled"],
            "numberMisscheduled": sums["misscheduled"],
            "desiredNumberScheduled": sums["desired"],
            "numberReady": sums["ready"],
            "observedGeneration": daemon_set.wire["metadata"].get("generation", 1),
            "updatedNumberScheduled": sums["updated"],
            "numberAvailable": sums["available"] or None,
            "numberUnavailable": (sums["desired"] - sums["available"]) or None,
        }

    def rollout(self, daemon_set: DaemonSet) -> list[Target]:
        """Pods of older templates to replace now, without passing maxUnavailable."""
        if not daemon_set.rolling or daemon_set.surges or self._awaited:
            return []
        allowed = rounded(daemon_set.max_unavailable, self._sums["desired"], up=True)
        room = max(1, allowed) - (self._sums["desired"] - self._sums["available"])
        chosen: list[Target] = []
        for name in sorted(self._outdated):
            place = self._outdated[name]
            if place.outdated is None:
                continue
            if place.desired and not place.available:
                chosen.append(place.outdated)  # it is unavailable anyway
            elif room > 0:
                chosen.append(place.outdated)
                room -= 1
        return chosen

    def surge(self, daemon_set: DaemonSet, begun: Collection[str] = ()) -> list[str]:
        """Nodes that may now have a new pod beside the old one, without passing maxSurge.

        ``begun``: those that were told so and have not got it yet.
        """
        if not daemon_set.surges or self._awaited:
            return []
        room = max(1, rounded(daemon_set.max_surge, self._sums["desired"], up=True))
        room -= sum(place.surging or name in begun for name, place in self._outdated.items())
        chosen: list[str] = []
        for name in sorted(self._outdated):
            place = self._outdated[name]
            if place.surging or name in begun or not place.desired:
                continue
            if not place.available:
                chosen.append(name)
            elif room > 0:
                chosen.append(name)
                room -= 1
        return chosen


def plan_daemon_set(daemon_set: DaemonSet, tally: DaemonTally) -> Plan:
    """The set's status, and the next pods of its rolling update."""
    actions: list[Action] = []
    if not tally.is_complete:
        return Plan()
    if not daemon_set.deleting:
        for target in tally.rollout(daemon_set):
            words = f"Deleted pod: {target.name}"
            actions.append(DeleteObject(target, "its template is not the current one"))
            actions.append(RecordEvent(daemon_set.target, "SuccessfulDelete", words, CONTROLLER))
    status = tally.status(daemon_set)
    actions.extend(patch_status(daemon_set.target, daemon_set.wire, status, "the numbers moved"))
    return Plan(tuple(actions))
