"""The Kubernetes Pod and PodDisruptionBudget, as far as decisions need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from poolwright.model.json_value import child, children
from poolwright.model.label_selector import holds
from poolwright.model.pod_affinity import (
    NO_PODS,
    PodAffinity,
    SpreadConstraint,
    pod_affinity,
    spread_constraints,
)
from poolwright.model.quantity import resource_amounts
from poolwright.model.taint import Toleration
from poolwright.model.words import shared

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner reference."""

    kind: str
    name: str
    uid: str
    controller: bool = False

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Owner:
        """Read Kubernetes' JSON form."""
        return cls(wire["kind"], wire["name"], wire["uid"], bool(wire.get("controller")))


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """One match expression on node labels (or, with ``on_field``, on ``metadata.name``)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    on_field: bool = False

    @classmethod
    def from_object(cls, wire: Mapping[str, Any], *, on_field: bool = False) -> NodeRequirement:
        """Read Kubernetes' JSON form."""
        return cls(wire["key"], wire["operator"], tuple(wire.get("values") or ()), on_field)

    def matches(self, labels: Mapping[str, str], node_name: str) -> bool:
        """Whether a node with these labels and name satisfies the requirement."""
        if self.on_field:
            value = node_name if self.key == "metadata.name" else None
        else:
            value = labels.get(self.key)
        return holds(self.operator, value, self.values)


NodeTerm = tuple[NodeRequirement, ...]


_NONE: Mapping[str, str] = {}
"""Shared by the thousands of pods that have no labels, annotations or selector."""


