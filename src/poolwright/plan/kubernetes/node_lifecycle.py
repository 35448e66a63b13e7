"""What the cluster does about nodes that are silent, unwell, cordoned or gone.

Source: k8s.io/kubernetes v1.35 pkg/controller/nodelifecycle, pkg/controller/tainteviction and
pkg/controller/podgc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant, Now, wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import NODES, PODS
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint, TaintEffect
from poolwright.plan.kubernetes.action import (
    Action,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    SetCondition,
    Target,
    condition,
    earliest,
    with_condition,
)

CONTROLLER = "node-controller"
GRACE = timedelta(seconds=50)  # node-monitor-grace-period since 1.32
GONE_QUARANTINE = timedelta(seconds=40)  # gc_controller.go, quarantineTime
TERMINATED_MAX = 12_500  # --terminated-pod-gc-threshold

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

# node_lifecycle_controller.go, nodeConditionToTaintKeyStatusMap
_BY_CONDITION: tuple[tuple[str, str, str], ...] = (
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
)
_EXECUTE = {"False": NOT_READY, "Unknown": UNREACHABLE}
_OURS = {key for _, _, key in _BY_CONDITION} | {UNSCHEDULABLE}
_SILENT = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def plan_node(wire: Json, silent_since: Instant | None, now: Now) -> Plan:
    """Taint a node by its conditions; declare it unknown when its heartbeat stopped too long ago.

    ``silent_since``: when the last heartbeat was seen to stop (world); None while it beats, and
    for nodes that have no lease.
    """
    target = Target.of(NODES, wire)
    actions: list[Action] = []
    wake_at: Instant | None = None
    ready = condition(wire, "Ready").get("status", "")
    if silent_since is not None and ready != "Unknown":
        wake_at = silent_since.after(GRACE)
        if wake_at <= now.world:
            wake_at = None
            ready = "Unknown"
            actions.extend(_declare_silent(wire, target, now))
    taints = _taints(wire, ready, now)
    if taints is not None:
        patch = {"spec": {"taints": taints or None}}
        revision = wire["metadata"].get("resourceVersion", "")
        if not actions:
            guarded = PatchObject(target, patch, "its conditions say so", revision=revision)
            actions.append(guarded)
    return Plan(tuple(actions), wake_at)


def _declare_silent(wire: Json, target: Target, now: Now) -> list[Action]:
    conditions = children(wire, "status", "conditions")
    known = {c.get("type") for c in conditions}
    for type_ in _SILENT:
        reason, words = "NodeStatusUnknown", "Kubelet stopped posting node status."
        if type_ not in known:
            reason, words = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        conditions = with_condition(conditions, type_, "Unknown", reason, words, now.wall)
    words = f"Node {target.name} status is now: NodeNotReady"
    return [
        PatchObject(target, {"status": {"conditions": conditions}}, "no heartbeat", "status"),
        RecordEvent(target, "NodeNotReady", words, CONTROLLER),
    ]


def _taints(wire: Json, ready: str, now: Now) -> list[dict[str, Any]] | None:
    """The taints that the node should have; None if it has them."""
    old = [dict(t) for t in children(wire, "spec", "taints")]
    wanted: list[tuple[str, str]] = []
    for type_, status, key in _BY_CONDITION:
        found = ready if type_ == "Ready" else condition(wire, type_).get("status")
        if found == status:
            wanted.append((key, "NoSchedule"))
    if ready in _EXECUTE:
        wanted.append((_EXECUTE[ready], "NoExecute"))
    if child(wire, "spec").get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    if not ready:  # the kubelet has said nothing yet: admission's taint stays
        wanted.extend((t["key"], t["effect"]) for t in old if t["key"] == NOT_READY)
    kept = [t for t in old if t["key"] not in _OURS or (t["key"], t["effect"]) in wanted]
    have = {(t["key"], t["effect"]) for t in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": wall_text(now.wall)}
        for key, effect in wanted
        if (key, effect) not in have
    ]
    return None if not added and len(kept) == len(old) else kept + added


@dataclass(frozen=True, slots=True)
class NodeTaints:
    """A node's NoExecute taints, each with the world instant since when it was seen."""

    name: str
    since: Mapping[Taint, Instant]


