"""Horizontal pod autoscalers in their first form, which clients before kubectl 1.34 speak.

What that form lacks travels in annotations, so that a client that writes back what it read loses
nothing. Source: k8s.io/kubernetes pkg/apis/autoscaling/v1/conversion.go and annotations.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from poolwright.model.json_value import child, children
from poolwright.model.kubernetes import Resource

AUTOSCALERS_V1 = Resource(
    "autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", namespaced=True
)

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_BEHAVIOR, _CONDITIONS = f"{_PREFIX}behavior", f"{_PREFIX}conditions"
_PERCENT, _CURRENT_PERCENT = "targetCPUUtilizationPercentage", "currentCPUUtilizationPercentage"
_DEFAULT_PERCENT = 80

_Pairs = tuple[tuple[str, str], ...]
_METRIC: _Pairs = (("metricName", "metric.name"),)
# Member of a metric: what the first form calls it, and where the second has it.
_WANTED: Mapping[str, _Pairs] = {
    "resource": (
        ("name", "name"),
        ("targetAverageUtilization", "target.averageUtilization"),
        ("targetAverageValue", "target.averageValue"),
    ),
    "pods": (
        *_METRIC,
        ("selector", "metric.selector"),
        ("targetAverageValue", "target.averageValue"),
    ),
    "object": (
        *_METRIC,
        ("selector", "metric.selector"),
        ("target", "describedObject"),
        ("targetValue", "target.value"),
        ("averageValue", "target.averageValue"),
    ),
    "external": (
        *_METRIC,
        ("metricSelector", "metric.selector"),
        ("targetValue", "target.value"),
        ("targetAverageValue", "target.averageValue"),
    ),
}
_FOUND: Mapping[str, _Pairs] = {
    "resource": (
        ("name", "name"),
        ("currentAverageUtilization", "current.averageUtilization"),
        ("currentAverageValue", "current.averageValue"),
    ),
    "pods": (
        *_METRIC,
        ("selector", "metric.selector"),
        ("currentAverageValue", "current.averageValue"),
    ),
    "object": (
        *_METRIC,
        ("selector", "metric.selector"),
        ("target", "describedObject"),
        ("currentValue", "current.value"),
        ("averageValue", "current.averageValue"),
    ),
    "external": (
        *_METRIC,
        ("metricSelector", "metric.selector"),
        ("currentValue", "current.value"),
        ("currentAverageValue", "current.averageValue"),
    ),
}


def _pairs(table: Mapping[str, _Pairs], member: str) -> _Pairs:
    """The rows of a member; a container's resource is a resource with one name more."""
    if member == "containerResource":
        return (("container", "container"), *table["resource"])
    return table.get(member, ())


def _older(metric: Mapping[str, Any], table: Mapping[str, _Pairs]) -> dict[str, Any]:
    """A metric of the second form in the first."""
    made: dict[str, Any] = {"type": metric.get("type", "")}
    for member in metric:
        for name, path in _pairs(table, member):
            *parents, last = path.split(".")
            value = child(metric, member, *parents).get(last)
            if value is not None:
                made.setdefault(member, {})[name] = value
    return made


_TARGETS = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"))


def _newer(metric: Mapping[str, Any], table: Mapping[str, _Pairs]) -> dict[str, Any]:
    """A metric of the first form in the second."""
    made: dict[str, Any] = {"type": metric.get("type", "")}
    for member in metric:
        for name, path in _pairs(table, member):
            value = child(metric, member).get(name)
            if value is None:
                continue
            place = made.setdefault(member, {})
            *parents, last = path.split(".")
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        target: dict[str, Any] = child(made, member).get("target") or {}
        if target:
            target["type"] = next((kind for key, kind in _TARGETS if key in target), "Value")
    return made


def _is_cpu(metric: Mapping[str, Any], member: str) -> bool:
    """Whether the first form has a place of its own for it."""
    resource = child(metric, "resource")
    return resource.get("name") == "cpu" and "averageUtilization" in child(resource, member)


def _cpu(percent: Any, member: str) -> dict[str, Any]:
    inner: dict[str, Any] = {"averageUtilization": percent}
    if member == "target":
        inner["type"] = "Utilization"
    return {"type": "Resource", "resource": {"name": "cpu", member: inner}}


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_Objects = list[dict[str, Any]]


