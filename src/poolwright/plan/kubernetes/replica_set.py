"""ReplicaSets: so many pods of a template.

Source: k8s.io/kubernetes v1.35 pkg/controller/replicaset and pkg/controller (ActivePods ranking).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import PODS, REPLICA_SETS
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
)
from poolwright.plan.kubernetes.template import pod_from, seconds_after

CONTROLLER = "replicaset-controller"
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


def plan_replica_set(
    wire: Json, pods: Sequence[Pod], ready_at: Mapping[str, Instant], now: Now
) -> Plan:
    """Create or delete pods towards ``spec.replicas``, and count them.

    ``pods`` are all that the set controls; ``ready_at`` says since when (world) each was ready.
    """
    spec = child(wire, "spec")
    target = Target.of(REPLICA_SETS, wire)
    wanted = int(1 if spec.get("replicas") is None else spec["replicas"])
    active = [p for p in pods if not p.is_finished and not p.deleting]
    actions: list[Action] = []
    if "deletionTimestamp" not in wire["metadata"]:
        actions.extend(_towards(wire, target, wanted, active))
    status, wake_at = _status(wire, active, ready_at, now)
    actions.extend(patch_status(target, wire, status, "the numbers moved"))
    return Plan(tuple(actions), wake_at)


def _towards(wire: Json, target: Target, wanted: int, active: Sequence[Pod]) -> list[Action]:
    missing = wanted - len(active)
    actions: list[Action] = []
    if missing > 0:
        told = RecordEvent(target, "SuccessfulCreate", "Created pod: {name}", CONTROLLER)
        because = f"{len(active)} of {wanted} pods exist"
        body = pod_from(REPLICA_SETS, wire, child(wire, "spec", "template"))
        actions.extend(CreateObject(PODS, body, because, told) for _ in range(min(missing, BURST)))
    elif missing < 0:
        for pod in leaving_first(active)[: min(-missing, BURST)]:
            gone = Target(PODS, pod.namespace, pod.name, pod.uid)
            words = f"Deleted pod: {pod.name}"
            actions.append(DeleteObject(gone, f"{len(active)} pods exist, {wanted} are wanted"))
            actions.append(RecordEvent(target, "SuccessfulDelete", words, CONTROLLER))
    return actions


def _status(
    wire: Json, active: Sequence[Pod], ready_at: Mapping[str, Instant], now: Now
) -> tuple[dict[str, Any], Instant | None]:
    spec = child(wire, "spec")
    minimum = int(spec.get("minReadySeconds") or 0)
    labels = child(spec, "template", "metadata", "labels").items()
    ready = [p for p in active if p.is_ready]
    since = [available_at(p, ready_at, minimum) for p in ready]
    later = [at for at in since if at > now.world]
    status: dict[str, Any] = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(all(p.labels.get(k) == v for k, v in labels) for p in active)
        or None,
        "readyReplicas": len(ready) or None,
        "availableReplicas": (len(since) - len(later)) or None,
        "observedGeneration": wire["metadata"].get("generation", 1),
    }
    return status, earliest(*later)
