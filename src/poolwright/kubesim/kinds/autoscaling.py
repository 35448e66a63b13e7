"""Horizontal pod autoscalers, as objects: nothing measures or scales.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/autoscaling and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.autoscaling_rules import SOURCES, check_behavior, check_metrics
from poolwright.kubesim.kinds.cell import NONE, UNKNOWN, age_of, number
from poolwright.kubesim.kinds.declare import (
    all_of,
    at_least,
    defaults,
    needed,
    starts_with_status,
)
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.status import Cause, forbidden, invalid, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_AGE = Column("Age")


# HorizontalPodAutoscaler

_SHOWN_MAX = 2
_DEFAULT_METRIC = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
_UP_POLICIES = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_DOWN_POLICIES = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def _behavior(body: Body) -> None:
    behavior: Body = body["spec"].get("behavior")
    if not behavior:
        return
    for member, policies in (("scaleUp", _UP_POLICIES), ("scaleDown", _DOWN_POLICIES)):
        rules: Any = behavior.setdefault(member, {})
        if member == "scaleUp":
            rules.setdefault("stabilizationWindowSeconds", 0)
        rules.setdefault("selectPolicy", "Max")
        rules.setdefault("policies", [dict(policy) for policy in policies])


def _metric(spec: Json, status: Json) -> str:
    """One metric: what is, and what is wanted."""
    member = SOURCES.get(str(spec.get("type")), "")
    target, current = child(spec, member, "target"), child(status, member, "current")
    resource = f"{child(spec, member).get('name')}: " if "esource" in member else ""
    if "averageValue" in target:
        suffix = " (avg)" if member in {"external", "object"} else ""
        return f"{resource}{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{suffix}"
    if resource:
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        shown = UNKNOWN if used is None else f"{used}%"
        return f"{resource}{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '')}"


def _autoscaler_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, target = child(body, "spec"), child(body, "spec", "scaleTargetRef")
    current = children(body, "status", "currentMetrics")
    metrics = [
        _metric(metric, current[position] if position < len(current) else {})
        for position, metric in enumerate(children(body, "spec", "metrics"))
    ]
    shown = ", ".join(metrics[:_SHOWN_MAX]) or NONE
    if len(metrics) > _SHOWN_MAX:
        shown += f" + {len(metrics) - _SHOWN_MAX} more..."
    return (
        f"{target.get('kind', '')}/{target.get('name', '')}",
        shown,
        str(spec.get("minReplicas", "<unset>")),
        number(body, "spec", "maxReplicas"),
        number(body, "status", "currentReplicas"),
        age_of(body, now),
    )


def _check_target(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    version = str(child(new, "spec", "scaleTargetRef").get("apiVersion") or "")
    if "/" not in version and child(new, "spec", "scaleTargetRef").get("kind") != (
        "ReplicationController"
    ):
        where = "spec.scaleTargetRef.apiVersion"
        yield invalid(where, version, "apiVersion must specify API group")


def _check_zero(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    types = {metric.get("type") for metric in children(new, "spec", "metrics")}
    if child(new, "spec").get("minReplicas") == 0 and not types & {"Object", "External"}:
        why = "must specify at least one Object or External metric to support scaling to zero"
        yield forbidden("spec.metrics", f"{why} replicas")


def _check_bounds(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    low, high = number(new, "spec", "minReplicas"), number(new, "spec", "maxReplicas")
    if not high:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif high < 0:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to 1")
    if high < low:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")


HORIZONTAL_POD_AUTOSCALER = ObjectKind(
    names.HORIZONTAL_POD_AUTOSCALERS,
    "horizontalpodautoscaler",
    ("hpa",),
    ("all",),
    ("status",),
    columns=(
        Column("Reference"),
        Column("Targets"),
        Column("MinPods"),
        Column("MaxPods"),
        Column("Replicas"),
        _AGE,
    ),
    row=_autoscaler_row,
    default=defaults({"spec.minReplicas": 1, "spec.metrics": [_DEFAULT_METRIC]}, _behavior),
    prepare=starts_with_status({"currentMetrics": None, "desiredReplicas": 0}),
    validate=all_of(
        at_least(1, "spec.minReplicas"),
        _check_bounds,
        needed("spec.scaleTargetRef.kind", "spec.scaleTargetRef.name"),
        _check_target,
        check_metrics,
        _check_zero,
        check_behavior,
    ),
)
