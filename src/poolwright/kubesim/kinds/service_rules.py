"""Rules of a service: what goes with its type, its addresses, and where it may be reached from.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/validation (ValidateService,
ValidateServiceClusterIPsRelatedFields) and pkg/registry/core/service/storage (alloc.go).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim.kinds.address import (
    check_address,
    check_common_address,
    check_network,
    parse_address,
)
from poolwright.kubesim.rules import dns_subdomain
from poolwright.kubesim.status import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from poolwright.model.json_value import Json, child, children

SERVICE_NETWORK = ipaddress.IPv4Network("10.0.0.0/16")
"""AKS's default serviceCidr."""
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_OUTSIDE = ("LoadBalancer", "NodePort")
_TRAFFIC = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_NAMED_ONLY = ("clusterIPs", "ipFamilies", "ipFamilyPolicy")


def check_service(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules beyond those of ports and names."""
    spec, before = child(new, "spec"), child(old or {}, "spec")
    problems = [
        *_check_external_name(spec),
        *_check_addresses(spec, before),
        *_check_external_addresses(spec, before),
        *_check_node_ports(spec),
        *_check_ranges(spec, before),
        *_check_traffic(spec),
    ]
    yield from problems
    if not problems and old is None:
        yield from _check_allocation(spec)


def _addresses(spec: Json) -> Sequence[str]:
    """``clusterIPs``, which follows ``clusterIP`` where it is left out."""
    first = spec.get("clusterIP")
    return [str(each) for each in spec.get("clusterIPs") or ([first] if first else ())]


def _check_external_name(spec: Json) -> Iterator[Cause]:
    kind, addresses = spec.get("type"), _addresses(spec)
    if kind in _OUTSIDE and addresses[:1] == ["None"]:
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for member in _NAMED_ONLY:
        if addresses if member == "clusterIPs" else spec.get(member):
            yield forbidden(f"spec.{member}", "may not be set for ExternalName services")
    name = str(spec.get("externalName") or "").removesuffix(".")
    if not name:
        yield required("spec.externalName")
    for problem in dns_subdomain(name) if name else ():
        yield invalid("spec.externalName", name, problem)


def _check_addresses(spec: Json, before: Json) -> Iterator[Cause]:
    if spec.get("type") == "ExternalName":
        return
    addresses, where = _addresses(spec), "spec.clusterIPs"
    if addresses and spec.get("clusterIP") and addresses[0] != spec["clusterIP"]:
        yield invalid(where, addresses, "first value must match `clusterIP`")
    elif addresses and not spec.get("clusterIP"):
        yield invalid(where, addresses, "must be empty when `clusterIP` is not specified")
    families: list[Any] = list(spec.get("ipFamilies") or ())
    for position, family in enumerate(families):
        if family not in _FAMILIES:
            yield not_supported(f"spec.ipFamilies[{position}]", family, _FAMILIES)
        if family in families[:position]:
            yield duplicate(f"spec.ipFamilies[{position}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        yield not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    if addresses[:1] == ["None"]:
        if len(addresses) > 1:
            yield invalid(where, addresses, "'None' must be the first and only value")
        return
    known = frozenset(map(str, before.get("clusterIPs") or ()))
    for position, address in enumerate(addresses):
        if address not in known:
            yield from check_address(address, f"{where}[{position}]")
    if len(addresses) > 2:
        yield invalid(where, addresses, "may only hold up to 2 values")
    for position, (address, family) in enumerate(zip(addresses, families, strict=False)):
        found = parse_address(address)
        if found is not None and family in _FAMILIES and f"IPv{found.version}" != family:
            why = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            yield invalid(f"{where}[{position}]", address, why)


def _check_external_addresses(spec: Json, before: Json) -> Iterator[Cause]:
    known = frozenset(map(str, before.get("externalIPs") or ()))
    for position, address in enumerate(spec.get("externalIPs") or ()):
        if address not in known:
            yield from check_common_address(str(address), f"spec.externalIPs[{position}]")


def _check_node_ports(spec: Json) -> Iterator[Cause]:
    seen: set[tuple[Any, Any]] = set()
    for position, port in enumerate(children(spec, "ports")):
        where, number = f"spec.ports[{position}].nodePort", port.get("nodePort")
        if not number:
            continue
        if spec.get("type") == "ClusterIP":
            yield forbidden(where, "may not be used when `type` is 'ClusterIP'")
        if (port.get("protocol"), number) in seen:
            yield duplicate(where, number)
        seen.add((port.get("protocol"), number))


def _check_ranges(spec: Json, before: Json) -> Iterator[Cause]:
    where, is_balanced = "spec.LoadBalancerSourceRanges", spec.get("type") == "LoadBalancer"
    ranges: Sequence[Any] = spec.get("loadBalancerSourceRanges") or ()
    if ranges and not is_balanced:
        yield forbidden(where, "may only be used when `type` is 'LoadBalancer'")
    known = {str(each).strip() for each in before.get("loadBalancerSourceRanges") or ()}
    for position, each in enumerate(ranges):
        if str(each).strip() not in known:
            yield from check_network(str(each).strip(), f"{where}[{position}]")
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_balanced:
        why = "may only be used when `type` is 'LoadBalancer'"
        yield forbidden("spec.allocateLoadBalancerNodePorts", why)
    if spec.get("loadBalancerClass") is not None and not is_balanced:
        why = "may only be used when `type` is 'LoadBalancer'"
        yield forbidden("spec.loadBalancerClass", why)


def _check_traffic(spec: Json) -> Iterator[Cause]:
    kind, policy = spec.get("type"), spec.get("externalTrafficPolicy")
    is_outside = kind in _OUTSIDE or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    where = "spec.externalTrafficPolicy"
    if not is_outside and policy:
        why = "may only be set for externally-accessible services"
        yield invalid(where, policy, why)
    elif is_outside and policy and policy not in _TRAFFIC:
        yield not_supported(where, policy, _TRAFFIC)
    inside = spec.get("internalTrafficPolicy")
    if inside is not None and inside not in _TRAFFIC:
        yield not_supported("spec.internalTrafficPolicy", inside, _TRAFFIC)
    spread = spec.get("trafficDistribution")
    if spread is not None and spread not in _DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", spread, _DISTRIBUTIONS)


def _check_allocation(spec: Json) -> Iterator[Cause]:
    """What the one range of addresses cannot give."""
    if spec.get("type") == "ExternalName":
        return
    addresses = _addresses(spec)
    is_headless = addresses[:1] == ["None"]
    if spec.get("ipFamilyPolicy") == "RequireDualStack" and not is_headless:
        why = "this cluster is not configured for dual-stack services"
        yield invalid("spec.ipFamilyPolicy", "RequireDualStack", why)
    elif list(spec.get("ipFamilies") or ())[:1] == ["IPv6"] and not is_headless:
        yield invalid("spec.ipFamilies[0]", "IPv6", "not configured on this cluster")
    elif addresses and not is_headless:
        found = parse_address(addresses[0])
        if isinstance(found, ipaddress.IPv4Address) and found not in SERVICE_NETWORK:
            why = (
                f"failed to allocate IP {addresses[0]}: the provided IP ({addresses[0]}) is not in"
                f" the valid range. The range of valid IPs is {SERVICE_NETWORK}"
            )
            yield invalid("spec.clusterIPs", addresses, why)
