"""No pod is taken from a living node when its disruption budget forbids that.

Source: kubernetes.io/docs/concepts/workloads/pods/disruptions. What goes with its machine (stopped,
deleted, given a new disk) is no eviction; whoever does that must have drained the node before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from poolwright.model.json_value import child
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.ports.store import Change
from poolwright.providers.simulated.ledger import MACHINE, MachineCourse
from poolwright.sim.checkers.checker import Checker, Scene


@dataclass(frozen=True, slots=True)
class _Budget:
    selector: dict[str, str]
    least: int


class BudgetKept(Checker):
    """Looks at every pod that is asked to go, with the cluster as it was at that moment."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._pods: dict[str, Pod] = {}
        self._nodes: dict[str, Node] = {}
        self._budgets: dict[str, _Budget] = {}
        self._machines: dict[str, MachineCourse] = {}

    def on_change(self, change: Change) -> None:
        """Remember machines."""
        if change.record.kind.name == MACHINE.name:
            self._machines[change.record.spec.request.name] = change.record.status

    def on_object(self, change: Change) -> None:
        """Remember nodes and budgets; judge pods."""
        name = change.record.name
        match change.record.kind.name:
            case "/pods":
                self._pod(name, None if change.deleted else _read(change))
            case "/nodes":
                if change.deleted:
                    self._nodes.pop(name, None)
                else:
                    self._nodes[name] = Node.from_object(_read(change))
            case "policy/poddisruptionbudgets":
                if change.deleted:
                    self._budgets.pop(name, None)
                else:
                    spec = child(_read(change), "spec")
                    labels = dict(child(spec, "selector").get("matchLabels") or {})
                    self._budgets[name] = _Budget(labels, int(spec["minAvailable"]))
            case _:
                pass

    def _pod(self, name: str, wire: dict[str, Any] | None) -> None:
        before = self._pods.pop(name, None)
        after = None if wire is None else Pod.from_object(wire)
        if after is not None:
            self._pods[name] = after
        leaves = after is None or after.deleting
        if before is not None and leaves and not before.deleting and not before.is_finished:
            self._judge(before)

    def _judge(self, pod: Pod) -> None:
        if not pod.is_ready or not self._is_serving(pod.node_name):
            return
        for budget in self._budgets.values():
            if not _matches(budget, pod):
                continue
            healthy = sum(
                other.is_ready and not other.deleting and _matches(budget, other)
                for other in self._pods.values()
            )
            if healthy < budget.least:
                self.scene.broken(
                    "no eviction against a budget",
                    f"{pod.name} left {pod.node_name}: {healthy} left, {budget.least} promised",
                )

    def _is_serving(self, name: str) -> bool:
        node, course = self._nodes.get(name), self._machines.get(name)
        if node is None or course is None or not node.is_ready:
            return False
        if any(taint.effect == "NoExecute" for taint in node.taints):
            return False
        return course.is_alive(self.scene.now)


def _read(change: Change) -> dict[str, Any]:
    return msgspec.json.decode(change.record.spec)


def _matches(budget: _Budget, pod: Pod) -> bool:
    return all(pod.labels.get(key) == value for key, value in budget.selector.items())
