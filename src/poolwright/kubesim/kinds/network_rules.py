"""Rules of a network policy's ports and peers.

Source: k8s.io/kubernetes v1.36 pkg/apis/networking/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim.kinds.address import check_network, parse_network
from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.kinds.pod_spec import check_port
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))
_TYPES = ("Ingress", "Egress")


def check_network_policy(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules of its spec; networks that it had before may stay as they are."""
    spec = child(new, "spec")
    yield from check_label_selector(child(spec, "podSelector"), "spec.podSelector")
    before = frozenset(_networks(old)) if old is not None else frozenset[str]()
    for member, peers in _DIRECTIONS:
        for position, rule in enumerate(children(spec, member)):
            path = f"spec.{member}[{position}]"
            for place, port in enumerate(children(rule, "ports")):
                yield from _check_port(port, f"{path}.ports[{place}]")
            for place, peer in enumerate(children(rule, peers)):
                yield from _check_peer(peer, f"{path}.{peers}[{place}]", before)
    types: Sequence[Any] = spec.get("policyTypes") or ()
    if len(types) > len(_TYPES):
        why = "may not specify more than two policyTypes"
        yield invalid("spec.policyTypes", list(types), why)
        return
    for position, each in enumerate(types):
        if each not in _TYPES:
            yield not_supported(f"spec.policyTypes[{position}]", each, _TYPES)


def _networks(body: Mapping[str, Any]) -> Iterator[str]:
    for member, peers in _DIRECTIONS:
        for rule in children(body, "spec", member):
            for peer in children(rule, peers):
                block = child(peer, "ipBlock")
                yield from (str(block.get("cidr") or ""), *(block.get("except") or ()))


def _check_port(port: Json, path: str) -> Iterator[Cause]:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    if end is not None and not isinstance(number, int):
        is_named = "non-numeric" if number is not None else "not specified"
        why = f"may not be specified when `port` is {is_named}"
        yield invalid(f"{path}.endPort", end, why)
    if number is not None:
        yield from check_port(number, f"{path}.port")
    if end is not None and isinstance(number, int):
        if end < number:
            why = "must be greater than or equal to `port`"
            yield invalid(f"{path}.endPort", number, why)
        yield from check_port(end, f"{path}.endPort")


def _check_peer(peer: Json, path: str, before: frozenset[str]) -> Iterator[Cause]:
    selectors = [m for m in ("podSelector", "namespaceSelector") if peer.get(m) is not None]
    for member in selectors:
        yield from check_label_selector(child(peer, member), f"{path}.{member}")
    if peer.get("ipBlock") is not None:
        yield from _check_block(child(peer, "ipBlock"), f"{path}.ipBlock", before)
        if selectors:
            yield forbidden(path, "may not specify both ipBlock and another peer")
    elif not selectors:
        yield required(path, "must specify a peer")


def _check_block(block: Json, path: str, before: frozenset[str]) -> Iterator[Cause]:
    text = str(block.get("cidr") or "")
    if not text:
        yield required(f"{path}.cidr")
        return
    if text not in before:
        yield from check_network(text, f"{path}.cidr")
    network = parse_network(text)
    if network is None:
        return
    without: Sequence[Any] = block.get("except") or ()
    for position, each in enumerate(without):
        where = f"{path}.except[{position}]"
        if each not in before:
            yield from check_network(str(each), where)
        part = parse_network(str(each))
        if part is None:
            continue
        is_inside = part.version == network.version and part.network_address in network
        if not is_inside or network.prefixlen >= part.prefixlen:
            yield invalid(where, each, "must be a strict subset of `cidr`")
