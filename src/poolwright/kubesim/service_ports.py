"""The ports that nodes keep open for services: no two services have the same.

Source: k8s.io/kubernetes pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from poolwright.kubesim import status
from poolwright.kubesim.kinds.kind import Body
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

NODE_PORTS = range(30000, 32768)  # --service-node-port-range
_OUT_OF_RANGE = (
    "provided port is not in the valid range. The range of valid ports is"
    f" {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
)
_TAKEN = "provided port is already allocated"


def assign_node_ports(registry: Objects, body: Body) -> None:
    """Give the ports of a service numbers that no other has, where none are given.

    Raises:
        StatusError: one that is given is out of range, or taken.
    """
    spec, metadata = body["spec"], body["metadata"]
    if spec.get("type") not in {"LoadBalancer", "NodePort"}:
        return
    key = (metadata["namespace"], metadata["name"])
    taken = {
        number
        for entry in registry.list(names.SERVICES)
        if (entry.namespace, entry.name) != key
        for number in _held(entry.seen())
    }
    causes = list(_refused(spec, taken))
    if causes:
        raise status.unprocessable("", "Service", metadata["name"], causes)
    free = _free(taken | set(_held(body)), crc32("/".join(key).encode()))
    shared = {p.get("port"): p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or () if has_node_ports(spec) else ():
        if not port.get("nodePort"):  # TCP and UDP of one port share a number
            shared.setdefault(port.get("port"), 0)
            shared[port.get("port")] = port["nodePort"] = shared[port.get("port")] or next(free)
    if is_checked(spec) and not spec.get(HEALTH_CHECK):
        spec[HEALTH_CHECK] = next(free)


def _held(body: Mapping[str, Any]) -> Iterator[int]:
    spec = child(body, "spec")
    yield from (number for number in (*node_ports_of(spec), spec.get(HEALTH_CHECK)) if number)


def _refused(spec: Json, taken: set[int]) -> Iterator[Cause]:
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


def _free(taken: set[int], start: int) -> Iterator[int]:
    """Free numbers from one that a service is likely to have to itself on."""
    for step in range(len(NODE_PORTS)):
        number = NODE_PORTS[(start + step) % len(NODE_PORTS)]
        if number not in taken:
            yield number
    raise status.StatusError(422, "Invalid", "failed to allocate a nodePort: range is full")
