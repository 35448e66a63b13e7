"""PodDisruptionBudgets: how many pods may go now.

Source: k8s.io/kubernetes v1.36 pkg/controller/disruption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from poolwright.model.instant import Now, wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import POD_DISRUPTION_BUDGETS
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import (
    Plan,
    RecordEvent,
    Target,
    patch_status,
    with_condition,
)
from poolwright.plan.kubernetes.template import matches, rounded

_EVICTION_TIMEOUT = timedelta(minutes=2)  # disruption.go, DeletionTimeout


def plan_budget(wire: Json, pods: Sequence[Pod], scales: Mapping[str, int], now: Now) -> Plan:
    """Count a budget's pods.

    ``pods``: those of its namespace. ``scales``: by uid of a pod's controller, the number of pods
    that the workload behind it asks for; controllers that are not there are unknown.
    """
    spec = child(wire, "spec")
    evicted = _evicted(wire, pods, now)
    chosen = [p for p in pods if matches(spec.get("selector"), p.labels) and not p.is_finished]
    target = Target.of(POD_DISRUPTION_BUDGETS, wire)
    lost = _without_scale(spec, chosen, scales)
    if lost is not None:
        return _unknown(wire, target, f'found no controllers for pod "{lost.name}"', now)
    healthy = sum(p.is_ready and not p.deleting and p.name not in evicted for p in chosen)
    expected, desired = _expected(spec, chosen, scales)
    allowed = max(0, healthy - desired) if expected else 0
    enough = allowed > 0
    conditions = with_condition(
        children(wire, "status", "conditions"),
        "DisruptionAllowed",
        "True" if enough else "False",
        "SufficientPods" if enough else "InsufficientPods",
        "",
        now.wall,
    )
    status = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "observedGeneration": wire["metadata"].get("generation", 1),
        "conditions": conditions,
        "disruptedPods": {
            name: at if name in evicted else None
            for name, at in child(wire, "status", "disruptedPods").items()
        }
        or None,
    }
    wake_at = now.world.after(_EVICTION_TIMEOUT) if evicted else None
    patched = patch_status(target, wire, status, "its pods moved", guarded=True)
    return Plan(patched, wake_at)


def _without_scale(spec: Json, pods: Sequence[Pod], scales: Mapping[str, int]) -> Pod | None:
    """A pod whose workload does not say how many there should be, where that must be known."""
    if spec.get("maxUnavailable") is None and isinstance(spec.get("minAvailable"), int):
        return None
    return next((p for p in pods if p.controller and p.controller.uid not in scales), None)


def _unknown(wire: Json, target: Target, why: str, now: Now) -> Plan:
    """Nothing may go while it is not known how many there should be (failSafe)."""
    conditions = with_condition(
        children(wire, "status", "conditions"),
        "DisruptionAllowed",
        "False",
        "SyncFailed",
        why,
        now.wall,
    )
    status = {
        "disruptionsAllowed": 0,
        "observedGeneration": wire["metadata"].get("generation", 1),
        "conditions": conditions,
    }
    patched = patch_status(target, wire, status, why, guarded=True)
    words = f"Failed to calculate the number of expected pods: {why}"
    reason = "CalculateExpectedPodCountFailed"
    told = RecordEvent(target, reason, words, "controllermanager", "Warning")
    return Plan((*patched, told) if patched else ())


def _evicted(wire: Json, pods: Sequence[Pod], now: Now) -> frozenset[str]:
    """Pods whose eviction was granted but is not yet visible: they are as good as gone.

    A grant that leads to nothing lapses; that is an internal wait, so wall time is right.
    """
    here = {p.name for p in pods if not p.deleting}
    granted = child(wire, "status", "disruptedPods")
    after = wall_text(now.wall - _EVICTION_TIMEOUT)
    return frozenset(name for name, at in granted.items() if name in here and str(at) > after)


def _expected(spec: Json, pods: Sequence[Pod], scales: Mapping[str, int]) -> tuple[int, int]:
    most = spec.get("maxUnavailable")
    least = spec.get("minAvailable")
    if most is None and isinstance(least, int):
        return len(pods), least
    owners = dict.fromkeys(p.controller.uid for p in pods if p.controller)
    expected = sum(scales.get(uid, 0) for uid in owners)
    if most is not None:
        return expected, max(0, expected - rounded(most, expected, up=True))
    return expected, rounded(least, expected, up=True)
