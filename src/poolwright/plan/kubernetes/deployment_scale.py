"""Scaling the sets of a deployment, in the midst of a rollout each by its share.

Source: k8s.io/kubernetes v1.36 pkg/controller/deployment (sync.go, scale).
"""

from __future__ import annotations

from collections.abc import Sequence

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import REPLICA_SETS
from poolwright.plan.kubernetes.action import Action, PatchObject, RecordEvent, Target
from poolwright.plan.kubernetes.deployment_status import (
    count_of,
    is_recreate,
    replicas_of,
    sizes_of,
)

CONTROLLER = "deployment-controller"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def notes_of(wire: Json) -> dict[str, str]:
    """What a deployment notes on its sets about its size."""
    sizes = sizes_of(wire)
    return {DESIRED: str(sizes.wanted), MAXIMUM: str(sizes.most)}


def scale_set(target: Target, wire: Json, count: int, deployment: Json) -> list[Action]:
    """Give a set of a deployment (``target``) another size, if it has not that one."""
    have = replicas_of(wire)
    if have == count:
        return []
    name = wire["metadata"]["name"]
    verb = "up" if count > have else "down"
    words = f"Scaled {verb} replica set {name} from {have} to {count}"
    patch = {"metadata": {"annotations": notes_of(deployment)}, "spec": {"replicas": count}}
    return [
        PatchObject(Target.of(REPLICA_SETS, wire), patch, words),
        RecordEvent(target, "ScalingReplicaSet", words, CONTROLLER),
    ]


def plan_scale(
    wire: Json, target: Target, current: Json | None, old: Sequence[Json]
) -> list[Action]:
    """Bring the sets to the deployment's size without going on with the rollout."""
    sizes = sizes_of(wire)
    every = [*old, *([current] if current is not None else [])]
    active = [s for s in every if replicas_of(s)]
    if len(active) <= 1:
        chosen = active[0] if active else (every[-1] if every else None)
        return [] if chosen is None else _sized(target, chosen, sizes.wanted, wire)
    if current is not None and _is_saturated(wire, current):
        return [a for s in old for a in scale_set(target, s, 0, wire)]
    if is_recreate(wire):
        return []
    goals = _shares(wire, active)
    return [a for s in active for a in _sized(target, s, goals[s["metadata"]["name"]], wire)]


def _is_saturated(wire: Json, current: Json) -> bool:
    wanted = sizes_of(wire).wanted
    noted = child(current, "metadata", "annotations").get(DESIRED)
    sizes = (replicas_of(current), count_of(current, "availableReplicas"))
    return noted == str(wanted) and sizes == (wanted, wanted)


def _shares(wire: Json, active: Sequence[Json]) -> dict[str, int]:
    """New sizes in proportion to the old ones; what is left over goes to the largest."""
    sizes = sizes_of(wire)
    allowed = sizes.most if sizes.wanted else 0
    to_add = allowed - sum(map(replicas_of, active))
    newest_first = sorted(
        active, key=lambda s: s["metadata"].get("creationTimestamp", ""), reverse=to_add > 0
    )
    ordered = sorted(newest_first, key=replicas_of, reverse=True)
    goals: dict[str, int] = {}
    added = 0
    for each in ordered:
        have = replicas_of(each)
        noted = child(each, "metadata", "annotations").get(MAXIMUM)
        before = int(noted) if noted else count_of(each, "replicas")
        share = round_half_up(have * allowed, before) - have if before else 0
        left = to_add - added
        share = min(share, left) if to_add > 0 else max(share, left)
        goals[each["metadata"]["name"]] = have + share
        added += share
    if to_add != added:
        first = ordered[0]["metadata"]["name"]
        goals[first] += to_add - added
    return {name: max(0, size) for name, size in goals.items()}


def round_half_up(numerator: int, denominator: int) -> int:
    """A quotient of numbers that are not negative, rounded as Go's math.Round does."""
    return (2 * numerator + denominator) // (2 * denominator)


def _sized(target: Target, wire: Json, count: int, deployment: Json) -> list[Action]:
    """As `scale_set`, but what is noted about the size is brought up to date in any case."""
    actions = scale_set(target, wire, count, deployment)
    notes = notes_of(deployment)
    have = child(wire, "metadata", "annotations")
    if not actions and any(have.get(k) != v for k, v in notes.items()):
        patch = {"metadata": {"annotations": notes}}
        actions.append(PatchObject(Target.of(REPLICA_SETS, wire), patch, "the size is noted"))
    return actions
