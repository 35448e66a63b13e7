"""The ports that nodes keep open for services, and their addresses: no two have the same.

Source: k8s.io/kubernetes pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from poolwright.kubesim import status
from poolwright.kubesim.kinds.kind import Body
from poolwright.kubesim.kinds.service_rules import SERVICE_NETWORK
from poolwright.kubesim.kinds.service_type import (
    HEALTH_CHECK,
    has_node_ports,
    is_checked,
    node_ports_of,
)
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.status import Cause, invalid
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_FIRST_ADDRESS = SERVICE_NETWORK.network_address + 1
NODE_PORTS = range(30000, 32768)  # --service-node-port-range
_OUT_OF_RANGE = (
    "provided port is not in the valid range. The range of valid ports is"
    f" {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
)
_TAKEN = "provided port is already allocated"


@contextmanager
def holding(registry: Objects, service: Json) -> Generator[None]:
    """Nobody else is given what a service has while it is written."""
    own = (service["metadata"]["uid"], frozenset(_held(service)))
    registry.holds.append(own)
    try:
        yield
    finally:
        registry.holds.remove(own)


def _taken(registry: Objects, service: Json) -> set[int | str]:
    """What other services have, or are about to."""
    uid = service["metadata"]["uid"]
    others = (entry for entry in registry.list(names.SERVICES) if entry.uid != uid)
    taken = {each for entry in others for each in _held(entry.seen())}
    return taken.union(*(held for owner, held in registry.holds if owner != uid))


def assign_cluster_ip(registry: Objects, body: Body, old: Json | None = None) -> None:
    """Give a service an address that no other has (AKS: kubernetes has the first one).

    Raises:
        StatusError: the one that it asks for is taken.
    """
    spec, metadata = body["spec"], body["metadata"]
    address, had = spec.get("clusterIP"), child(old or {}, "spec").get("clusterIP")
    if spec.get("type") == "ExternalName" or (address and address in ("None", had)):
        return
    if not address and (spec.get("clusterIPs") or spec.get("ipFamilies") == ["IPv6"]):
        return  # there is no range of them
    taken = _taken(registry, body)
    if address:
        if address in taken:
            why = f"failed to allocate IP {address}: provided IP is already allocated"
            cause = invalid("spec.clusterIPs", spec.get("clusterIPs"), why)
            raise status.unprocessable("", "Service", metadata["name"], [cause])
        return
    is_first = metadata["name"] == "kubernetes" and metadata["namespace"] == "default"
    start = 0 if is_first else _start(metadata)
    size = SERVICE_NETWORK.num_addresses - 2
    for step in range(size):
        address = str(_FIRST_ADDRESS + (start + step) % size)
        if address not in taken:
            spec["clusterIP"] = address
            spec["clusterIPs"] = [address]
            return


def assign_node_ports(registry: Objects, body: Body) -> None:
    """Give the ports of a service numbers that no other has, where none are given.

    Raises:
        StatusError: one that is given is out of range, or taken.
    """
    spec, metadata = body["spec"], body["metadata"]
    if spec.get("type") not in {"LoadBalancer", "NodePort"}:
        return
    taken = _taken(registry, body)
    causes = list(_refused(spec, taken))
    if causes:
        raise status.unprocessable("", "Service", metadata["name"], causes)
    free = _free(taken | set(_held(body)), _start(metadata))
    shared = {p.get("port"): p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or () if has_node_ports(spec) else ():
        if not port.get("nodePort"):  # TCP and UDP of one port share a number
            shared.setdefault(port.get("port"), 0)
            shared[port.get("port")] = port["nodePort"] = shared[port.get("port")] or next(free)
    if is_checked(spec) and not spec.get(HEALTH_CHECK):
        spec[HEALTH_CHECK] = next(free)


def _start(metadata: Json) -> int:
    """Where to look for what is free: a place that a service likely has to itself."""
    return crc32(f"{metadata['namespace']}/{metadata['name']}".encode())


def _held(body: Json) -> Iterator[int | str]:
    spec = child(body, "spec")
    address = spec.get("clusterIP")
    for each in (*node_ports_of(spec), spec.get(HEALTH_CHECK), address):
        if each and each != "None":
            yield each


def _refused(spec: Json, taken: set[int | str]) -> Iterator[Cause]:
    own: dict[int, Any] = {}
    for position, port in enumerate(children(spec, "ports")):
        number = port.get("nodePort")
        if not number:
            continue
        where = f"spec.ports[{position}].nodePort"
        if number not in NODE_PORTS:
            yield invalid(where, number, _OUT_OF_RANGE)
        elif number in taken or own.setdefault(number, port.get("port")) != port.get("port"):
            yield invalid(where, number, _TAKEN)
    number = spec.get(HEALTH_CHECK)
    if number and number not in NODE_PORTS:
        yield invalid(f"spec.{HEALTH_CHECK}", number, _OUT_OF_RANGE)
    elif number and (number in taken or number in own):
        yield invalid(f"spec.{HEALTH_CHECK}", number, _TAKEN)


def _free(taken: set[int | str], start: int) -> Iterator[int]:
    """Free numbers, from one on."""
    for step in range(len(NODE_PORTS)):
        number = NODE_PORTS[(start + step) % len(NODE_PORTS)]
        if number not in taken:
            yield number
    raise status.StatusError(422, "Invalid", "failed to allocate a nodePort: range is full")
