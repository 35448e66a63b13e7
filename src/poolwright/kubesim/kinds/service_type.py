"""What a service has by its type, and what becomes of that when the type changes.

Source: k8s.io/kubernetes pkg/apis/core/v1/defaults.go and pkg/registry/core/service
(patchAllocatedValues, dropTypeDependentFields, normalizeClusterIPs).
"""

from __future__ import annotations

from typing import Any

from poolwright.kubesim.kinds.kind import Body
from poolwright.model.json_value import Json, child, children

HEALTH_CHECK = "healthCheckNodePort"
_STICKY_SECONDS = 10800
_ADDRESSES = ("clusterIP", "clusterIPs")
_INSIDE = (*_ADDRESSES, "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy")
_OUTSIDE = ("externalTrafficPolicy",)
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass")
_ADDRESSED = frozenset(("ClusterIP", "LoadBalancer", "NodePort"))
_OF_TYPES = (
    (_INSIDE, _ADDRESSED),
    (_OUTSIDE, frozenset(("LoadBalancer", "NodePort"))),
    (_BALANCED, frozenset(("LoadBalancer",))),
)


def default_of_type(spec: Body) -> None:
    """Fill what was left out and depends on the type."""
    if spec["sessionAffinity"] == "ClientIP":
        config: Body = spec.get("sessionAffinityConfig") or {}
        client = {"timeoutSeconds": _STICKY_SECONDS, **child(config, "clientIP")}
        spec["sessionAffinityConfig"] = {**config, "clientIP": client}
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["type"] in _ADDRESSED:
        spec.setdefault("internalTrafficPolicy", "Cluster")
        anywhere = spec.get("clusterIP") == "None" and not spec.get("selector")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if anywhere else ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if anywhere else "SingleStack")
    if spec["type"] in {"LoadBalancer", "NodePort"}:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


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
    for member in _ADDRESSES if spec.get("type") in _ADDRESSED else ():
        if not spec.get(member) and before.get(member):
            spec[member] = before[member]
    if has_node_ports(spec) and has_node_ports(before):
        _keep_node_ports(spec, before)
    elif has_node_ports(before) and not has_node_ports(spec):
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
    if spec.get("type") != before.get("type"):
        _drop_of_type(spec, before)


def _drop_of_type(spec: Body, before: Json) -> None:
    for members, types in _OF_TYPES:
        for member in members if spec.get("type") not in types else ():
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
