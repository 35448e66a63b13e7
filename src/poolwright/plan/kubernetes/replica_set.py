"""ReplicaSets and ReplicationControllers: so many pods of a template.

Source: k8s.io/kubernetes v1.36 pkg/controller/replicaset and pkg/controller (ActivePods ranking).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Resource
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    Plan,
    RecordEvent,
    Target,
    earliest,
    patch_status,
    with_condition,
)
from poolwright.plan.kubernetes.ownership import claim
from poolwright.plan.kubernetes.template import pod_from, seconds_after

BURST = 500  # replica_set.go, BurstReplicas: pods made or deleted in one pass
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def available_at(pod: Pod, ready_at: Mapping[str, Instant], min_ready_seconds: int) -> Instant:
    """When a ready pod counts as available."""
    since = ready_at.get(pod.uid, Instant(0))
    return seconds_after(since, min_ready_seconds)


def _cost(pod: Pod) -> int:
    try:
        return int(pod.annotations.get(_DELETION_COST) or 0)
    except ValueError:
        return 0


def leaving_first(pods: Sequence[Pod]) -> list[Pod]:
    """The pods in the order in which a scale-down deletes them."""
    crowd = Counter(p.node_name for p in pods)
    newest_first = sorted(pods, key=lambda p: p.key)
    newest_first.sort(key=lambda p: p.created, reverse=True)
    newest_first.sort(key=lambda p: p.ready_since, reverse=True)
    return sorted(
        newest_first,
        key=lambda p: (
            bool(p.node_name),
            _PHASES.get(p.phase, 1),
            p.is_ready,
            _cost(p),
            -crowd[p.node_name],
            -p.restarts,
        ),
    )


@dataclass(frozen=True, slots=True)
class ReplicaKind:
    """A kind that keeps a number of pods; they differ in name only."""

    resource: Resource
    component: str


REPLICA_SET = ReplicaKind(REPLICA_SETS, "replicaset-controller")
REPLICATION_CONTROLLER = ReplicaKind(REPLICATION_CONTROLLERS, "replication-controller")


def plan_replicas(wire: Json, pods: Sequence[Pod], kind: ReplicaKind = REPLICA_SET) -> Plan:
    """Create or delete pods towards ``spec.replicas``.

    ``pods``: those that it controls, and those of its namespace that nobody does.
    """
    mine, actions = claim(kind.resource, wire, [p for p in pods if not p.is_finished])
    if "deletionTimestamp" not in wire["metadata"]:
        active = [p for p in mine if not p.deleting]
        actions.extend(_towards(wire, Target.of(kind.resource, wire), _wanted(wire), active, kind))
    return Plan(tuple(actions))


def plan_replica_status(
    wire: Json,
    pods: Sequence[Pod],
    ready_at: Mapping[str, Instant],
    now: Now,
    *,
    kind: ReplicaKind = REPLICA_SET,
    failure: tuple[str, str] | None = None,
) -> Plan:
    """Count the pods.

    ``ready_at`` says since when (world) each was ready; ``failure`` is the reason and message of
    the last attempt to create or delete pods, if it failed.
    """
    mine, _ = claim(kind.resource, wire, [p for p in pods if not p.is_finished])
    status, wake_at = _status(wire, mine, ready_at, now)
    conditions = children(wire, "status", "conditions")
    has_failed = any(c.get("type") == "ReplicaFailure" for c in conditions)
    if failure is not None and has_failed:
        pass  # each attempt has its own words, and to tell them would be to try again at once
    elif failure is not None:
        conditions = with_condition(conditions, "ReplicaFailure", "True", *failure, now.wall)
    else:
        conditions = [c for c in conditions if c.get("type") != "ReplicaFailure"]
    status["conditions"] = conditions or None
    target = Target.of(kind.resource, wire)
    return Plan(patch_status(target, wire, status, "the numbers moved"), wake_at)


def plan_replica_set(
    wire: Json,
    pods: Sequence[Pod],
    ready_at: Mapping[str, Instant],
    now: Now,
    kind: ReplicaKind = REPLICA_SET,
) -> Plan:
    """Both at once."""
    status = plan_replica_status(wire, pods, ready_at, now, kind=kind)
    return Plan((*plan_replicas(wire, pods, kind).actions, *status.actions), status.wake_at)


def _wanted(wire: Json) -> int:
    value = child(wire, "spec").get("replicas")
    return 1 if value is None else int(value)


def _towards(
    wire: Json, target: Target, wanted: int, active: Sequence[Pod], kind: ReplicaKind
) -> list[Action]:
    missing = wanted - len(active)
    actions: list[Action] = []
    if missing > 0:
        told = RecordEvent(target, "SuccessfulCreate", "Created pod: {name}", kind.component)
        because = f"{len(active)} of {wanted} pods exist"
        body = pod_from(kind.resource, wire, child(wire, "spec", "template"))
        actions.extend(CreateObject(PODS, body, because, told) for _ in range(min(missing, BURST)))
    elif missing < 0:
        for pod in leaving_first(active)[: min(-missing, BURST)]:
            gone = Target(PODS, pod.namespace, pod.name, pod.uid)
            words = f"Deleted pod: {pod.name}"
            actions.append(DeleteObject(gone, f"{len(active)} pods exist, {wanted} are wanted"))
            actions.append(RecordEvent(target, "SuccessfulDelete", words, kind.component))
    return actions


def _status(
    wire: Json, mine: Sequence[Pod], ready_at: Mapping[str, Instant], now: Now
) -> tuple[dict[str, Any], Instant | None]:
    spec = child(wire, "spec")
    minimum = int(spec.get("minReadySeconds") or 0)
    labels = dict(child(spec, "template", "metadata", "labels")).items()
    active = [p for p in mine if not p.deleting]
    ready = [p for p in active if p.is_ready]
    later: list[Instant] = []
    if minimum:
        since = (available_at(p, ready_at, minimum) for p in ready)
        later = [at for at in since if at > now.world]
    status: dict[str, Any] = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= p.labels.items() for p in active) or None,
        "readyReplicas": len(ready) or None,
        "availableReplicas": (len(ready) - len(later)) or None,
        "terminatingReplicas": len(mine) - len(active),
        "observedGeneration": wire["metadata"].get("generation", 1),
    }
    return status, earliest(*later)
