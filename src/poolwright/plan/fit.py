"""Does a pod fit a node, and if not, why: in Kubernetes' words and order of checks.

Shared by the embedded scheduler and the autoscaler. Affinity between pods, topology spread and
volumes are not looked at.

Source: k8s.io/kubernetes v1.35 pkg/scheduler/framework/plugins (nodeunschedulable, nodename,
tainttoleration, nodeaffinity, nodeports, noderesources; in this order, the first one that refuses
a node speaks for it).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from poolwright.model.node import Node
from poolwright.model.pod import NodeTerm, Pod
from poolwright.model.taint import Taint, TaintEffect, untolerated

UNSCHEDULABLE_TAINT = Taint("node.kubernetes.io/unschedulable", "", TaintEffect.NO_SCHEDULE)

HostPort = tuple[str, str, int]
"""Protocol, host address (empty or 0.0.0.0: all), port."""

_KEEPS_OFF = (TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE)
_ANY_ADDRESS = {"", "0.0.0.0", "::"}

WERE_UNSCHEDULABLE = "node(s) were unschedulable"
NAME_MISMATCH = "node(s) didn't match the requested node name"
UNTOLERATED = "node(s) had untolerated taint(s)"
AFFINITY_MISMATCH = "node(s) didn't match Pod's node affinity/selector"
NOT_PINNED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a node cannot take a pod. ``is_final``: not even with other pods gone."""

    reasons: tuple[str, ...]
    is_final: bool


_CORDONED = Misfit((WERE_UNSCHEDULABLE,), is_final=True)
_WRONG_NAME = Misfit((NAME_MISMATCH,), is_final=True)
_WRONG_LABELS = Misfit((AFFINITY_MISMATCH,), is_final=True)
_TAINTED = Misfit((UNTOLERATED,), is_final=True)
_NO_PORT = Misfit((PORTS_TAKEN,), is_final=False)


def matches_any(terms: Iterable[NodeTerm], node: Node) -> bool:
    """Whether a node matches one of the terms; an empty term matches nothing."""
    return any(
        term and all(requirement.matches(node.labels, node.name) for requirement in term)
        for term in terms
    )


def matches_selector(pod: Pod, node: Node) -> bool:
    """Whether a node matches the pod's node selector and required node affinity."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return pod.node_terms is None or matches_any(pod.node_terms, node)


def refusal(pod: Pod, node: Node, *, values: bool = False) -> Misfit | None:
    """Why a node would not take the pod even if it were empty and large.

    ``values``: name the taint, as Kubernetes did before 1.35 (and the last patches of 1.34).
    """
    if node.unschedulable and not any(t.tolerates(UNSCHEDULABLE_TAINT) for t in pod.tolerations):
        return _CORDONED
    if pod.node_name and pod.node_name != node.name:
        return _WRONG_NAME
    if node.taints:
        taint = untolerated(node.taints, pod.tolerations, _KEEPS_OFF)
        if taint is not None:
            if not values:
                return _TAINTED
            words = f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
            return Misfit((words,), is_final=True)
    return None if matches_selector(pod, node) else _WRONG_LABELS


def ports_clash(wanted: HostPort, taken: HostPort) -> bool:
    """Whether two host ports exclude each other on one node."""
    if wanted[0] != taken[0] or wanted[2] != taken[2]:
        return False
    return wanted[1] == taken[1] or wanted[1] in _ANY_ADDRESS or taken[1] in _ANY_ADDRESS


def shortage(
    pod: Pod, node: Node, used: Mapping[str, int], ports: Collection[HostPort] = ()
) -> Misfit | None:
    """What a node that accepts the pod lacks, given what its pods use."""
    if ports and any(ports_clash(p, taken) for p in pod.host_ports for taken in ports):
        return _NO_PORT
    allocatable = node.allocatable
    for name, wanted in pod.requests.items():
        if wanted and used.get(name, 0) + wanted > allocatable.get(name, 0):
            break
    else:
        return None
    reasons: list[str] = []
    is_final = False
    for name, wanted in pod.requests.items():
        room = allocatable.get(name, 0)
        if not wanted or used.get(name, 0) + wanted <= room:
            continue
        if name == "pods":
            reasons.insert(0, TOO_MANY_PODS)
        else:
            reasons.append(f"Insufficient {name}")
            is_final = is_final or wanted > room
    return Misfit(tuple(reasons), is_final)


def misfit(
    pod: Pod,
    node: Node,
    used: Mapping[str, int],
    ports: Collection[HostPort] = (),
    *,
    values: bool = False,
) -> Misfit | None:
    """Why a node with this use cannot take the pod; None if it can.

    ``used`` counts what the node's pods request, with one of ``pods`` each.
    """
    return refusal(pod, node, values=values) or shortage(pod, node, used, ports)


def usage(pods: Iterable[Pod]) -> dict[str, int]:
    """What pods use together; finished pods use nothing."""
    total: dict[str, int] = {}
    for pod in pods:
        if not pod.is_finished:
            for name, amount in pod.requests.items():
                total[name] = total.get(name, 0) + amount
    return total