def no_execute(taints: Sequence[Taint]) -> tuple[Taint, ...]:
    """The taints that drive pods away."""
    return tuple(t for t in taints if t.effect is TaintEffect.NO_EXECUTE)


def plan_taint_eviction(node: NodeTaints, pods: Sequence[Pod], now: Now) -> Plan:
    """Delete the pods whose patience with the node's NoExecute taints is over."""
    actions: list[Action] = []
    wake_at: Instant | None = None
    for pod in pods:
        if pod.deleting or pod.is_finished:
            continue
        deadline = _deadline(pod, node)
        if deadline is None:
            continue
        if deadline > now.world:
            wake_at = earliest(wake_at, deadline)
            continue
        target = Target(PODS, pod.namespace, pod.name, pod.uid)
        told = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        words = "Taint manager: deleting due to NoExecute taint"
        because = "it does not tolerate the node's taints (any longer)"
        actions.append(
            RecordEvent(target, "TaintManagerEviction", told, "taint-eviction-controller")
        )
        said = ("DisruptionTarget", "True", "DeletionByTaintManager", words)
        actions.append(SetCondition(target, *said, because))
        actions.append(DeleteObject(target, because))
    return Plan(tuple(actions), wake_at)


def _deadline(pod: Pod, node: NodeTaints) -> Instant | None:
    """When the pod must go; None if it may stay for ever."""
    deadline: Instant | None = None
    for taint, since in node.since.items():
        tolerations = [t for t in pod.tolerations if t.tolerates(taint)]
        if not tolerations:
            return since
        bounded = [t.seconds for t in tolerations if t.seconds is not None]
        if bounded:  # the shortest bound counts, as in getMinTolerationTime
            deadline = earliest(deadline, since.after(timedelta(seconds=max(0, min(bounded)))))
    return deadline


def plan_pods_not_ready(node: str, pods: Sequence[Pod]) -> Plan:
    """Pods on a node that is not ready are not ready either."""
    actions: list[Action] = []
    for pod in pods:
        if pod.is_ready and not pod.is_finished:
            target = Target(PODS, pod.namespace, pod.name, pod.uid)
            actions.append(SetCondition(target, "Ready", "False", "", "", f"{node} is not ready"))
            actions.append(
                RecordEvent(target, "NodeNotReady", "Node is not ready", CONTROLLER, "Warning")
            )
    return Plan(tuple(actions))


def plan_gone_node(pods: Sequence[Pod], gone_since: Instant, now: Now) -> Plan:
    """Remove the pods of a node that no longer exists, after a quarantine."""
    if not pods:
        return Plan()
    due = gone_since.after(GONE_QUARANTINE)
    deleting = [p for p in pods if p.deleting] if due > now.world else list(pods)
    actions: list[Action] = []
    for pod in deleting:
        target = Target(PODS, pod.namespace, pod.name, pod.uid)
        because = "its node no longer exists"
        if not pod.is_finished:
            words = "PodGC: node no longer exists"
            said = ("DisruptionTarget", "True", "DeletionByPodGC", words)
            actions.append(SetCondition(target, *said, because))
            actions.append(PatchObject(target, {"status": {"phase": "Failed"}}, because, "status"))
        actions.append(DeleteObject(target, because, grace_seconds=0))
    return Plan(tuple(actions), due if due > now.world else None)


def plan_terminated(finished: Sequence[Pod], most: int = TERMINATED_MAX) -> Plan:
    """Delete the oldest finished pods beyond a number."""
    surplus = sorted(finished, key=lambda p: (p.created, p.key))[: max(0, len(finished) - most)]
    because = f"more than {most} finished pods are kept"
    return Plan(
        tuple(
            DeleteObject(Target(PODS, p.namespace, p.name, p.uid), because, grace_seconds=0)
            for p in surplus
        )
    )
