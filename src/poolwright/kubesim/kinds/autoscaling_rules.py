"""Rules of what a horizontal pod autoscaler measures, and of how it scales.

Source: k8s.io/kubernetes v1.36 pkg/apis/autoscaling/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.rules import dns_label, dns_subdomain, path_segment
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children
from poolwright.model.quantity import parse_quantity

SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""Types of metrics and the members that hold them."""
_LOOKED_AT = ("object", "external", "pods", "resource", "containerResource")
_TARGETS = {"Utilization", "Value", "AverageValue"}
_NEEDED: Mapping[str, tuple[tuple[str, str], str, str]] = {
    "object": (
        ("value", "averageValue"),
        "averageValue",
        "must set either a target value or averageValue",
    ),
    "external": (
        ("value", "averageValue"),
        "averageValue",
        "must set either a target value for metric or a per-pod target",
    ),
    "pods": (
        ("averageValue", "averageValue"),
        "averageValue",
        "must specify a positive target averageValue",
    ),
    **dict.fromkeys(
        ("resource", "containerResource"),
        (
            ("averageUtilization", "averageValue"),
            "averageUtilization",
            "must set either a target raw value or a target utilization",
        ),
    ),
}
"""By source: what its target needs one of, where its lack is told, and how."""
_NOT_BOTH = {
    "external": ("value", "may not set both a target value for metric and a per-pod target"),
    **dict.fromkeys(
        ("resource", "containerResource"),
        ("averageValue", "may not set both a target raw value and a target utilization"),
    ),
}
_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_WINDOW_MAX = 3600
_PERIOD_MAX = 1800


def check_metrics(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules of ``spec.metrics``."""
    for position, metric in enumerate(children(new, "spec", "metrics")):
        yield from _check_metric(metric, f"spec.metrics[{position}]")


def _check_metric(metric: Json, path: str) -> Iterator[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in SOURCES:
        yield not_supported(f"{path}.type", kind, tuple(SOURCES))
    present = [member for member in _LOOKED_AT if metric.get(member) is not None]
    if present:
        yield from _check_source(child(metric, present[0]), present[0], f"{path}.{present[0]}")
    wanted = SOURCES.get(kind, "")
    if wanted and wanted not in present:
        why = "must populate information for the given metric source"
        yield required(f"{path}.{wanted}", why)
    if len(present) != 1:
        for member in present:
            if member != wanted:
                why = "must populate the given metric source only"
                yield forbidden(f"{path}.{member}", why)


def _check_source(source: Json, member: str, path: str) -> Iterator[Cause]:
    if member == "object":
        yield from check_reference(child(source, "describedObject"), f"{path}.describedObject")
    if member in {"object", "external", "pods"}:
        name = str(child(source, "metric").get("name") or "")
        if not name:
            yield required(f"{path}.metric.name", "must specify a metric name")
        for problem in path_segment(name) if name else ():
            yield invalid(f"{path}.metric.name", name, problem)
    elif not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    if member == "containerResource":
        container = str(source.get("container") or "")
        if not container:
            yield required(f"{path}.container", "must specify a container")
        for problem in dns_label(container) if container else ():
            yield invalid(f"{path}.container", container, problem)
    target, here = child(source, "target"), f"{path}.target"
    yield from _check_target(target, here)
    either, where, why = _NEEDED[member]
    given = [target.get(each) is not None for each in either]
    if not any(given):
        yield required(f"{here}.{where}", why)
    elif all(given) and member in _NOT_BOTH:
        where, why = _NOT_BOTH[member]
        yield forbidden(f"{here}.{where}", why)


def _check_target(target: Json, path: str) -> Iterator[Cause]:
    kind = target.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in _TARGETS:
        yield invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for member in ("value", "averageValue"):
        amount = target.get(member)
        if amount is not None and parse_quantity(amount) <= 0:
            yield invalid(f"{path}.{member}", str(amount), "must be positive")
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        yield invalid(f"{path}.averageUtilization", used, "must be greater than 0")


def check_reference(reference: Json, path: str) -> Iterator[Cause]:
    """Broken rules of what names an object (ValidateCrossVersionObjectReference)."""
    for member in ("kind", "name"):
        text = str(reference.get(member) or "")
        if not text:
            yield required(f"{path}.{member}")
        for problem in path_segment(text) if text else ():
            yield invalid(f"{path}.{member}", text, problem)
    version = str(reference.get("apiVersion") or "")
    group = version.rpartition("/")[0]
    for problem in dns_subdomain(group) if group else ():
        yield invalid(f"{path}.apiVersion", version, problem)


def check_behavior(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules of ``spec.behavior``."""
    behavior = child(new, "spec", "behavior")
    for member in ("scaleUp", "scaleDown"):
        if behavior.get(member) is not None:
            yield from _check_scaling(child(behavior, member), f"spec.behavior.{member}")


def _check_scaling(rules: Json, path: str) -> Iterator[Cause]:
    window, choice = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    where = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        yield invalid(where, window, "must be greater than or equal to zero")
    if window is not None and window > _WINDOW_MAX:
        yield invalid(where, window, f"must be less than or equal to {_WINDOW_MAX}")
    if choice is not None and choice not in _SELECT:
        yield not_supported(f"{path}.selectPolicy", choice, _SELECT)
    policies = children(rules, "policies")
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for position, policy in enumerate(policies):
        here = f"{path}.policies[{position}]"
        if policy.get("type") not in _POLICIES:
            yield not_supported(f"{here}.type", policy.get("type") or "", _POLICIES)
        for member in ("value", "periodSeconds"):
            if (policy.get(member) or 0) <= 0:
                why = "must be greater than zero"
                yield invalid(f"{here}.{member}", policy.get(member) or 0, why)
        if (policy.get("periodSeconds") or 0) > _PERIOD_MAX:
            why = f"must be less than or equal to {_PERIOD_MAX}"
            yield invalid(f"{here}.periodSeconds", policy["periodSeconds"], why)
    tolerance = rules.get("tolerance")
    if tolerance is not None and parse_quantity(tolerance) < 0:
        yield invalid(f"{path}.tolerance", str(tolerance), "must be greater than or equal to 0")
