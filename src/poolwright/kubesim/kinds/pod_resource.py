"""Rules of what containers ask for: amounts, and devices that the pod claims.

Source: validateResourceRequirements, validateResourceClaimNames and validatePodResourceClaims,
validatePodResourceRequirements in
k8s.io/kubernetes v1.36 pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from poolwright.kubesim.rules import dns_label, dns_subdomain, qualified_name
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children
from poolwright.model.pod import pod_requests
from poolwright.model.quantity import parse_quantity, quantity_text

_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def _is_extended(resource: str) -> bool:
    return "/" in resource and "kubernetes.io/" not in resource.partition("/")[0] + "/"


@lru_cache(maxsize=4096)
def _check_amount(name: str, text: str | int | float, path: str) -> Sequence[Cause]:
    """Broken rules of one amount; the same few are written over and over."""
    here = f"{path}[{name}]"
    found = [invalid(path, name, problem) for problem in qualified_name(name)]
    if "/" not in name and name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
        found.append(invalid(here, name, "must be a standard resource type or fully qualified"))
        found.append(invalid(here, name, "must be a standard resource for containers"))
    amount = parse_quantity(text)
    if amount < 0:
        found.append(invalid(here, str(text), "must be greater than or equal to 0"))
    if _is_extended(name) and amount.denominator != 1:
        found.append(invalid(here, text, "must be an integer"))
    return found


def _check_amounts(wire: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for name, text in wire.items():
        yield from _check_amount(name, text, path)


def check_resources(container: Json, path: str) -> Iterator[Cause]:
    """Broken rules of what a container asks for and may use."""
    limits = child(container, "resources", "limits")
    requests = child(container, "resources", "requests")
    wrong = [
        *_check_amounts(limits, f"{path}.resources.limits"),
        *_check_amounts(requests, f"{path}.resources.requests"),
    ]
    if wrong:
        yield from wrong
        return
    for name, text in requests.items():
        here = f"{path}.resources.requests"
        if name in limits:
            asked, bound = parse_quantity(text), parse_quantity(limits[name])
            if _is_extended(name) and asked != bound:
                yield invalid(here, str(text), f"must be equal to {name} limit of {limits[name]}")
            elif asked > bound:
                yield invalid(
                    here, str(text), f"must be less than or equal to {name} limit of {limits[name]}"
                )
        elif _is_extended(name):
            yield required(
                f"{path}.resources.limits", "Limit must be set for non overcommitable resources"
            )
    asked_for = (*limits, *requests)
    if any(n.startswith("hugepages-") for n in asked_for) and _HUGE_NEEDS.isdisjoint(asked_for):
        yield forbidden(f"{path}.resources", "HugePages require cpu or memory")


_HUGE_NEEDS = frozenset(("cpu", "memory"))


def check_claims(container: Json, path: str, known: Sequence[str]) -> Iterator[Cause]:
    """Broken rules of the claims that a container takes part in."""
    seen: set[str] = set()
    for position, claim in enumerate(children(container, "resources", "claims")):
        here, name = f"{path}[{position}]", str(claim.get("name") or "")
        request = str(claim.get("request") or "")
        if not name:
            yield required(here)
            continue
        for problem in dns_label(request) if request and name not in seen else ():
            yield invalid(f"{here}.request", request, problem)
        key = f"{name}/{request}" if request and name not in seen else name
        overlaps = key == name and any(other.startswith(f"{name}/") for other in seen)
        if key in seen or overlaps:
            yield duplicate(here, key)
        seen.add(key)
        if name not in known:
            there = f": {', '.join(sorted(known))}" if known else " which is empty"
            why = f"must be one of the names in pod.spec.resourceClaims{there}"
            yield Cause("FieldValueNotFound", here, f'Not found: "{name}": {why}')


_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")


def check_pod_claims(spec: Json, path: str) -> Iterator[Cause]:
    """Broken rules of the claims of a pod."""
    seen: set[str] = set()
    for position, claim in enumerate(children(spec, "resourceClaims")):
        here, name = f"{path}.resourceClaims[{position}]", str(claim.get("name") or "")
        if not name:
            yield required(f"{here}.name")
        elif name in seen:
            yield duplicate(f"{here}.name", name)
        else:
            for problem in dns_label(name):
                yield invalid(f"{here}.name", name, problem)
        seen.add(name)
        given = [member for member in _CLAIM_SOURCES if claim.get(member) is not None]
        shown: dict[str, Any] = {
            "Name": name,
            "ResourceClaimName": claim.get("resourceClaimName"),
            "ResourceClaimTemplateName": claim.get("resourceClaimTemplateName"),
        }
        both = " or ".join(f"`{member}`" for member in _CLAIM_SOURCES)
        if len(given) > 1:
            yield invalid(here, shown, f"at most one of {both} may be specified")
        elif not given:
            yield invalid(here, shown, f"must specify one of: {both.replace(' or ', ', ')}")
        for member in given:
            for problem in dns_subdomain(str(claim[member])):
                yield invalid(f"{here}.{member}", claim[member], problem)


OF_PODS = ("cpu", "hugepages-", "memory")
"""How the names of what a pod can ask for as a whole begin."""


def aggregate_requests(spec: Json) -> dict[str, str]:
    """What a pod's containers ask for together."""
    members = ("containers", "initContainers")
    asked = {
        member: [
            {
                "restartPolicy": container.get("restartPolicy"),
                "resources": {"requests": child(container, "resources", "requests")},
            }
            for container in children(spec, member)
        ]
        for member in members
    }
    amounts = pod_requests(asked)
    del amounts["pods"]
    return {
        name: quantity_text(Fraction(amount, 1000 if name == "cpu" else 1), binary=name != "cpu")
        for name, amount in amounts.items()
    }


def _check_of_pod(resources: Json, path: str) -> Iterator[Cause]:
    if resources.get("claims"):
        yield forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    for member in ("limits", "requests"):
        here = f"{path}.{member}"
        for name, text in child(resources, member).items():
            wrong = [cause for cause in _check_amount(name, text, here) if cause.field != here]
            if "/" not in name and not name.startswith((*OF_PODS, "ephemeral-storage")):
                yield from wrong[:1]  # that it is not one of containers is not said
            elif not name.startswith(OF_PODS):
                yield not_supported(f"{here}[{name}]", name, OF_PODS)
            else:
                yield from wrong
    limits = child(resources, "limits")
    for name, text in child(resources, "requests").items():
        if name in limits and parse_quantity(text) > parse_quantity(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", str(text), why)


def check_pod_resources(spec: Json, path: str) -> Iterator[Cause]:
    """Broken rules of what a pod asks for as a whole, and of its containers beside that."""
    resources, here = child(spec, "resources"), f"{path}.resources"
    if not resources:
        return
    wrong = list(_check_of_pod(resources, here))
    yield from wrong
    limits, requests = child(resources, "limits"), child(resources, "requests")
    if any(cause.field != f"{here}.requests" for cause in wrong) or not (limits or requests):
        return
    asked = aggregate_requests(spec)
    for name, text in requests.items():
        if name in asked and parse_quantity(text) < parse_quantity(asked[name]):
            why = f"must be greater than or equal to aggregate container requests of {asked[name]}"
            yield invalid(f"{here}.requests[{name}]", str(text), why)
    for position, container in enumerate(children(spec, "containers")):
        for name, text in child(container, "resources", "limits").items():
            if name in limits and parse_quantity(text) > parse_quantity(limits[name]):
                where = f"{here}.containers[{position}][{name}].limits"
                why = f"must be less than or equal to pod limits of {limits[name]}"
                yield invalid(where, str(text), why)
