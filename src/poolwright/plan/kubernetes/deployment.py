"""Deployments: roll a template out over ReplicaSets.

Source: k8s.io/kubernetes v1.36 pkg/controller/deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import DEPLOYMENTS, REPLICA_SETS
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    Target,
    patch_status,
)
from poolwright.plan.kubernetes.deployment_scale import (
    CONTROLLER,
    DESIRED,
    MAXIMUM,
    notes_of,
    plan_scale,
    scale_set,
)
from poolwright.plan.kubernetes.deployment_status import (
    Sizes,
    count_of,
    deployment_status,
    is_recreate,
    replicas_of,
    sizes_of,
)
from poolwright.plan.kubernetes.template import (
    TEMPLATE_HASH,
    owner_reference,
    safe_hash,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
    )
)  # deployment_util.go, annotationsToSkip


def _template_of(wire: Json) -> Json:
    """A template without the hash label that the controller adds."""
    template = dict(child(wire, "spec", "template"))
    meta = dict(child(template, "metadata"))
    labels = child(meta, "labels")
    meta["labels"] = {k: v for k, v in labels.items() if k != TEMPLATE_HASH}
    template["metadata"] = {k: v for k, v in meta.items() if v}
    return template


def _revision(wire: Json) -> int:
    text = child(wire, "metadata", "annotations").get(REVISION) or "0"
    return int(text) if str(text).isdigit() else 0


def plan_deployment(
    wire: Json, sets: Sequence[Json], now: Now, progressed_at: Instant | None = None
) -> Plan:
    """Move a rollout one step; ``sets`` are the ReplicaSets it controls.

    ``progressed_at``: the world instant at which its numbers last moved.
    """
    target = Target.of(DEPLOYMENTS, wire)
    template = _template_of(wire)
    matching = [s for s in sets if _template_of(s) == template]
    current = min(
        matching,
        key=lambda s: (s["metadata"]["creationTimestamp"], s["metadata"]["name"]),
        default=None,
    )
    old = sorted(
        (s for s in sets if s is not current),
        key=lambda s: (s["metadata"].get("creationTimestamp", ""), s["metadata"]["name"]),
    )
    actions: list[Action] = []
    if "deletionTimestamp" not in wire["metadata"]:
        if child(wire, "spec").get("paused") or _is_scaled(wire, sets):
            actions.extend(plan_scale(wire, target, current, old))
        else:
            actions.extend(_roll(wire, target, template, current, old))
        actions.extend(_forget_old(wire, old))
    status, wake_at = deployment_status(wire, current, old, now, progressed_at)
    actions.extend(patch_status(target, wire, status, "the numbers moved"))
    return Plan(tuple(actions), wake_at)


def _roll(
    wire: Json, target: Target, template: Json, current: Json | None, old: Sequence[Json]
) -> list[Action]:
    sizes = sizes_of(wire)
    if is_recreate(wire) and any(replicas_of(s) for s in old):
        return [a for s in old for a in scale_set(target, s, 0, wire)]
    if is_recreate(wire) and any(
        count_of(s, "replicas") or count_of(s, "terminatingReplicas") for s in old
    ):
        return []
    total_old = sum(replicas_of(s) for s in old)
    newest = max([_revision(s) for s in old], default=0)
    if current is None:
        count = max(0, min(sizes.wanted, sizes.most - total_old))
        return _new_set(wire, target, template, count, newest + 1)
    actions: list[Action] = []
    revision = _revision(current)
    if revision <= newest:
        revision = newest + 1
    actions.extend(_annotate(wire, target, current, revision))
    have = replicas_of(current)
    if not total_old:
        actions.extend(scale_set(target, current, sizes.wanted, wire))
        return actions
    if have > sizes.wanted:
        actions.extend(scale_set(target, current, sizes.wanted, wire))
    elif have < sizes.wanted:
        room = max(0, sizes.most - total_old - have)
        actions.extend(scale_set(target, current, have + min(room, sizes.wanted - have), wire))
    actions.extend(_shrink(wire, target, current, old, sizes))
    return actions


def _shrink(
    wire: Json, target: Target, current: Json, old: Sequence[Json], sizes: Sizes
) -> list[Action]:
    """Take from the old sets what availability allows: first what is not available anyway."""
    total = sum(replicas_of(s) for s in (current, *old))
    missing_new = replicas_of(current) - count_of(current, "availableReplicas")
    room = total - sizes.least_available - missing_new
    if room <= 0:
        return []
    goals = {s["metadata"]["name"]: replicas_of(s) for s in old}
    for wire_ in old:
        name = wire_["metadata"]["name"]
        unhealthy = max(0, goals[name] - count_of(wire_, "availableReplicas"))
        cut = min(room, unhealthy)
        goals[name] -= cut
        room -= cut
    available = sum(count_of(s, "availableReplicas") for s in (current, *old))
    room = min(room, max(0, available - sizes.least_available))
    for wire_ in old:
        name = wire_["metadata"]["name"]
        cut = min(room, goals[name])
        goals[name] -= cut
        room -= cut
    return [a for s in old for a in scale_set(target, s, goals[s["metadata"]["name"]], wire)]


def _copied(wire: Json) -> dict[str, str]:
    """The deployment's annotations that its sets get: among them the cause of a change."""
    return {k: v for k, v in child(wire, "metadata", "annotations").items() if k not in _NOT_COPIED}