def _decode(text: Any) -> _Objects:
    """The list that an annotation holds; none if it is no such thing, as if it were not there."""
    try:
        return msgspec.json.decode(text, type=_Objects) if isinstance(text, str) else []
    except msgspec.DecodeError:
        return []


def _behavior(text: Any) -> dict[str, Any]:
    """The behaviour that an annotation holds."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]) if isinstance(text, str) else {}
    except msgspec.DecodeError:
        found = {}
    return _respelt(found, upper=False)


def _respelt(value: Any, *, upper: bool) -> Any:
    """A behaviour is annotated with the names of Go's fields."""
    if isinstance(value, dict):
        named: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {
            (key[:1].upper() if upper else key[:1].lower()) + key[1:]: _respelt(inner, upper=upper)
            for key, inner in named.items()
        }
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_respelt(item, upper=upper) for item in items]
    return value


def _annotated(body: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    """The metadata with these annotations of ours and no others."""
    metadata = dict(child(body, "metadata"))
    kept = {
        name: value
        for name, value in child(metadata, "annotations").items()
        if name not in (_METRICS, _CURRENT, _BEHAVIOR, _CONDITIONS)
    }
    metadata.pop("annotations", None)
    if kept or more:
        metadata["annotations"] = {**kept, **more}
    return metadata


def to_v1(body: dict[str, Any]) -> dict[str, Any]:
    """The first form of an autoscaler."""
    spec, state = dict(child(body, "spec")), dict(child(body, "status"))
    metrics, current = children(body, "spec", "metrics"), children(body, "status", "currentMetrics")
    notes: dict[str, str] = {}
    if other := [_older(metric, _WANTED) for metric in metrics if not _is_cpu(metric, "target")]:
        notes[_METRICS] = _encode(other)
    if current:
        notes[_CURRENT] = _encode([_older(metric, _FOUND) for metric in current])
    if behavior := spec.get("behavior"):
        notes[_BEHAVIOR] = _encode(_respelt(behavior, upper=True))
    if conditions := state.get("conditions"):
        notes[_CONDITIONS] = _encode(conditions)
    for name in ("metrics", "behavior"):
        spec.pop(name, None)
    for name in ("currentMetrics", "conditions"):
        state.pop(name, None)
    wanted = [metric["resource"]["target"] for metric in metrics if _is_cpu(metric, "target")]
    found = [metric["resource"]["current"] for metric in current if _is_cpu(metric, "current")]
    if wanted:
        spec[_PERCENT] = wanted[0]["averageUtilization"]
    if found:
        state[_CURRENT_PERCENT] = found[-1]["averageUtilization"]
    state.setdefault("currentReplicas", 0)
    return {
        **body,
        "apiVersion": AUTOSCALERS_V1.api_version,
        "metadata": _annotated(body, notes),
        "spec": spec,
        "status": state,
    }


def from_v1(body: dict[str, Any]) -> dict[str, Any]:
    """An autoscaler that was sent in its first form."""
    notes = child(body, "metadata", "annotations")
    spec, state = dict(child(body, "spec")), dict(child(body, "status"))
    percent, used = spec.pop(_PERCENT, None), state.pop(_CURRENT_PERCENT, None)
    metrics = [_newer(metric, _WANTED) for metric in _decode(notes.get(_METRICS))]
    if percent is not None or not metrics:
        metrics.append(_cpu(_DEFAULT_PERCENT if percent is None else percent, "target"))
    spec["metrics"] = metrics
    if behavior := _behavior(notes.get(_BEHAVIOR)):
        spec["behavior"] = behavior
    if current := _decode(notes.get(_CURRENT)):
        state["currentMetrics"] = [_newer(metric, _FOUND) for metric in current]
    elif used is not None:
        state["currentMetrics"] = [_cpu(used, "current")]
    if conditions := _decode(notes.get(_CONDITIONS)):
        state["conditions"] = conditions
    made = {**body, "metadata": _annotated(body, {}), "spec": spec}
    made.pop("status", None)
    return {**made, "status": state} if state else made
