"""Rules of what says where a pod may run: selectors, affinity, topology spread.

Source: k8s.io/kubernetes pkg/apis/core/validation/validation.go (wording).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.rules import check_labels, dns_label, label_value, qualified_name
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

_SELECTOR_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NODE_POLICIES = ("Honor", "Ignore")
_NEEDED = "must be specified when `operator` is 'In' or 'NotIn'"
_UNWANTED = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"


def check_label_selector(selector: Json, path: str) -> Iterator[Cause]:
    """Broken rules of a ``LabelSelector``."""
    yield from check_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for position, term in enumerate(children(selector, "matchExpressions")):
        here = f"{path}.matchExpressions[{position}]"
        operator, values = str(term.get("operator") or ""), term.get("values") or ()
        if operator in {"In", "NotIn"} and not values:
            yield required(f"{here}.values", _NEEDED)
        elif operator in {"Exists", "DoesNotExist"} and values:
            yield forbidden(f"{here}.values", _UNWANTED)
        elif operator not in _SELECTOR_OPERATORS:
            yield invalid(f"{here}.operator", operator, "not a valid selector operator")
        for problem in qualified_name(str(term.get("key") or "")):
            yield invalid(f"{here}.key", term.get("key") or "", problem)
        for place, value in enumerate(values):
            for problem in label_value(str(value)):
                yield invalid(f"{here}.values[{place}]", value, problem)


def _check_node_requirement(term: Json, path: str) -> Iterator[Cause]:
    operator, values = str(term.get("operator") or ""), term.get("values") or ()
    match operator:
        case "In" | "NotIn":
            if not values:
                yield required(f"{path}.values", _NEEDED)
        case "Exists" | "DoesNotExist":
            if values:
                yield forbidden(f"{path}.values", _UNWANTED)
        case "Gt" | "Lt":
            if len(values) != 1:
                why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                yield required(f"{path}.values", why)
        case _:
            yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    for problem in qualified_name(str(term.get("key") or "")):
        yield invalid(f"{path}.key", term.get("key") or "", problem)
    for place, value in enumerate(values):
        for problem in label_value(str(value)):
            yield invalid(f"{path}.values[{place}]", value, problem)


def _check_node_term(term: Json, path: str) -> Iterator[Cause]:
    for position, requirement in enumerate(children(term, "matchExpressions")):
        yield from _check_node_requirement(requirement, f"{path}.matchExpressions[{position}]")
    for position, requirement in enumerate(children(term, "matchFields")):
        here = f"{path}.matchFields[{position}]"
        if requirement.get("key") != "metadata.name":
            yield invalid(f"{here}.key", requirement.get("key"), "not a valid field selector key")


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def check_node_selector(selector: Json, path: str) -> Iterator[Cause]:
    """Broken rules of a choice of nodes."""
    terms, where = children(selector, "nodeSelectorTerms"), f"{path}.nodeSelectorTerms"
    if not terms:
        yield required(where, "must have at least one node selector term")
    for position, term in enumerate(terms):
        yield from _check_node_term(term, f"{where}[{position}]")


def _check_node_affinity(affinity: Json, path: str) -> Iterator[Cause]:
    if affinity.get(_REQUIRED) is not None:
        yield from check_node_selector(affinity[_REQUIRED], f"{path}.{_REQUIRED}")
    for position, term in enumerate(children(affinity, _PREFERRED)):
        where = f"{path}.{_PREFERRED}[{position}]"
        yield from _check_weight(term, where)
        yield from _check_node_term(child(term, "preference"), f"{where}.preference")


def _check_weight(term: Json, path: str) -> Iterator[Cause]:
    weight = term.get("weight") or 0
    if not 1 <= int(weight) <= 100:
        yield invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _check_pod_term(term: Json, path: str) -> Iterator[Cause]:
    yield from check_label_selector(child(term, "labelSelector"), f"{path}.labelSelector")
    yield from check_label_selector(child(term, "namespaceSelector"), f"{path}.namespaceSelector")
    for position, name in enumerate(term.get("namespaces") or ()):
        for problem in dns_label(str(name)):
            yield invalid(f"{path}.namespaces[{position}]", name, problem)
    key = str(term.get("topologyKey") or "")
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    for problem in qualified_name(key):
        yield invalid(f"{path}.topologyKey", key, problem)


def check_affinity(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of a pod's affinity."""
    affinity = child(spec, "affinity")
    if not affinity:
        return
    yield from _check_node_affinity(child(affinity, "nodeAffinity"), f"{path}.nodeAffinity")
    for member in ("podAffinity", "podAntiAffinity"):
        for position, term in enumerate(children(affinity, member, _REQUIRED)):
            yield from _check_pod_term(term, f"{path}.{member}.{_REQUIRED}[{position}]")
        for position, term in enumerate(children(affinity, member, _PREFERRED)):
            where = f"{path}.{member}.{_PREFERRED}[{position}]"
            yield from _check_weight(term, where)
            yield from _check_pod_term(child(term, "podAffinityTerm"), f"{where}.podAffinityTerm")


def check_spread(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of a pod's topology spread constraints."""
    seen: dict[tuple[str, str], int] = {}
    for position, constraint in enumerate(children(spec, "topologySpreadConstraints")):
        here = f"{path}[{position}]"
        skew = constraint.get("maxSkew") or 0
        if int(skew) <= 0:
            yield invalid(f"{here}.maxSkew", skew, "must be greater than zero")
        key = str(constraint.get("topologyKey") or "")
        if not key:
            yield required(f"{here}.topologyKey", "can not be empty")
        action = str(constraint.get("whenUnsatisfiable") or "")
        if action not in _UNSATISFIABLE:
            yield not_supported(f"{here}.whenUnsatisfiable", action, _UNSATISFIABLE)
        first = seen.setdefault((key, action), position)
        if first != position:
            where = f"{path}[{first}].{{topologyKey, whenUnsatisfiable}}"
            yield duplicate(where, f"{{{key}, {action}}}")
        domains = constraint.get("minDomains")
        if isinstance(domains, int) and domains <= 0:
            yield invalid(f"{here}.minDomains", domains, "must be greater than zero")
        if domains is not None and action != "DoNotSchedule":
            why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            yield invalid(f"{here}.minDomains", domains, why)
        for member in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(member)
            if policy is not None and policy not in _NODE_POLICIES:
                yield not_supported(f"{here}.{member}", policy, _NODE_POLICIES)
        yield from check_label_selector(child(constraint, "labelSelector"), f"{here}.labelSelector")
