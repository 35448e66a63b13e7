"""The Kubernetes Node, as far as decisions need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from poolwright.model.json_value import child
from poolwright.model.quantity import resource_amounts
from poolwright.model.taint import Taint

AGENT_POOL_LABEL = "kubernetes.azure.com/agentpool"
AGENT_POOL_ANNOTATION = "poolwright.dev/agent-pool"
"""What counts: users edit labels, and a node that leaves its pool by one could not come back."""


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """One condition: its status (``True``, ``False``, ``Unknown``), reason and message."""

    status: str
    reason: str = ""
    message: str = ""


_condition = lru_cache(maxsize=1024)(NodeCondition)
"""Thousands of nodes say the same words."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Amounts are in our units (`model.quantity`)."""

    name: str
    uid: str
    revision: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    provider_id: str = ""
    capacity: Mapping[str, int] = field(default_factory=dict[str, int])
    allocatable: Mapping[str, int] = field(default_factory=dict[str, int])
    conditions: Mapping[str, NodeCondition] = field(default_factory=dict[str, NodeCondition])
    kubelet_version: str = ""
    deleting: bool = False
    kubelet_port: int = 10250
    """Where its kubelet listens; 0 for one that nobody can call."""
    is_foreign: bool = False
    """Whether somebody else made it, on a cluster that is not ours alone."""

    @property
    def is_ready(self) -> bool:
        """Whether the Ready condition is True."""
        condition = self.conditions.get("Ready")
        return condition is not None and condition.status == "True"

    @property
    def pool(self) -> str:
        """The agent pool that the node registered for; empty for foreign nodes."""
        if self.is_foreign:
            return ""
        return self.annotations.get(AGENT_POOL_ANNOTATION) or self.labels.get(AGENT_POOL_LABEL, "")

    @property
    def amends(self) -> dict[str, int | None]:
        """What a kubelet would change in allocatable: extended resources may be allocated whole,
        and those that are in capacity no more cannot be (None).

        Source: k8s.io/kubernetes pkg/kubelet/nodestatus, MachineInfo.
        """
        capacity, allocatable = self.capacity, self.allocatable
        changed: dict[str, int | None] = {
            name: amount
            for name, amount in capacity.items()
            if "/" in name and allocatable.get(name) != amount
        }
        if len(allocatable) + len(changed) > len(capacity):
            gone = (name for name in allocatable if "/" in name and name not in capacity)
            changed |= dict.fromkeys(gone)
        return changed

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Node:
        """Read Kubernetes' JSON form."""
        meta: Mapping[str, Any] = wire["metadata"]
        spec: Mapping[str, Any] = wire.get("spec") or {}
        status: Mapping[str, Any] = wire.get("status") or {}
        return cls(
            name=meta["name"],
            uid=meta.get("uid", ""),
            revision=meta.get("resourceVersion", ""),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
            taints=tuple(Taint.from_object(t) for t in spec.get("taints") or ()),
            unschedulable=bool(spec.get("unschedulable")),
            provider_id=spec.get("providerID", ""),
            capacity=resource_amounts(status.get("capacity")),
            allocatable=resource_amounts(status.get("allocatable")),
            conditions={
                c.get("type", ""): _condition(
                    c.get("status", ""), c.get("reason", ""), c.get("message", "")
                )
                for c in status.get("conditions") or ()
            },
            kubelet_version=child(status, "nodeInfo").get("kubeletVersion", ""),
            deleting="deletionTimestamp" in meta,
            kubelet_port=child(status, "daemonEndpoints", "kubeletEndpoint").get("Port") or 0,
        )
