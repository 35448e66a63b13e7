"""What a service has by its type, and what becomes of that when the type changes.

Source: k8s.io/kubernetes pkg/apis/core/v1/defaults.go and pkg/registry/core/service
(patchAllocatedValues, dropTypeDependentFields, normalizeClusterIPs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from poolwright.kubesim.kinds.kind import Body
from poolwright.model.json_value import Json, child, children

HEALTH_CHECK = "healthCheckNodePort"
_STICKY_SECONDS = 10800
_ADDRESSES = ("clusterIP", "clusterIPs")
_INSIDE = (*_ADDRESSES, "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy")
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass")
_ADDRESSED = frozenset(("ClusterIP", "LoadBalancer", "NodePort"))
_PORTED = frozenset(("LoadBalancer", "NodePort"))
_VALUES = (
    *_ADDRESSES, "externalIPs", "externalName", "externalTrafficPolicy", HEALTH_CHECK,
    "ipFamilies", "loadBalancerIP", "loadBalancerSourceRanges", "ports", "selector",
)  # fmt: skip
"""What is left out when it is empty."""


def is_outside(spec: Json) -> bool:
    """Whether a service is reached from outside the cluster."""
    kind = spec.get("type")
    return kind in _PORTED or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


_NEEDS: tuple[tuple[tuple[str, ...], Callable[[Json], bool]], ...] = (
    (_INSIDE, lambda spec: spec.get("type") in _ADDRESSED),
    (("externalTrafficPolicy",), is_outside),
    (_BALANCED, lambda spec: spec.get("type") == "LoadBalancer"),
)


def default_of_type(spec: Body) -> None:
    """Fill what was left out and depends on the type."""
    for member in _VALUES:
        if member in spec and not spec[member]:
            del spec[member]
    if spec["sessionAffinity"] == "ClientIP":
        config: Body = spec.get("sessionAffinityConfig") or {}
        client = {"timeoutSeconds": _STICKY_SECONDS, **child(config, "clientIP")}
        spec["sessionAffinityConfig"] = {**config, "clientIP": client}
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["type"] in _ADDRESSED:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if is_outside(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def choose_families(spec: Body) -> None:
    """Which kinds of addresses a service has; nobody who left it out owns what is chosen."""
    if spec.get("type") in _ADDRESSED:
        anywhere = spec.get("clusterIP") == "None" and not spec.get("selector")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if anywhere else [_family(spec)])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if anywhere else "SingleStack")


def _family(spec: Json) -> str:
    return "IPv6" if ":" in str(spec.get("clusterIP")) else "IPv4"


def begin_of_type(spec: Body) -> None:
    """What a new service says once is true of both; one of a name has no traffic inside."""
    if spec.get("clusterIP"):
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    if spec["type"] == "ExternalName":
        spec.pop("internalTrafficPolicy", None)


def has_node_ports(spec: Json) -> bool:
    """Whether nodes open a port for each of a service's."""
    kind = spec.get("type")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def is_checked(spec: Json) -> bool:
    """Whether the load balancer asks every node if it has a pod of the service."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def keep_of_type(spec: Body, before: Json) -> None:
    """What an update leaves out stays; what the new type has no use for goes, unless it is new."""
    given = spec.get("clusterIP")
    if given != before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        if given:
            spec["clusterIPs"] = [given, *(spec.get("clusterIPs") or ())[1:]]
        else:
            spec.pop("clusterIPs", None)
    for member in _ADDRESSES if spec.get("type") in _ADDRESSED else ():
        if not spec.get(member) and before.get(member):
            spec[member] = before[member]
    if has_node_ports(spec) and has_node_ports(before):
        _keep_node_ports(spec, before)
    elif before.get("type") in _PORTED and spec.get("type") not in _PORTED:
        ports = node_ports_of(before)
        if ports == node_ports_of(spec):
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    held = before.get(HEALTH_CHECK)
    if is_checked(before) and is_checked(spec):
        if held:
            spec[HEALTH_CHECK] = spec.get(HEALTH_CHECK) or held
    elif held and spec.get(HEALTH_CHECK) == held:
        del spec[HEALTH_CHECK]
    for members, needs in _NEEDS:
        for member in members if needs(before) and not needs(spec) else ():
            if member in spec and spec[member] == before.get(member):
                del spec[member]


def node_ports_of(spec: Json) -> list[Any]:
    """The number of each port on nodes, None where it has none."""
    return [port.get("nodePort") for port in children(spec, "ports")]


def _keep_node_ports(spec: Body, before: Json) -> None:
    used = {*node_ports_of(before)} & {*node_ports_of(spec)}
    held = {str(port.get("name") or ""): port.get("nodePort") for port in children(before, "ports")}
    for port in spec.get("ports") or ():
        number = held.get(str(port.get("name") or ""))
        if not port.get("nodePort") and number and number not in used:
            port["nodePort"] = number
            used.add(number)
