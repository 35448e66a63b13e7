"""StatefulSets: pods with names that last, made, replaced and deleted in order.

Source: k8s.io/kubernetes v1.36 pkg/controller/statefulset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import PODS, STATEFUL_SETS
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
from poolwright.plan.kubernetes.history import (
    REVISION_LABEL,
    Revision,
    plan_history,
    plan_truncation,
    revision_of,
)
from poolwright.plan.kubernetes.ownership import claim
from poolwright.plan.kubernetes.replica_set import available_at
from poolwright.plan.kubernetes.stateful_claim import (
    claim_name,
    claim_names,
    missing_claims,
    retained,
    template_names,
)
from poolwright.plan.kubernetes.template import pod_from, rounded

CONTROLLER = "statefulset-controller"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_HASH = "controller.kubernetes.io/hash"


@dataclass(frozen=True, slots=True)
class _Set:
    wire: Json
    target: Target
    name: str
    first: int
    wanted: int
    in_order: bool
    rolls: bool
    partition: int
    max_unavailable: int | str | None
    current: Revision
    update: Revision
    available: frozenset[str]
    """Pods, by uid, that were ready for long enough."""
    claims: Mapping[str, Json]
    """The claims that its pods have, by name."""

    def ordinal(self, pod: Pod) -> int:
        stem, _, number = pod.name.rpartition("-")
        return int(number) if stem == self.name and number.isdigit() else -1

    def is_up(self, pod: Pod) -> bool:
        return pod.phase == "Running" and pod.is_ready and not pod.deleting

    def is_available(self, pod: Pod) -> bool:
        return self.is_up(pod) and pod.uid in self.available

    def is_updated(self, pod: Pod) -> bool:
        return pod.labels.get(REVISION_LABEL) == self.update.name


def plan_stateful_set(
    wire: Json,
    pods: Sequence[Pod],
    revisions: Sequence[Json],
    ready_at: Mapping[str, Instant],
    now: Now,
    claims: Mapping[str, Json] | None = None,
) -> Plan:
    """Move a set one step.

    ``pods``: those that it controls and those of its namespace that nobody does; ``revisions``:
    its ControllerRevisions; ``ready_at``: since when (world) each pod, by uid, was ready;
    ``claims``: those of `wanted_claims` that there are.
    """
    update, actions = plan_history(STATEFUL_SETS, wire, revisions, _HASH)
    known = {r["metadata"]["name"]: revision_of(r) for r in revisions}
    current = known.get(str(child(wire, "status").get("currentRevision") or ""), update)
    name = wire["metadata"]["name"]
    named = [p for p in pods if p.controller or p.name.rpartition("-")[0] == name]
    mine, adoptions = claim(STATEFUL_SETS, wire, named)
    actions.extend(adoptions)
    minimum = int(child(wire, "spec").get("minReadySeconds") or 0)
    since = {p.uid: available_at(p, ready_at, minimum) for p in mine if p.is_ready}
    spec = child(wire, "spec")
    rolling = child(spec, "updateStrategy", "rollingUpdate")
    stateful = _Set(
        wire,
        Target.of(STATEFUL_SETS, wire),
        name,
        int(child(spec, "ordinals").get("start") or 0),
        int(1 if spec.get("replicas") is None else spec["replicas"]),
        spec.get("podManagementPolicy") != "Parallel",
        child(spec, "updateStrategy").get("type") != "OnDelete",
        int(rolling.get("partition") or 0),
        rolling.get("maxUnavailable"),
        current,
        update,
        frozenset(uid for uid, at in since.items() if at <= now.world),
        claims or {},
    )
    by_ordinal = {stateful.ordinal(p): p for p in mine}
    if "deletionTimestamp" not in wire["metadata"]:
        actions.extend(_step(stateful, by_ordinal))
        used = [current.name, update.name, *(p.labels.get(REVISION_LABEL, "") for p in mine)]
        actions.extend(plan_truncation(wire, revisions, used))
    status = _status(stateful, mine)
    actions.extend(patch_status(stateful.target, wire, status, "the numbers moved"))
    later = (at for at in since.values() if at > now.world)
    return Plan(tuple(actions), earliest(*later))


def wanted_claims(wire: Json, pods: Sequence[Pod]) -> Iterator[str]:
    """The names of the claims that a set's pods have or will have."""
    if not child(wire, "spec").get("volumeClaimTemplates"):
        return iter(())
    first = int(child(wire, "spec", "ordinals").get("start") or 0)
    wanted = child(wire, "spec").get("replicas")
    name = wire["metadata"]["name"]
    names = [f"{name}-{o}" for o in range(first, first + int(1 if wanted is None else wanted))]
    return claim_names(wire, iter(dict.fromkeys([*names, *(pod.name for pod in pods)])))


