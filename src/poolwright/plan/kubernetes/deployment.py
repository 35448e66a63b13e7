"""Deployments: roll a template out over ReplicaSets.

Source: k8s.io/kubernetes v1.35 pkg/controller/deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import DEPLOYMENTS, REPLICA_SETS
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    Target,
    condition,
    patch_status,
    with_condition,
)
from poolwright.plan.kubernetes.template import (
    TEMPLATE_HASH,
    owner_reference,
    rounded,
    safe_hash,
)

CONTROLLER = "deployment-controller"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class _Sizes:
    wanted: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.wanted + self.surge

    @property
    def least_available(self) -> int:
        return self.wanted - self.unavailable


def _sizes(wire: Json) -> _Sizes:
    spec = child(wire, "spec")
    wanted = int(1 if spec.get("replicas") is None else spec["replicas"])
    if _is_recreate(wire):
        return _Sizes(wanted, 0, wanted)
    rolling = child(spec, "strategy", "rollingUpdate")
    surge = rounded(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = rounded(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # ResolveFenceposts
    return _Sizes(wanted, surge, min(unavailable, wanted))


def _is_recreate(wire: Json) -> bool:
    return child(wire, "spec", "strategy").get("type") == "Recreate"


def _replicas(wire: Json) -> int:
    value = child(wire, "spec").get("replicas")
    return int(1 if value is None else value)


def _count(wire: Json, name: str) -> int:
    return int(child(wire, "status").get(name) or 0)


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
        if not child(wire, "spec").get("paused"):
            actions.extend(_roll(wire, target, template, current, old))
        elif current is not None:
            actions.extend(_scale(target, current, _sizes(wire).wanted, wire))
        actions.extend(_forget_old(wire, old))
    status, wake_at = _status(wire, current, old, now, progressed_at)
    actions.extend(patch_status(target, wire, status, "the numbers moved"))
    return Plan(tuple(actions), wake_at)


def _roll(
    wire: Json, target: Target, template: Json, current: Json | None, old: Sequence[Json]
) -> list[Action]:
    sizes = _sizes(wire)
    if _is_recreate(wire) and any(_replicas(s) for s in old):
        return [a for s in old for a in _scale(target, s, 0, wire)]
    if _is_recreate(wire) and any(_count(s, "replicas") for s in old):
        return []
    total_old = sum(_replicas(s) for s in old)
    newest = max([_revision(s) for s in old], default=0)
    if current is None:
        count = max(0, min(sizes.wanted, sizes.most - total_old))
        return _new_set(wire, target, template, count, newest + 1)
    actions: list[Action] = []
    revision = _revision(current)
    if revision <= newest:
        revision = newest + 1
    actions.extend(_annotate(wire, target, current, revision))
    have = _replicas(current)
    if not total_old:
        actions.extend(_scale(target, current, sizes.wanted, wire))
        return actions
    if have > sizes.wanted:
        actions.extend(_scale(target, current, sizes.wanted, wire))
    elif have < sizes.wanted:
        room = max(0, sizes.most - total_old - have)
        actions.extend(_scale(target, current, have + min(room, sizes.wanted - have), wire))
    actions.extend(_shrink(wire, target, current, old, sizes))
    return actions


def _shrink(
    wire: Json, target: Target, current: Json, old: Sequence[Json], sizes: _Sizes
) -> list[Action]:
    """Take from the old sets what availability allows: first what is not available anyway."""
    total = sum(_replicas(s) for s in (current, *old))
    missing_new = _replicas(current) - _count(current, "availableReplicas")
    room = total - sizes.least_available - missing_new
    if room <= 0:
        return []
    goals = {s["metadata"]["name"]: _replicas(s) for s in old}
    for wire_ in old:
        name = wire_["metadata"]["name"]
        unhealthy = max(0, goals[name] - _count(wire_, "availableReplicas"))
        cut = min(room, unhealthy)
        goals[name] -= cut
        room -= cut
    available = sum(_count(s, "availableReplicas") for s in (current, *old))
    room = min(room, max(0, available - sizes.least_available))
    for wire_ in old:
        name = wire_["metadata"]["name"]
        cut = min(room, goals[name])
        goals[name] -= cut
        room -= cut
    return [a for s in old for a in _scale(target, s, goals[s["metadata"]["name"]], wire)]


def _notes(wire: Json) -> dict[str, str]:
    sizes = _sizes(wire)
    return {DESIRED: str(sizes.wanted), MAXIMUM: str(sizes.most)}


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
            "annotations": {**_notes(wire), REVISION: str(revision)},
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
    notes = {**_notes(wire), REVISION: str(revision)}
    have = child(current, "metadata", "annotations")
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


def _scale(target: Target, wire: Json, count: int, deployment: Json) -> list[Action]:
    have = _replicas(wire)
    if have == count:
        return []
    name = wire["metadata"]["name"]
    verb = "up" if count > have else "down"
    words = f"Scaled {verb} replica set {name} from {have} to {count}"
    patch = {"metadata": {"annotations": _notes(deployment)}, "spec": {"replicas": count}}
    return [
        PatchObject(Target.of(REPLICA_SETS, wire), patch, words),
        RecordEvent(target, "ScalingReplicaSet", words, CONTROLLER),
    ]


def _forget_old(wire: Json, old: Sequence[Json]) -> list[Action]:
    limit = child(wire, "spec").get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    idle = [
        s
        for s in sorted(old, key=_revision)
        if not _replicas(s)
        and not _count(s, "replicas")
        and "deletionTimestamp" not in s["metadata"]
    ]
    because = f"more than {keep} old sets are kept"
    surplus = idle[: max(0, len(idle) - keep)]
    return [DeleteObject(Target.of(REPLICA_SETS, s), because) for s in surplus]


def is_rolled_out(wire: Json, status: Json) -> bool:
    """Whether every pod is of the current template and available."""
    wanted = _sizes(wire).wanted
    return all(
        int(status.get(n) or 0) == wanted
        for n in ("updatedReplicas", "replicas", "availableReplicas")
    )


def _status(
    wire: Json,
    current: Json | None,
    old: Sequence[Json],
    now: Now,
    progressed_at: Instant | None,
) -> tuple[dict[str, Any], Instant | None]:
    every = [*old, *([current] if current is not None else [])]
    total = {
        n: sum(_count(s, n) for s in every)
        for n in ("replicas", "readyReplicas", "availableReplicas")
    }
    asked = sum(_replicas(s) for s in every)
    status: dict[str, Any] = {
        "observedGeneration": wire["metadata"].get("generation", 1),
        "replicas": total["replicas"] or None,
        "updatedReplicas": (_count(current, "replicas") if current is not None else 0) or None,
        "readyReplicas": total["readyReplicas"] or None,
        "availableReplicas": total["availableReplicas"] or None,
        "unavailableReplicas": max(0, asked - total["availableReplicas"]) or None,
    }
    conditions = children(wire, "status", "conditions")
    enough = total["availableReplicas"] >= _sizes(wire).least_available
    conditions = with_condition(
        conditions,
        "Available",
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability."
        if enough
        else "Deployment does not have minimum availability.",
        now.wall,
        clocks=("lastUpdateTime",),
    )
    progress, wake_at = _progress(wire, current, status, now, progressed_at)
    conditions = with_condition(
        conditions, "Progressing", *progress, now.wall, clocks=("lastUpdateTime",)
    )
    status["conditions"] = conditions
    return status, wake_at


def _progress(
    wire: Json, current: Json | None, status: Json, now: Now, progressed_at: Instant | None
) -> tuple[tuple[str, str, str], Instant | None]:
    if current is None:
        name = wire["metadata"]["name"]
        words = f'Created new replica set for deployment "{name}"'
        return ("True", "NewReplicaSetCreated", words), None
    name = current["metadata"]["name"]
    was = condition(wire, "Progressing")
    if is_rolled_out(wire, status):
        words = f'ReplicaSet "{name}" has successfully progressed.'
        return ("True", "NewReplicaSetAvailable", words), None
    if was.get("reason") == "NewReplicaSetAvailable" and name in str(was.get("message")):
        return ("True", "NewReplicaSetAvailable", str(was["message"])), None
    limit = child(wire, "spec").get("progressDeadlineSeconds")
    deadline = (progressed_at or now.world).after(
        timedelta(seconds=600 if limit is None else limit)
    )
    if deadline <= now.world:
        words = f'ReplicaSet "{name}" has timed out progressing.'
        return ("False", "ProgressDeadlineExceeded", words), None
    words = f'ReplicaSet "{name}" is progressing.'
    return ("True", "ReplicaSetUpdated", words), deadline