def _node_terms(spec: Mapping[str, Any]) -> tuple[NodeTerm, ...] | None:
    required = child(
        spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return None
    return tuple(_term(term) for term in children(required, "nodeSelectorTerms"))


def _preferred_terms(spec: Mapping[str, Any]) -> tuple[tuple[int, NodeTerm], ...]:
    preferred = children(
        spec, "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"
    )
    return tuple((int(p.get("weight") or 0), _term(child(p, "preference"))) for p in preferred)


def _term(wire: Mapping[str, Any]) -> NodeTerm:
    return tuple(
        NodeRequirement.from_object(e) for e in children(wire, "matchExpressions")
    ) + tuple(NodeRequirement.from_object(e, on_field=True) for e in children(wire, "matchFields"))


def pod_requests(spec: Mapping[str, Any]) -> dict[str, int]:
    """What a pod spec asks a node for: the larger of the containers' sum and any init container,
    or what the pod asks for as a whole, plus overhead, and one of ``pods``. A limit without a
    request is the request.

    Source: kubernetes.io/docs/concepts/workloads/pods/init-containers, "Resource sharing";
    "Assign Pod-level CPU and memory resources".
    """

    def of(asking: Mapping[str, Any]) -> dict[str, int]:
        resources: Mapping[str, Any] = asking.get("resources") or {}
        return {
            **resource_amounts(resources.get("limits")),
            **resource_amounts(resources.get("requests")),
        }

    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        for name, amount in of(container).items():
            total[name] = total.get(name, 0) + amount
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        wanted = of(container)
        if container.get("restartPolicy") == "Always":
            for name, amount in wanted.items():
                sidecars[name] = sidecars.get(name, 0) + amount
                total[name] = total.get(name, 0) + amount
        else:
            for name, amount in wanted.items():
                total[name] = max(total.get(name, 0), amount + sidecars.get(name, 0))
    total |= of(spec)
    for name, amount in resource_amounts(spec.get("overhead")).items():
        total[name] = total.get(name, 0) + amount
    total["pods"] = 1
    return total


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. ``requests`` are in our units; ``node_terms`` is the required node affinity (None:
    no affinity given; an empty tuple matches nothing).
    """

    namespace: str
    name: str
    uid: str
    revision: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    owners: tuple[Owner, ...] = ()
    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    node_terms: tuple[NodeTerm, ...] | None = None
    tolerations: tuple[Toleration, ...] = ()
    requests: Mapping[str, int] = field(default_factory=dict[str, int])
    priority: int = 0
    phase: str = "Pending"
    is_ready: bool = False
    unschedulable: bool = False
    deleting: bool = False
    host_ports: tuple[tuple[str, str, int], ...] = ()
    preferred_terms: tuple[tuple[int, NodeTerm], ...] = ()
    scheduling_gates: tuple[str, ...] = ()
    unschedulable_message: str = ""
    may_preempt: bool = True
    created: str = ""
    ready_since: str = ""
    restarts: int = 0
    finalizers: tuple[str, ...] = ()
    affinity: PodAffinity = NO_PODS
    spread: tuple[SpreadConstraint, ...] = ()
    nominated_node: str = ""
    started: str = ""
    volume_claims: tuple[str, ...] = ()
    """The PersistentVolumeClaims behind its volumes."""
    device_claims: tuple[str, ...] = ()
    """Its ResourceClaims; empty for one that is still to be made."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def controller(self) -> Owner | None:
        """The owner that manages the pod, if any."""
        for owner in self.owners:
            if owner.controller:
                return owner
        return None

    @property
    def is_finished(self) -> bool:
        """Whether the pod has ended and holds no resources."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def is_daemon(self) -> bool:
        """Whether a DaemonSet or the node itself (mirror pod) made it: a drain leaves it alone."""
        owner = self.controller
        return (owner is not None and owner.kind == "DaemonSet") or (
            MIRROR_ANNOTATION in self.annotations
        )

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Pod:
        """Read Kubernetes' JSON form."""
        meta: Mapping[str, Any] = wire["metadata"]
        spec: Mapping[str, Any] = wire.get("spec") or {}
        status: Mapping[str, Any] = wire.get("status") or {}
        conditions = {c.get("type"): c for c in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled", {})
        return cls(
            namespace=shared(meta.get("namespace", "")),
            name=meta["name"],
            uid=meta.get("uid", ""),
            revision=meta.get("resourceVersion", ""),
            labels=meta.get("labels") or _NONE,
            annotations=meta.get("annotations") or _NONE,
            owners=tuple(Owner.from_object(o) for o in meta.get("ownerReferences") or ()),
            node_name=shared(spec.get("nodeName") or ""),
            scheduler_name=spec.get("schedulerName") or "default-scheduler",
            node_selector=spec.get("nodeSelector") or _NONE,
            node_terms=_node_terms(spec),
            tolerations=tuple(Toleration.from_object(t) for t in spec.get("tolerations") or ()),
            requests=pod_requests(spec),
            priority=spec.get("priority") or 0,
            phase=shared(status.get("phase") or "Pending"),
            is_ready=conditions.get("Ready", {}).get("status") == "True",
            unschedulable=scheduled.get("status") == "False"
            and scheduled.get("reason") == "Unschedulable",
            deleting="deletionTimestamp" in meta,
            host_ports=tuple(
                (port.get("protocol", "TCP"), port.get("hostIP", ""), port["hostPort"])
                for container in spec.get("containers") or ()
                for port in container.get("ports") or ()
                if port.get("hostPort")
            ),
            preferred_terms=_preferred_terms(spec),
            scheduling_gates=tuple(g["name"] for g in spec.get("schedulingGates") or ()),
            unschedulable_message=scheduled.get("message") or "",
            may_preempt=spec.get("preemptionPolicy") != "Never",
            created=shared(meta.get("creationTimestamp") or ""),
            ready_since=shared(conditions.get("Ready", {}).get("lastTransitionTime") or ""),
            finalizers=tuple(meta.get("finalizers") or ()),
            affinity=pod_affinity(spec, meta.get("namespace", ""), meta.get("labels") or {}),
            spread=spread_constraints(spec, meta.get("labels") or {}),
            nominated_node=status.get("nominatedNodeName") or "",
            started=shared(status.get("startTime") or ""),
            volume_claims=_volume_claims(meta["name"], spec),
            device_claims=_device_claims(spec, status),
            restarts=sum(c.get("restartCount") or 0 for c in children(status, "containerStatuses")),
        )


def _volume_claims(pod: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of ephemeral volumes are named after pod and volume."""
    found: list[str] = []
    for volume in spec.get("volumes") or ():
        if claimed := volume.get("persistentVolumeClaim"):
            found.append(claimed.get("claimName") or "")
        elif "ephemeral" in volume:
            found.append(f"{pod}-{volume.get('name')}")
    return tuple(found)


def _device_claims(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of templates are named by the status; one without a name needs none."""
    wanted = spec.get("resourceClaims")
    if not wanted:
        return ()
    made = {s["name"]: s for s in status.get("resourceClaimStatuses") or ()}
    found: list[str] = []
    for claim in wanted:
        name = claim.get("resourceClaimName")
        if not name:
            known = made.get(claim["name"])
            name = "" if known is None else known.get("resourceClaimName")
        if name is not None:
            found.append(name)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget's verdict: which pods it covers and how many may go now."""

    namespace: str
    name: str
    match_labels: Mapping[str, str]
    disruptions_allowed: int

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Budget:
        """Read Kubernetes' JSON form (only ``matchLabels`` of the selector)."""
        meta: Mapping[str, Any] = wire["metadata"]
        status: Mapping[str, Any] = wire.get("status") or {}
        return cls(
            meta["namespace"],
            meta["name"],
            child(wire, "spec", "selector", "matchLabels"),
            int(status.get("disruptionsAllowed") or 0),
        )
