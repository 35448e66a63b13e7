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
from collections.abc import Hashable, Iterable, Mapping
from itertools import count

from poolwright.model.kubernetes import PODS
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.fit import Misfit
from poolwright.plan.kubernetes.action import (
    Action,
    BindPod,
    Plan,
    RecordEvent,
    SetCondition,
    Target,
)
from poolwright.plan.kubernetes.placement import Placement, pinned_nodes, shape_of

DEFAULT_SCHEDULER = "default-scheduler"
NO_NODES = "no nodes available to schedule pods"
_NO_HELP = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


def failure_message(
    reasons: Mapping[Misfit, int], nodes: int, *, may_preempt: bool = True, claims: bool = True
) -> str:
    """What FailedScheduling says.

    ``claims``: since 1.34 the part of dynamic resource allocation speaks before preemption.

    Source: k8s.io/kubernetes v1.35 pkg/scheduler/framework/types.go, FitError.Error, and
    pkg/scheduler/framework/preemption.
    """
    if not nodes:
        return NO_NODES
    first: Counter[str] = Counter()
    preemption: Counter[str] = Counter()
    for misfit, number in reasons.items():
        for reason in misfit.reasons:
            first[reason] += number
        preemption[_NO_HELP if misfit.is_final else _NO_VICTIMS] += number
    then = "no new claims to deallocate, " if claims else ""
    if not may_preempt:
        return (
            f"{_histogram(first, nodes)} {then}"
            "preemption: not eligible due to preemptionPolicy=Never."
        )
    return f"{_histogram(first, nodes)} {then}preemption: {_histogram(preemption, nodes)}"


def _histogram(counted: Mapping[str, int], nodes: int) -> str:
    parts = sorted(f"{number} {reason}" for reason, number in counted.items())
    return f"0/{nodes} nodes are available: {', '.join(parts)}."