def _is_scaled(wire: Json, sets: Sequence[Json]) -> bool:
    """Whether the deployment was scaled since its sets were."""
    wanted = str(sizes_of(wire).wanted)
    found = (child(s, "metadata", "annotations").get(DESIRED) for s in sets if replicas_of(s))
    return any(desired is not None and desired != wanted for desired in found)


def _new_set(wire: Json, target: Target, template: Json, count: int, revision: int) -> list[Action]:
    meta = wire["metadata"]
    digest = safe_hash([template, child(wire, "status").get("collisionCount") or 0], 10)
    name = f"{meta['name']}-{digest}"
    labels = {**child(template, "metadata", "labels"), TEMPLATE_HASH: digest}
    selector = dict(child(wire, "spec", "selector"))
    selector["matchLabels"] = {**child(selector, "matchLabels"), TEMPLATE_HASH: digest}
    body: dict[str, Any] = {
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {**_copied(wire), **notes_of(wire), REVISION: str(revision)},
            "ownerReferences": [owner_reference(DEPLOYMENTS, wire)],
        },
        "spec": {
            "replicas": count,
            "selector": selector,
            "template": {
                **template,
                "metadata": {**child(template, "metadata"), "labels": labels},
            },
        },
    }
    if child(wire, "spec").get("minReadySeconds"):
        body["spec"]["minReadySeconds"] = wire["spec"]["minReadySeconds"]
    told = RecordEvent(
        target,
        "ScalingReplicaSet",
        f"Scaled up replica set {name} from 0 to {count}",
        CONTROLLER,
    )
    return [
        CreateObject(REPLICA_SETS, body, "no set has this template", told if count else None),
        *_own_revision(wire, target, revision),
    ]


def _own_revision(wire: Json, target: Target, revision: int) -> list[Action]:
    if _revision(wire) == revision:
        return []
    patch = {"metadata": {"annotations": {REVISION: str(revision)}}}
    return [PatchObject(target, patch, "the set of this template has this revision")]


def _annotate(wire: Json, target: Target, current: Json, revision: int) -> list[Action]:
    have = child(current, "metadata", "annotations")
    notes = {**_copied(wire), **notes_of(wire), REVISION: str(revision)}
    before = have.get(REVISION)
    if before and before != str(revision):
        past = [r for r in str(have.get(HISTORY) or "").split(",") if r]
        notes[HISTORY] = ",".join((*past, str(before)))
    actions: list[Action] = []
    minimum = int(child(wire, "spec").get("minReadySeconds") or 0)
    patch: dict[str, Any] = {}
    if any(have.get(k) != v for k, v in notes.items()):
        patch["metadata"] = {"annotations": notes}
    if int(child(current, "spec").get("minReadySeconds") or 0) != minimum:
        patch["spec"] = {"minReadySeconds": minimum}
    if patch:
        actions.append(PatchObject(Target.of(REPLICA_SETS, current), patch, "it is the current"))
    return [*actions, *_own_revision(wire, target, revision)]


def _forget_old(wire: Json, old: Sequence[Json]) -> list[Action]:
    limit = child(wire, "spec").get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    idle = [
        s
        for s in sorted(old, key=_revision)
        if not replicas_of(s)
        and not count_of(s, "replicas")
        and "deletionTimestamp" not in s["metadata"]
    ]
    because = f"more than {keep} old sets are kept"
    surplus = idle[: max(0, len(idle) - keep)]
    return [DeleteObject(Target.of(REPLICA_SETS, s), because) for s in surplus]
