"""Draining one node: who must go, who may be asked to go now, and until when.

Source: AKS "Upgrade options and drain" and kubectl's drain: DaemonSet and mirror pods stay, all
others are evicted, and a disruption budget that allows nothing makes the drain wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from poolwright.model.node import Node
from poolwright.model.pod import Budget, Pod
from poolwright.plan.actions import EvictPod


@dataclass(frozen=True, slots=True)
class Drain:
    """How far a drain is: done when the node is cordoned and nobody remains."""

    is_cordoned: bool
    evictions: tuple[EvictPod, ...] = ()
    remaining: tuple[str, ...] = ()
    blocked_by: str = ""

    @property
    def is_done(self) -> bool:
        """Whether no pod is left that had to go, and none can come."""
        return self.is_cordoned and not self.remaining


class Allowance:
    """Disruptions that the budgets allow now, used up while one pass plans its evictions."""

    def __init__(self, budgets: Mapping[str, Sequence[Budget]]) -> None:
        self._budgets = budgets
        self._left: dict[tuple[str, str], int] = {}

    def _matching(self, pod: Pod) -> list[Budget]:
        # A selector without matchLabels is left to the API server, which knows all of it.
        return [
            budget
            for budget in self._budgets.get(pod.namespace, ())
            if budget.match_labels
            and all(pod.labels.get(k) == v for k, v in budget.match_labels.items())
        ]

    def take(self, pod: Pod) -> str:
        """Use one disruption of every budget that covers the pod; the name of the budget that
        has none left, or an empty string.
        """
        matching = self._matching(pod)
        for budget in matching:
            key = (budget.namespace, budget.name)
            if self._left.setdefault(key, budget.disruptions_allowed) <= 0:
                return f"{budget.namespace}/{budget.name}"
        for budget in matching:
            self._left[budget.namespace, budget.name] -= 1
        return ""


def must_go(pods: Iterable[Pod], node: Node) -> list[Pod]:
    """The pods that a drain waits for. On a node that is not ready, pods that are already being
    deleted are not waited for: their kubelet cannot confirm the end.
    """
    return [
        pod
        for pod in pods
        if not pod.is_daemon and not pod.is_finished and not (pod.deleting and not node.is_ready)
    ]


def plan_drain(node: Node, pods: Sequence[Pod], allowance: Allowance, *, because: str) -> Drain:
    """Whom to evict now from a cordoned node. Before it is cordoned, nobody: pods would return."""
    remaining = must_go(pods, node)
    evictions: list[EvictPod] = []
    blocked_by = ""
    if node.unschedulable:
        for pod in remaining:
            if pod.deleting:
                continue
            blocker = allowance.take(pod)
            if blocker:
                blocked_by = blocked_by or blocker
            else:
                evictions.append(EvictPod(pod.namespace, pod.name, pod.uid, because))
    return Drain(
        node.unschedulable,
        tuple(evictions),
        tuple(f"{p.namespace}/{p.name}" for p in remaining),
        blocked_by,
    )
