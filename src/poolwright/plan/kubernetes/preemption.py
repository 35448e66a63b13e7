"""Whom a pod that fits nowhere may drive away, and where that hurts least.

Source: k8s.io/kubernetes v1.36 pkg/scheduler/framework/preemption and
framework/plugins/defaultpreemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poolwright.model.json_value import Json, child
from poolwright.model.label_selector import LabelSelector
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.placement import Placement, Shape
from poolwright.plan.kubernetes.room import NodeRoom

NO_HELP = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
_CANDIDATES_MIN = 100  # DefaultPreemptionArgs, minCandidateNodesAbsolute
_CANDIDATES_SHARE = 10  # minCandidateNodesPercentage: one in ten


@dataclass(frozen=True, slots=True)
class Guard:
    """A disruption budget as preemption sees it."""

    namespace: str
    selector: LabelSelector
    allowed: int
    granted: frozenset[str] = frozenset()
    """Pods whose disruption is counted already."""

    @classmethod
    def from_object(cls, wire: Json) -> Guard | None:
        """Read a PodDisruptionBudget; None if it selects nothing."""
        selector = child(wire, "spec").get("selector")
        if selector is None:
            return None
        status = child(wire, "status")
        return cls(
            wire["metadata"]["namespace"],
            LabelSelector.from_object(selector),
            int(status.get("disruptionsAllowed") or 0),
            frozenset(status.get("disruptedPods") or ()),
        )


@dataclass(frozen=True, slots=True)
class Preemption:
    """The pods to drive from a node. ``violations``: how many of them a budget protects."""

    node: str
    victims: tuple[Pod, ...]
    violations: int


def find_preemption(
    placement: Placement, pod: Pod, shape: Shape, guards: Sequence[Guard]
) -> tuple[Preemption | None, Mapping[str, int]]:
    """The preemption that hurts least; without one, what each node said to the attempt."""
    said: Counter[str] = Counter()
    lowest = placement.lowest_priority
    hopeless = lowest is None or lowest >= pod.priority
    if hopeless:
        for misfit, number in placement.reasons(pod, shape).items():
            said[NO_HELP if misfit.is_final else NO_VICTIMS] += number
        return None, said
    most = max(_CANDIDATES_MIN, placement.node_count // _CANDIDATES_SHARE)
    found: list[Preemption] = []
    for room in placement.rooms():
        misfit = placement.misfit(pod, shape, room)
        if misfit is not None and misfit.is_final:
            said[NO_HELP] += 1
            continue
        answer = _try(placement, pod, shape, room, guards)
        if isinstance(answer, Preemption):
            found.append(answer)
            if len(found) >= most:
                break
        else:
            said.update(answer)
    return min(found, key=_harm, default=None), said


def _try(
    placement: Placement, pod: Pod, shape: Shape, room: NodeRoom, guards: Sequence[Guard]
) -> Preemption | tuple[str, ...]:
    """Take all pods of lower priority away, then let as many stay as can."""
    lower = [p for p in room.pods.values() if p.priority < pod.priority]
    if not lower:
        return (NO_VICTIMS,)
    for each in lower:
        placement.lift(each, room, -1)
    misfit = placement.misfit(pod, shape, room)
    if misfit is not None:
        for each in lower:
            placement.lift(each, room, 1)
        return misfit.reasons
    lower.sort(key=lambda p: (-p.priority, p.started or p.created, p.key))
    protected, others = _by_protection(lower, guards)
    victims: list[Pod] = []
    violations = 0
    for is_protected, each in (*((True, p) for p in protected), *((False, p) for p in others)):
        placement.lift(each, room, 1)
        if placement.misfit(pod, shape, room) is not None:
            placement.lift(each, room, -1)
            victims.append(each)
            violations += is_protected
    for each in victims:
        placement.lift(each, room, 1)
    victims.sort(key=lambda p: (-p.priority, p.started or p.created, p.key))
    return Preemption(room.name, tuple(victims), violations)


def _by_protection(pods: Sequence[Pod], guards: Sequence[Guard]) -> tuple[list[Pod], list[Pod]]:
    """Pods that a budget protects now, and the others; each of these spends from its budgets."""
    left = {index: guard.allowed for index, guard in enumerate(guards)}
    protected: list[Pod] = []
    others: list[Pod] = []
    for pod in pods:
        is_protected = False
        for index, guard in enumerate(guards):
            if guard.namespace != pod.namespace or pod.name in guard.granted or not pod.labels:
                continue
            if guard.selector.matches(pod.labels):
                left[index] -= 1
                is_protected = is_protected or left[index] < 0
        (protected if is_protected else others).append(pod)
    return protected, others


def _harm(found: Preemption) -> tuple[object, ...]:
    """What is compared, in this order, to choose a node: the least is chosen."""
    if not found.victims:
        return (0, -(2**31), 0, 0, (), found.node)
    highest = found.victims[0].priority
    since = min(p.started or p.created for p in found.victims if p.priority == highest)
    return (
        found.violations,
        highest,
        sum(p.priority + 2**31 for p in found.victims),
        len(found.victims),
        _latest_first(since),
        found.node,
    )


def _latest_first(text: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in text)