def _step(of: _Set, pods: Mapping[int, Pod]) -> list[Action]:
    actions: list[Action] = []
    ordinals = range(of.first, of.first + of.wanted)
    for ordinal in ordinals:
        pod = pods.get(ordinal)
        if pod is None:
            actions.extend(missing_claims(of.wire, f"{of.name}-{ordinal}", of.claims, CONTROLLER))
            actions.append(_create(of, ordinal))
        elif pod.is_finished:
            if not pod.deleting:
                words = f"StatefulSet {of.target.namespace}/{of.name} is recreating failed Pod"
                told = f"{words} {pod.name}"
                event = RecordEvent(of.target, "RecreatingFailedPod", told, CONTROLLER, "Warning")
                actions.extend((event, *_delete(of, pod, "it ended")))
            return actions
        else:
            actions.extend(retained(of.wire, pod, of.claims, condemned=False))
            if pod.phase == "Pending":
                actions.extend(missing_claims(of.wire, pod.name, of.claims, CONTROLLER))
        if pod is not None and of.is_available(pod):
            continue
        if of.in_order:
            return actions
    condemned = sorted((o for o in pods if o not in ordinals), reverse=True)
    unhealthy = next((o for o in sorted(pods) if not of.is_up(pods[o])), None)
    for ordinal in condemned:
        pod = pods[ordinal]
        if of.in_order and (pod.deleting or (not of.is_up(pod) and ordinal != unhealthy)):
            return actions
        actions.extend(retained(of.wire, pod, of.claims, condemned=True))
        if not pod.deleting:
            actions.extend(_delete(of, pod, f"{of.wanted} pods are wanted"))
        if of.in_order:
            return actions
    if of.rolls:
        replicas = [pods[o] for o in ordinals if o in pods]
        actions.extend(_roll(of, replicas))
    return actions


def _roll(of: _Set, replicas: Sequence[Pod]) -> list[Action]:
    """Replace pods of older templates from the highest ordinal down."""
    allowed = max(1, rounded(of.max_unavailable, of.wanted, up=True))
    if of.max_unavailable is None:
        allowed = 1
    room = allowed - sum(not of.is_available(p) for p in replicas)
    actions: list[Action] = []
    for pod in reversed(replicas):
        if of.ordinal(pod) - of.first < of.partition:
            break
        if not of.is_updated(pod) and not pod.deleting and (room > 0 or not of.is_up(pod)):
            actions.extend(_delete(of, pod, "its template is not the current one"))
            room -= 1
            if allowed == 1:
                break
        elif not of.is_available(pod) and allowed == 1:
            break
    return actions


def _delete(of: _Set, pod: Pod, because: str) -> tuple[Action, Action]:
    words = f"delete Pod {pod.name} in StatefulSet {of.name} successful"
    gone = DeleteObject(Target(PODS, pod.namespace, pod.name, pod.uid), because)
    return gone, RecordEvent(of.target, "SuccessfulDelete", words, CONTROLLER)


def _create(of: _Set, ordinal: int) -> Action:
    replicas = int(child(of.wire, "status").get("currentReplicas") or 0)
    has_partition = bool(child(of.wire, "spec", "updateStrategy", "rollingUpdate"))
    kept = of.partition if has_partition else replicas
    is_old = of.rolls and ordinal - of.first < kept
    revision = of.current if is_old else of.update
    name = f"{of.name}-{ordinal}"
    labels = {POD_NAME: name, POD_INDEX: str(ordinal), REVISION_LABEL: revision.name}
    body = pod_from(STATEFUL_SETS, of.wire, revision.template, labels=labels)
    del body["metadata"]["generateName"]
    body["metadata"]["name"] = name
    spec = body["spec"]
    spec["hostname"] = name
    if child(of.wire, "spec").get("serviceName"):
        spec["subdomain"] = of.wire["spec"]["serviceName"]
    spec_volumes = _volumes(of, name, spec)
    if spec_volumes:
        spec["volumes"] = spec_volumes
    words = f"create Pod {name} in StatefulSet {of.name} successful"
    told = RecordEvent(of.target, "SuccessfulCreate", words, CONTROLLER)
    return CreateObject(PODS, body, f"{of.wanted} pods are wanted", told)


def _volumes(of: _Set, pod: str, spec: Json) -> list[dict[str, Any]]:
    claims = template_names(of.wire)
    kept = [dict(v) for v in spec.get("volumes") or () if v.get("name") not in claims]
    made = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim_name(name, pod)}}
        for name in claims
    ]
    return made + kept


def _status(of: _Set, pods: Sequence[Pod]) -> dict[str, Any]:
    alive = [p for p in pods if not p.deleting]
    updated = sum(of.is_updated(p) for p in alive)
    currents = sum(p.labels.get(REVISION_LABEL) == of.current.name for p in alive)
    ready = sum(p.phase == "Running" and p.is_ready for p in pods)
    done = of.rolls and len(pods) == updated == ready == of.wanted
    status: dict[str, Any] = {
        "replicas": len(pods),
        "readyReplicas": ready or None,
        "currentReplicas": (updated if done else currents) or None,
        "updatedReplicas": updated or None,
        "availableReplicas": sum(of.is_available(p) for p in pods),
        "currentRevision": of.update.name if done else of.current.name,
        "updateRevision": of.update.name,
        "collisionCount": child(of.wire, "status").get("collisionCount") or 0,
        "observedGeneration": of.wire["metadata"].get("generation", 1),
    }
    return status