class Scheduler:
    """Decides for all pods of the default scheduler."""

    def __init__(self, *, kubernetes_minor: int = 35) -> None:
        self._claims = kubernetes_minor >= 34
        self._placement = Placement(taint_values=kubernetes_minor < 34)
        self._queue: list[tuple[int, int, str]] = []
        self._order = count()
        self._pending: dict[str, tuple[Pod, Hashable]] = {}
        self._queued: set[str] = set()
        self._waiting: dict[Hashable, dict[str, Pod]] = {}
        self._waiting_on: dict[str, dict[str, Pod]] = {}
        self._told: dict[str, str] = {}
        self._changed = False

    @property
    def has_work(self) -> bool:
        """Whether `plan` would look at anything."""
        return bool(self._queued) or (self._changed and bool(self._waiting))

    @property
    def is_anybody_waiting(self) -> bool:
        """Whether a pod was told that it fits nowhere."""
        return bool(self._waiting)

    @property
    def placement(self) -> Placement:
        """The bookkeeping, for those who want to look."""
        return self._placement

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
            old = self._placement.node_of(pod.key)
            if self._placement.place(pod, pod.node_name) and old is not None:
                self._moved(old)
        elif pod.scheduler_name == DEFAULT_SCHEDULER and not pod.deleting:
            self._set_pending(pod)
        else:
            self._leave(pod.key)

    def _set_pending(self, pod: Pod) -> None:
        if self._placement.node_of(pod.key) is not None:
            return  # a binding of ours that is under way
        shape = shape_of(pod)
        known = self._pending.get(pod.key)
        if known is not None and known[0].uid == pod.uid and known[1] == shape:
            same_gates = known[0].scheduling_gates == pod.scheduling_gates
            if same_gates and known[0].priority == pod.priority:
                return
        self._leave(pod.key)
        self._pending[pod.key] = (pod, shape)
        if pod.unschedulable_message:
            self._told.setdefault(pod.key, pod.unschedulable_message)
        self._enqueue(pod)

    def remove_pod(self, key: str) -> None:
        """A pod is gone, or holds nothing any more."""
        self._leave(key)
        self._told.pop(key, None)
        freed = self._placement.take_off(key)
        if freed is not None:
            self._moved(freed)

    def bind_failed(self, pod: Pod | None, key: str) -> None:
        """A planned binding was not carried out; ``pod`` is the pod as it is now, if it is."""
        self.remove_pod(key)
        if pod is not None:
            self.set_pod(pod)

    def plan(self, limit: int) -> Plan:
        """Decide for up to ``limit`` pods, by priority and then in the order they came."""
        self._wake_waiting()
        actions: list[Action] = []
        while self._queue and limit:
            _, _, key = heapq.heappop(self._queue)
            if key not in self._queued:
                continue
            self._queued.discard(key)
            pod, shape = self._pending[key]
            limit -= 1
            if pod.scheduling_gates:
                actions.extend(self._gated(pod))
                continue
            node = self._placement.best(pod, shape)
            if node is None:
                actions.extend(self._unschedulable(pod, shape))
            else:
                actions.extend(self._assign(pod, node))
        return Plan(tuple(actions))

    def _assign(self, pod: Pod, node: str) -> tuple[Action, ...]:
        self._leave(pod.key)
        self._told.pop(pod.key, None)
        self._placement.place(pod, node)
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

    def _unschedulable(self, pod: Pod, shape: Hashable) -> tuple[Action, ...]:
        pinned = pinned_nodes(pod)
        if pinned is None:
            self._waiting.setdefault(shape, {})[pod.key] = pod
        else:
            for name in pinned:
                self._waiting_on.setdefault(name, {})[pod.key] = pod
        return self._tell(pod, self._message(pod, shape))

    def _message(self, pod: Pod, shape: Hashable) -> str:
        return failure_message(
            self._placement.reasons(pod, shape),
            self._placement.node_count,
            may_preempt=pod.may_preempt,
            claims=self._claims,
        )

    def _tell(self, pod: Pod, message: str) -> tuple[Action, ...]:
        if self._told.get(pod.key) == message:
            return ()
        self._told[pod.key] = message
        target = _target(pod)
        return (
            SetCondition(target, "PodScheduled", "False", "Unschedulable", message, "fits nowhere"),
            RecordEvent(target, "FailedScheduling", message, DEFAULT_SCHEDULER, "Warning"),
        )

    def _gated(self, pod: Pod) -> tuple[Action, ...]:
        words = "Scheduling is blocked due to non-empty scheduling gates"
        if self._told.get(pod.key) == words:
            return ()
        self._told[pod.key] = words
        condition = ("PodScheduled", "False", "SchedulingGated", words)
        return (SetCondition(_target(pod), *condition, "it has scheduling gates"),)

    def refresh_messages(self) -> Plan:
        """Say again why pods wait, where the answer has changed; call it now and then."""
        actions: list[Action] = []
        for shape, pods in self._waiting.items():
            messages: dict[bool, str] = {}
            for pod in pods.values():
                if pod.may_preempt not in messages:
                    messages[pod.may_preempt] = self._message(pod, shape)
                actions.extend(self._tell(pod, messages[pod.may_preempt]))
        return Plan(tuple(actions))

    def _wake_waiting(self) -> None:
        if not self._changed:
            return
        self._changed = False
        for shape in [s for s, pods in self._waiting.items() if pods]:
            pods = self._waiting[shape]
            if self._placement.has_room(next(iter(pods.values())), shape):
                self._requeue(self._waiting.pop(shape).values())

    def _moved(self, node: str) -> None:
        self._changed = True
        pinned = self._waiting_on.pop(node, None)
        if pinned:
            self._requeue(pinned.values())

    def _requeue(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            if pod.key in self._pending:
                self._enqueue(pod)

    def _enqueue(self, pod: Pod) -> None:
        if pod.key not in self._queued:
            self._queued.add(pod.key)
            heapq.heappush(self._queue, (-pod.priority, next(self._order), pod.key))

    def _leave(self, key: str) -> None:
        known = self._pending.pop(key, None)
        if known is None:
            return
        self._queued.discard(key)
        waiting = self._waiting.get(known[1])
        if waiting is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[known[1]]
        for name in pinned_nodes(known[0]) or ():
            self._waiting_on.get(name, {}).pop(key, None)


def _target(pod: Pod) -> Target:
    return Target(PODS, pod.namespace, pod.name, pod.uid)


def plan_schedule(
    nodes: Iterable[Node], pods: Iterable[Pod], *, kubernetes_minor: int = 35
) -> Plan:
    """One decision for a whole world at once; the order of the input does not matter."""
    scheduler = Scheduler(kubernetes_minor=kubernetes_minor)
    for node in sorted(nodes, key=lambda n: n.name):
        scheduler.set_node(node)
    found = sorted(pods, key=lambda p: (p.created, p.key))
    for pod in found:
        scheduler.set_pod(pod)
    return scheduler.plan(len(found))
