"""What a kubelet takes in, and in which words it refuses the rest.

Source: k8s.io/kubernetes v1.36 pkg/kubelet/lifecycle/predicate.go.
"""

from __future__ import annotations

from poolwright.providers.simulated.node_object import NodeState, os_name
from poolwright.providers.simulated.pod_run import PodRun

Refusal = tuple[str, str]
"""Reason and message, as the pod's status has them."""

_EVERY_ADDRESS = ("", "0.0.0.0")


def refusal(pod: PodRun, node: NodeState) -> Refusal | None:
    """Why the node does not take a pod; None if it does."""
    found = _os(pod, node) or _ports(pod, node) or _resources(pod, node)
    return (found[0], f"Pod was rejected: {found[1]}") if found else None


def _os(pod: PodRun, node: NodeState) -> Refusal | None:
    if pod.os in {"", os_name(node.machine)}:
        return None
    return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"


def _ports(pod: PodRun, node: NodeState) -> Refusal | None:
    for protocol, address, port in pod.ports:
        for taken_protocol, taken_address, taken_port in node.ports:
            is_same = (protocol, port) == (taken_protocol, taken_port)
            everywhere = address in _EVERY_ADDRESS or taken_address in _EVERY_ADDRESS
            if is_same and (everywhere or address == taken_address):
                return "NodePorts", (
                    "Predicate NodePorts failed: node(s) didn't have free ports for the"
                    " requested pod ports"
                )
    return None


def _resources(pod: PodRun, node: NodeState) -> Refusal | None:
    gpus = node.gpu_offer
    for name in sorted(pod.requests):
        wanted, used = pod.requests[name], node.used.get(name, 0)
        if name in gpus and wanted and not node.has_plugin:
            return "UnexpectedAdmissionError", (
                "Allocate failed due to no healthy devices present; "
                f"cannot allocate unhealthy devices {name}, which is unexpected"
            )
        if "/" in name and name not in gpus and name not in node.offer:
            continue  # somebody else's resource (kubelet, removeMissingExtendedResources)
        offer = gpus[name] if name in gpus else node.offer.get(name, 0)
        if used + wanted > offer and wanted:
            return f"OutOf{name}", (
                f"Node didn't have enough resource: {name}, "
                f"requested: {wanted}, used: {used}, capacity: {offer}"
            )
    return None
