"""Rules of a service: what goes with its type, its addresses, and where it may be reached from.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/validation (ValidateService,
ValidateServiceUpdate, ValidateServiceClusterIPsRelatedFields) and
pkg/registry/core/service/storage (alloc.go).
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
from poolwright.kubesim.kinds.pod_container import PORT_RANGE, check_port
from poolwright.kubesim.kinds.service_type import HEALTH_CHECK, is_checked, is_outside
from poolwright.kubesim.rules import check_labels, dns_label, dns_subdomain, qualified_name
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
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_AFFINITIES = ("ClientIP", "None")
_STICKY_MOST = 86400
_TRAFFIC = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_BALANCED = "LoadBalancer"
_ONCE = "may not change once set"
_BALANCED_ONLY = "may only be used when `type` is 'LoadBalancer'"
_CHECKED_ONLY = (
    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
)
_NAMED_ONLY = ("clusterIPs", "ipFamilies", "ipFamilyPolicy")


def check_service(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    """Broken rules; what is wrong with its addresses comes alone: they are given out first."""
    spec, before = child(new, "spec"), child(old or {}, "spec")
    if spec.get("type") != "ExternalName":
        for rules in (_check_addresses, _check_allocation):
            alone = list(rules(spec, before))
            if alone:
                return alone
    causes = list(_check_update(spec, before)) if old is not None else []
    ports, is_headless = children(spec, "ports"), spec.get("clusterIP") == "None"
    if not ports and spec.get("type") != "ExternalName" and not is_headless:
        causes.append(required("spec.ports"))
    causes.extend(_check_external_name(spec))
    causes.extend(_check_ports(ports))
    causes.extend(check_labels(spec.get("selector"), "spec.selector"))
    causes.extend(_check_affinity(spec))
    causes.extend(_check_external_addresses(spec, before))
    if spec.get("type") not in _TYPES:
        causes.append(not_supported("spec.type", spec.get("type"), _TYPES))
    causes.extend(_check_repeated(spec))
    causes.extend(_check_ranges(new, before))
    causes.extend(_check_traffic(spec))
    causes.extend(_check_class(spec))
    spread = spec.get("trafficDistribution")
    if spread is not None and spread not in _DISTRIBUTIONS:
        causes.append(not_supported("spec.trafficDistribution", spread, _DISTRIBUTIONS))
    return causes


def _check_update(spec: Json, before: Json) -> Iterator[Cause]:
    held, asked = before.get(HEALTH_CHECK), spec.get(HEALTH_CHECK)
    if is_checked(before) and is_checked(spec) and held != asked:
        yield forbidden(f"spec.{HEALTH_CHECK}", "field is immutable")
    known, name = before.get("loadBalancerClass"), spec.get("loadBalancerClass")
    if before.get("type") == spec.get("type") == _BALANCED and known != name:
        yield invalid("spec.loadBalancerClass", name, _ONCE)
    else:
        yield from _check_class(spec)


def _check_class(spec: Json) -> Iterator[Cause]:
    where, name = "spec.loadBalancerClass", spec.get("loadBalancerClass")
    if name is None:
        return
    if spec.get("type") != _BALANCED:
        yield forbidden(where, _BALANCED_ONLY)
        return
    for problem in qualified_name(str(name)):
        yield invalid(where, name, problem)


def _check_ports(ports: Sequence[Json]) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, port in enumerate(ports):
        path, number = f"spec.ports[{position}]", port.get("port")
        name, protocol = str(port.get("name") or ""), port.get("appProtocol")
        if len(ports) > 1 and not name:
            yield required(f"{path}.name")
        for problem in dns_label(name) if name else ():
            yield invalid(f"{path}.name", name, problem)
        if name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        if not isinstance(number, int) or not 1 <= number <= 65535:
            yield invalid(f"{path}.port", number or 0, PORT_RANGE)
        if port.get("protocol") not in _PROTOCOLS:
            yield not_supported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from check_port(port.get("targetPort") or 0, f"{path}.targetPort")
        for problem in qualified_name(str(protocol)) if protocol is not None else ():
            yield invalid(f"{path}.appProtocol", protocol, problem)


def _check_affinity(spec: Json) -> Iterator[Cause]:
    given = spec.get("sessionAffinity")
    if given not in _AFFINITIES:
        yield not_supported("spec.sessionAffinity", given, _AFFINITIES)
    elif given == "ClientIP":
        path = ("sessionAffinityConfig", "clientIP")
        seconds = child(spec, *path).get("timeoutSeconds")
        if seconds is not None and not 0 < seconds <= _STICKY_MOST:
            where = f"spec.{'.'.join(path)}.timeoutSeconds"
            yield invalid(where, seconds, f"must be greater than 0 and less than {_STICKY_MOST}")


def _check_repeated(spec: Json) -> Iterator[Cause]:
    seen: set[tuple[Any, Any]] = set()
    ports = children(spec, "ports")
    for position, port in enumerate(ports if spec.get("type") == "ClusterIP" else ()):
        if port.get("nodePort"):
            why = "may not be used when `type` is 'ClusterIP'"
            yield forbidden(f"spec.ports[{position}].nodePort", why)
    for position, port in enumerate(ports):
        protocol, number = port.get("protocol"), port.get("port")
        if (protocol, number) in seen:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number}
            yield duplicate(f"spec.ports[{position}]", {**shown, "TargetPort": 0, "NodePort": 0})
        seen.add((protocol, number))


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
    else:
        yield from _check_given(addresses, families, before)
    was = before.get("clusterIP")
    if was and before.get("type") != "ExternalName" and spec.get("clusterIP") != was:
        yield invalid(f"{where}[0]", addresses, _ONCE)


def _check_given(addresses: Sequence[str], families: list[Any], before: Json) -> Iterator[Cause]:
    where = "spec.clusterIPs"
    known = frozenset(map(str, before.get("clusterIPs") or ()))
    for position, address in enumerate(addresses):
        if address not in known:
            yield from check_address(address, f"{where}[{position}]")
    found = [parse_address(address) for address in addresses]
    versions = [address.version for address in found if address is not None]
    if len(addresses) > 2:
        yield invalid(where, addresses, "may only hold up to 2 values")
    elif len(versions) > len({*versions}):
        yield invalid(where, addresses, "may specify no more than one IP for each IP family")
    for position, (address, family) in enumerate(zip(found, families, strict=False)):
        if address is not None and family in _FAMILIES and f"IPv{address.version}" != family:
            why = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            yield invalid(f"{where}[{position}]", addresses[position], why)


def _check_external_addresses(spec: Json, before: Json) -> Iterator[Cause]:
    known = frozenset(map(str, before.get("externalIPs") or ()))
    for position, address in enumerate(spec.get("externalIPs") or ()):
        if address not in known:
            yield from check_common_address(str(address), f"spec.externalIPs[{position}]")


def _check_ranges(service: Mapping[str, Any], before: Json) -> Iterator[Cause]:
    spec = child(service, "spec")
    where, is_balanced = "spec.LoadBalancerSourceRanges", spec.get("type") == _BALANCED
    ranges: Sequence[Any] = spec.get("loadBalancerSourceRanges") or ()
    if ranges and not is_balanced:
        yield forbidden(where, _BALANCED_ONLY)
    known = {str(each).strip() for each in before.get("loadBalancerSourceRanges") or ()}
    for position, each in enumerate(ranges):
        if str(each).strip() not in known:
            yield from check_network(str(each).strip(), f"{where}[{position}]")
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_balanced:
        yield forbidden("spec.allocateLoadBalancerNodePorts", _BALANCED_ONLY)


def _check_traffic(spec: Json) -> Iterator[Cause]:
    inside, policy = spec.get("internalTrafficPolicy"), spec.get("externalTrafficPolicy")
    if inside is not None and inside not in _TRAFFIC:
        yield not_supported("spec.internalTrafficPolicy", inside, _TRAFFIC)
    where, number = "spec.externalTrafficPolicy", spec.get(HEALTH_CHECK)
    if policy and not is_outside(spec):
        yield invalid(where, policy, "may only be set for externally-accessible services")
    elif policy and policy not in _TRAFFIC:
        yield not_supported(where, policy, _TRAFFIC)
    if number and not is_checked(spec):
        yield invalid(f"spec.{HEALTH_CHECK}", number, _CHECKED_ONLY)
    elif number and not 1 <= number <= 65535:
        yield invalid(f"spec.{HEALTH_CHECK}", number, PORT_RANGE)


def _check_allocation(spec: Json, before: Json) -> Iterator[Cause]:
    """What the one range of addresses cannot give."""
    addresses = _addresses(spec)
    families: list[Any] = list(spec.get("ipFamilies") or ())
    is_headless, policy = addresses[:1] == ["None"], spec.get("ipFamilyPolicy")
    found = parse_address(addresses[0]) if addresses and not is_headless else None
    if is_headless and not spec.get("selector"):
        return
    if policy == "RequireDualStack":
        yield invalid(
            "spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"
        )
    elif policy == "SingleStack" and len(families) > 1:
        why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are"
        yield invalid("spec.ipFamilyPolicy", policy, f"{why} specified")
    elif isinstance(found, ipaddress.IPv6Address):
        yield invalid("spec.clusterIPs[0]", addresses, "IPv6 is not configured on this cluster")
    elif "IPv6" in families:
        where = f"spec.ipFamilies[{families.index('IPv6')}]"
        yield invalid(where, "IPv6", "not configured on this cluster")
    elif found is not None and found not in SERVICE_NETWORK and not _addresses(before):
        why = (
            f"failed to allocate IP {found}: the provided IP ({found}) is not in"
            f" the valid range. The range of valid IPs is {SERVICE_NETWORK}"
        )
        yield invalid("spec.clusterIPs", addresses, why)
