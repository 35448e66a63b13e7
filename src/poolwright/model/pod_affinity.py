"""What a pod asks of its neighbours: affinity to other pods, and spreading over topologies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poolwright.model.json_value import child, children
from poolwright.model.label_selector import LabelRule, LabelSelector

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods (of some namespaces) in the same topology. ``selector`` None selects nothing;
    ``namespace_selector`` None adds no namespaces.
    """

    topology_key: str
    selector: LabelSelector | None
    namespaces: tuple[str, ...]
    namespace_selector: LabelSelector | None = None

    @classmethod
    def from_object(cls, wire: Mapping[str, Any], namespace: str, labels: Any) -> PodTerm:
        """Read Kubernetes' JSON form; ``namespace`` and ``labels`` are the pod's own."""
        chosen = wire.get("namespaceSelector")
        given = tuple(sorted(wire.get("namespaces") or ()))
        return cls(
            wire.get("topologyKey") or "",
            _selector(wire, labels),
            given if given or chosen is not None else (namespace,),
            None if chosen is None else LabelSelector.from_object(chosen),
        )


@dataclass(frozen=True, slots=True)
class PodAffinity:
    """All that a pod asks about other pods; most ask nothing and share `NO_PODS`."""

    together: tuple[PodTerm, ...] = ()
    apart: tuple[PodTerm, ...] = ()
    preferred: tuple[tuple[int, PodTerm], ...] = ()
    """Weighted wishes; a negative weight is a wish to be apart."""


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """How evenly pods of a selection lie over a topology."""

    topology_key: str
    max_skew: int
    is_hard: bool
    selector: LabelSelector | None
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False


NO_PODS = PodAffinity()


def _selector(wire: Mapping[str, Any], labels: Mapping[str, str]) -> LabelSelector | None:
    given = wire.get("labelSelector")
    if given is None:
        return None
    found = LabelSelector.from_object(given)
    more = [
        LabelRule(key, operator, (labels[key],))
        for member, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in wire.get(member) or ()
        if key in labels
    ]
    new = tuple(rule for rule in more if rule not in found.rules)  # the API server adds them too
    return LabelSelector(found.labels, found.rules + new)


def pod_affinity(spec: Mapping[str, Any], namespace: str, labels: Any) -> PodAffinity:
    """The terms of a pod spec about other pods."""
    affinity: Mapping[str, Any] = spec.get("affinity") or {}
    if not affinity.get("podAffinity") and not affinity.get("podAntiAffinity"):
        return NO_PODS
    near, far = child(affinity, "podAffinity"), child(affinity, "podAntiAffinity")

    def terms(side: Mapping[str, Any]) -> tuple[PodTerm, ...]:
        found = children(side, _REQUIRED)
        return tuple(PodTerm.from_object(t, namespace, labels) for t in found)

    def wishes(side: Mapping[str, Any], sign: int) -> list[tuple[int, PodTerm]]:
        return [
            (
                sign * int(w.get("weight") or 0),
                PodTerm.from_object(child(w, "podAffinityTerm"), namespace, labels),
            )
            for w in children(side, _PREFERRED)
        ]

    return PodAffinity(terms(near), terms(far), (*wishes(near, 1), *wishes(far, -1)))


def spread_constraints(spec: Mapping[str, Any], labels: Any) -> tuple[SpreadConstraint, ...]:
    """The topology spread constraints of a pod spec."""
    return tuple(
        SpreadConstraint(
            c.get("topologyKey") or "",
            int(c.get("maxSkew") or 1),
            c.get("whenUnsatisfiable") != "ScheduleAnyway",
            _selector(c, labels),
            int(c.get("minDomains") or 1),
            c.get("nodeAffinityPolicy") != "Ignore",
            c.get("nodeTaintsPolicy") == "Honor",
        )
        for c in spec.get("topologySpreadConstraints") or ()
    )
