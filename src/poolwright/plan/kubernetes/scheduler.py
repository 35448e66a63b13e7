"""Which pending pod goes to which node.

The scheduler is fed changes and asked for plans; it keeps only what it can rebuild from a list of
nodes and pods. A planned binding counts at once, so that the next decision sees it; if carrying it
out fails, `Scheduler.bind_failed` takes it back. A pod that fits nowhere waits until a node changes
so that it fits: the candidates of its shape are kept, so asking again is cheap and nothing is
tried in vain.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from poolwright.model.kubernetes import PODS, Resource
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.fit import Misfit
from poolwright.plan.kubernetes.action import (
    Action,
    BindPod,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    SetCondition,
    Target,
)
from poolwright.plan.kubernetes.placement import Placement, Shape, asks_of, pinned_nodes
from poolwright.plan.kubernetes.pod_claims import PodClaims
from poolwright.plan.kubernetes.preemption import Guard, Preemption, find_preemption

DEFAULT_SCHEDULER = "default-scheduler"
NO_NODES = "no nodes available to schedule pods"
_NEVER = "not eligible due to preemptionPolicy=Never."
_LEAVING = "not eligible due to a terminating pod on the nominated node."
_GATED = "Scheduling is blocked due to non-empty scheduling gates"
_PREEMPTS = f"{DEFAULT_SCHEDULER}: preempting to accommodate a higher priority pod"


def failure_message(
    reasons: Mapping[Misfit, int], nodes: int, preemption: str = "", *, claims: bool = True
) -> str:
    """What FailedScheduling says.

    ``preemption``: why that did not help; empty where it does.
    ``claims``: since 1.34 the part of dynamic resource allocation speaks before preemption.

    Source: k8s.io/kubernetes v1.36 pkg/scheduler/framework/types.go, FitError.Error, and
    pkg/scheduler/framework/preemption.
    """
    if not nodes:
        return NO_NODES
    first: Counter[str] = Counter()
    for misfit, number in reasons.items():
        for reason in misfit.reasons:
            first[reason] += number
    words = _histogram(first, nodes)
    if not preemption:
        return words
    return f"{words} {'no new claims to deallocate, ' if claims else ''}preemption: {preemption}"


def _histogram(counted: Mapping[str, int], nodes: int) -> str:
    parts = sorted(f"{number} {reason}" for reason, number in counted.items())
    return f"0/{nodes} nodes are available: {', '.join(parts)}."


class Scheduler:
    """Decides for all pods of the default scheduler."""

    def __init__(self, *, kubernetes_minor: int = 36) -> None:
        self._claims = kubernetes_minor >= 34
        self._placement = Placement(taint_values=kubernetes_minor < 34)
        self._guards: Sequence[Guard] = ()
        self._wants = PodClaims(is_told_of_devices=self._claims)
        self._queue: list[tuple[int, int, str]] = []
        self._order = count()
        self._pending: dict[str, Pod] = {}
        self._queued: set[str] = set()
        self._waiting: dict[Shape, dict[str, Pod]] = {}
        self._shapes: dict[str, Shape] = {}
        self._waiting_on: dict[str, dict[str, Pod]] = {}
        self._nominated: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._hopeless: tuple[int, dict[Shape, str]] = (-1, {})
        self._changed = False
        self._joined = False
        self._asking = 0
        self._terms_seen = 0

    @property
    def has_work(self) -> bool:
        """Whether `plan` would look at anything."""
        return bool(self._queued or (self._changed and self._waiting) or self._has_joined)

    @property
    def _has_joined(self) -> bool:
        """Whether a pod was placed that others may have waited for."""
        return self._joined and self._asking > 0

    @property
    def is_anybody_waiting(self) -> bool:
        """Whether a pod was told that it fits nowhere."""
        return bool(self._waiting) or bool(self._nominated)

    @property
    def placement(self) -> Placement:
        """The bookkeeping, for those who want to look."""
        return self._placement

    # Changes

    def set_guards(self, guards: Sequence[Guard]) -> None:
        """The disruption budgets as they are."""
        self._guards = guards

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace came or changed its labels; None: it is gone."""
        self._placement.set_namespace(name, labels)
        self._changed = True

    def set_claim(self, resource: Resource, key: str, flaw: str | None) -> None:
        """A claim of volumes or devices: why pods wait for it, empty if not, None: it is gone."""
        for pod in self._wants.set_claim(resource, key, flaw):
            self._enqueue(pod)

    def set_node(self, node: Node) -> None:
        """A node came or changed."""
        self._placement.set_node(node)
        self._moved(node.name)

    def remove_node(self, name: str) -> None:
        """A node is gone."""
        self._placement.remove_node(name)
        self._moved(name)

    def set_pod(self, pod: Pod) -> None:
        """A pod came or changed."""
        if pod.is_finished:
            self.remove_pod(pod.key)
        elif pod.node_name:
            self._leave(pod.key)
            self._told.pop(pod.key, None)
            self._unreserve(pod.key)
            old = self._placement.node_of(pod.key)
            self._joined = self._joined or old is None
            if self._placement.place(pod, pod.node_name) and old is not None:
                self._moved(old)
        elif pod.scheduler_name == DEFAULT_SCHEDULER and not pod.deleting:
            self._set_pending(pod)
        else:
            self._leave(pod.key)
            self._unreserve(pod.key)

    def _set_pending(self, pod: Pod) -> None:
        if self._placement.node_of(pod.key) is not None:
            return  # a binding of ours that is under way
        known = self._pending.get(pod.key)
        if known is not None and _asks(known) == _asks(pod):
            return
        self._leave(pod.key)
        self._pending[pod.key] = pod
        if pod.nominated_node and pod.key not in self._nominated:
            self._reserve(pod, pod.nominated_node)
        if pod.unschedulable_message:
            self._told.setdefault(pod.key, pod.unschedulable_message)
        self._enqueue(pod)

    def remove_pod(self, key: str) -> None:
        """A pod is gone, or holds nothing any more."""
        self._leave(key)
        self._told.pop(key, None)
        self._unreserve(key)
        freed = self._placement.take_off(key)
        if freed is not None:
            self._moved(freed)

    def bind_failed(self, pod: Pod | None, key: str) -> None:
        """A planned binding was not carried out; ``pod`` is the pod as it is now, if it is."""
        self.remove_pod(key)
        if pod is not None:
            self.set_pod(pod)

    # Decisions

    def plan(self, limit: int) -> Plan:
        """Decide for up to ``limit`` pods, by priority and then in the order they came."""
        actions: list[Action] = []
        self._wake_waiting()
        while limit:
            if not self._queued:
                self._wake_waiting()
                if not self._queued:
                    break
            _, _, key = heapq.heappop(self._queue)
            if key not in self._queued:
                continue
            self._queued.discard(key)
            limit -= 1
            actions.extend(self._decide(self._pending[key]))
        return Plan(tuple(actions))

    def _decide(self, pod: Pod) -> Iterable[Action]:
        if pod.scheduling_gates:
            return self._gated(pod)
        if pod.volume_claims or pod.device_claims:
            self._wants.leave(pod)
            lacks = self._wants.why(pod, self._placement.node_count)
            if lacks is not None:
                self._wants.wait(pod)
                return self._tell(pod, lacks if self._placement.node_count else NO_NODES)
        shape = self._placement.shape_of(pod)
        node = self._nominated.get(pod.key)
        if node is None or not self._placement.fits(pod, shape, node):
            node = self._placement.best(pod, shape)
        if node is not None:
            return self._assign(pod, node)
        return self._unschedulable(pod, shape)

    def _assign(self, pod: Pod, node: str) -> tuple[Action, ...]:
        self._leave(pod.key)
        self._told.pop(pod.key, None)
        self._unreserve(pod.key)
        self._placement.place(pod, node)
        self._joined = True
        target = _target(pod)
        return (
            BindPod(target, node, "it fits, and no fitting node scores higher"),
            RecordEvent(
                target,
                "Scheduled",
                f"Successfully assigned {pod.namespace}/{pod.name} to {node}",
                DEFAULT_SCHEDULER,
            ),
        )

    def _unschedulable(self, pod: Pod, shape: Shape) -> list[Action]:
        message, preemption = self._why(pod, shape)
        actions: list[Action] = []
        if preemption is not None:
            actions.extend(self._preempt(pod, preemption))
        elif pod.key in self._nominated and not message.endswith(_LEAVING):
            self._unreserve(pod.key)
            actions.append(_nominate(pod, None, "the node that it waited for does not help"))
        self._wait(pod, shape)
        actions.extend(self._tell(pod, message))
        return actions

    def _why(self, pod: Pod, shape: Shape) -> tuple[str, Preemption | None]:
        """Why no node fits, and the preemption that would help."""
        placement = self._placement
        nodes, found, words = placement.node_count, None, ""
        if not pod.may_preempt:
            words = _NEVER
        elif self._waits_for_victims(pod):
            words = _LEAVING
        elif nodes:
            at, hopeless = self._hopeless
            if at == placement.revision and shape in hopeless:
                return hopeless[shape], None
            found, said = find_preemption(placement, pod, shape, self._guards)
            words = "" if found is not None else _histogram(said, nodes)
        message = failure_message(placement.reasons(pod, shape), nodes, words, claims=self._claims)
        if found is None and pod.may_preempt and pod.key not in self._nominated:
            if self._hopeless[0] != placement.revision:
                self._hopeless = (placement.revision, {})
            self._hopeless[1][shape] = message
        return message, found

    def _waits_for_victims(self, pod: Pod) -> bool:
        node = self._nominated.get(pod.key)
        room = self._placement.room(node) if node else None
        return room is not None and any(
            p.deleting and p.priority < pod.priority for p in room.pods.values()
        )

    def _preempt(self, pod: Pod, preemption: Preemption) -> Iterable[Action]:
        node = preemption.node
        because = f"{pod.key} has a higher priority and fits on {node} without it"
        for victim in preemption.victims:
            if victim.deleting:
                continue
            target = _target(victim)
            said = ("DisruptionTarget", "True", "PreemptionByScheduler", _PREEMPTS)
            yield SetCondition(target, *said, because)
            yield DeleteObject(target, because)
            words = f"Preempted by pod {pod.uid} on node {node}"
            yield RecordEvent(target, "Preempted", words, DEFAULT_SCHEDULER)
        room = self._placement.room(node)
        for other in list(room.reserved.values()) if room is not None else ():
            if other.priority < pod.priority:
                self._unreserve(other.key)
                yield _nominate(other, None, f"{pod.key} has a higher priority")
                if other.key in self._pending:
                    self._enqueue(other)
        self._unreserve(pod.key)
        self._reserve(pod, node)
        yield _nominate(pod, node, "its victims leave that node")

    def _gated(self, pod: Pod) -> tuple[Action, ...]:
        if self._told.get(pod.key) == _GATED:
            return ()
        self._told[pod.key] = _GATED
        condition = ("PodScheduled", "False", "SchedulingGated", _GATED)
        return (SetCondition(_target(pod), *condition, "it has scheduling gates"),)

    def _tell(self, pod: Pod, message: str) -> tuple[Action, ...]:
        if not message or self._told.get(pod.key) == message:
            return ()
        self._told[pod.key] = message
        target = _target(pod)
        return (
            SetCondition(target, "PodScheduled", "False", "Unschedulable", message, "fits nowhere"),
            RecordEvent(target, "FailedScheduling", message, DEFAULT_SCHEDULER, "Warning"),
        )

    def refresh_messages(self) -> Plan:
        """Say again why pods wait, where the answer has changed; call it now and then.

        Pods whose victims were not carried away are tried again.
        """
        actions: list[Action] = []
        for key in list(self._nominated):
            if key in self._pending and not self._waits_for_victims(self._pending[key]):
                self._enqueue(self._pending[key])
        for shape, pods in list(self._waiting.items()):
            for pod in pods.values():
                if pod.key not in self._nominated:
                    message, preemption = self._why(pod, shape)
                    if preemption is not None:
                        self._enqueue(pod)
                    else:
                        actions.extend(self._tell(pod, message))
        return Plan(tuple(actions))

    # Waiting

    def _wait(self, pod: Pod, shape: Shape) -> None:
        pinned = pinned_nodes(pod)
        if pinned is None:
            if shape not in self._waiting:
                self._waiting[shape] = {}
                self._asking += shape.questions is not None
            self._waiting[shape][pod.key] = pod
            self._shapes[pod.key] = shape
        for name in pinned or ():
            self._waiting_on.setdefault(name, {})[pod.key] = pod

    def _wake_waiting(self) -> None:
        if not self._changed and not self._has_joined:
            return
        only_asking = not self._changed
        self._changed = self._joined = False
        if self._terms_seen != self._placement.terms_version:
            self._terms_seen = self._placement.terms_version
            self._regroup()
        for shape in list(self._waiting):
            if only_asking and shape.questions is None:
                continue  # company does not make room
            pods = self._waiting[shape]
            if self._placement.best(next(iter(pods.values())), shape) is not None:
                self._requeue(list(pods.values()))

    def _regroup(self) -> None:
        """Terms came or went, so pods that waited for the same may not do so any more."""
        for pods in list(self._waiting.values()):
            for pod in list(pods.values()):
                new = self._placement.shape_of(pod)
                if new != self._shapes[pod.key]:
                    self._stop_waiting(pod)
                    self._wait(pod, new)

    def _moved(self, node: str) -> None:
        self._changed = True
        pinned = self._waiting_on.pop(node, None)
        if pinned:
            self._requeue(pinned.values())
        room = self._placement.room(node)
        if room is not None and room.reserved:
            self._requeue(list(room.reserved.values()))

    def _requeue(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            known = self._pending.get(pod.key)
            if known is not None:
                self._stop_waiting(known)
                self._enqueue(known)

    def _enqueue(self, pod: Pod) -> None:
        if pod.key not in self._queued:
            self._queued.add(pod.key)
            heapq.heappush(self._queue, (-pod.priority, next(self._order), pod.key))

    def _leave(self, key: str) -> None:
        known = self._pending.pop(key, None)
        if known is not None:
            self._queued.discard(key)
            self._stop_waiting(known)

    def _stop_waiting(self, pod: Pod) -> None:
        self._wants.leave(pod)
        shape = self._shapes.pop(pod.key, None)
        if shape is not None:
            waiting = self._waiting[shape]
            waiting.pop(pod.key, None)
            if not waiting:
                del self._waiting[shape]
                self._asking -= shape.questions is not None
        for name in pinned_nodes(pod) or ():
            self._waiting_on.get(name, {}).pop(pod.key, None)

    def _reserve(self, pod: Pod, node: str) -> None:
        self._nominated[pod.key] = node
        self._placement.reserve(pod, node)

    def _unreserve(self, key: str) -> None:
        node = self._nominated.pop(key, None)
        if node is not None:
            self._placement.unreserve(key, node)
            self._changed = True


def _target(pod: Pod) -> Target:
    return Target(PODS, pod.namespace, pod.name, pod.uid)


def _nominate(pod: Pod, node: str | None, because: str) -> Action:
    return PatchObject(_target(pod), {"status": {"nominatedNodeName": node}}, because, "status")


def _asks(pod: Pod) -> tuple[object, ...]:
    """What may change of a pod that waits, and matters."""
    return pod.uid, pod.scheduling_gates, pod.labels, pod.device_claims, asks_of(pod)


def plan_schedule(
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    *,
    kubernetes_minor: int = 36,
    guards: Sequence[Guard] = (),
) -> Plan:
    """One decision for a whole world at once; the order of the input does not matter."""
    scheduler = Scheduler(kubernetes_minor=kubernetes_minor)
    scheduler.set_guards(guards)
    for node in sorted(nodes, key=lambda n: n.name):
        scheduler.set_node(node)
    found = sorted(pods, key=lambda p: (p.created, p.key))
    for pod in found:
        scheduler.set_pod(pod)
    return scheduler.plan(len(found))
