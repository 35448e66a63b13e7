"""The Node of a machine as KWOK takes it over.

Source: kwok.sigs.k8s.io, "Manage nodes and pods": the annotation, and stages that leave alone
what the Node says of itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.instant import wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import CLUSTER_ANNOTATION
from poolwright.model.node import Node
from poolwright.providers.simulated.node_object import NodeState, node_object

KWOK_ANNOTATION = "kwok.x-k8s.io/node"
FAKE = "fake"
PROVIDER_LABEL = "poolwright.dev/machine-provider"
PROVIDER = "kwok"
OWNED = f"{PROVIDER_LABEL}={PROVIDER}"
"""Selects the Nodes that are ours, of whichever managed cluster."""
_REGISTERING = {
    "type": "Ready",
    "status": "False",
    "reason": "KubeletNotReady",
    "message": "node is registering",
}


def registered_node(state: NodeState, now: datetime) -> dict[str, Any]:
    """The Node as it registers: not ready yet, KWOK makes it so. Its pods' addresses are the
    cluster's business, its id names no cloud whose controllers would look for it there, and nobody
    can call a kubelet on it.
    """
    body = node_object(state, now)
    machine = state.machine
    meta, spec = body["metadata"], body["spec"]
    meta["labels"] = {**meta["labels"], PROVIDER_LABEL: PROVIDER}
    meta["annotations"] |= {KWOK_ANNOTATION: FAKE, CLUSTER_ANNOTATION: str(machine.cluster)}
    del spec["podCIDR"], spec["podCIDRs"]
    spec["providerID"] = f"kwok://{machine.cluster.name}/{machine.name}"
    status = body["status"]
    del status["daemonEndpoints"]
    status["conditions"] = [
        {**c, **_REGISTERING} if c["type"] == "Ready" else c for c in status["conditions"]
    ]
    return body


def revival(now: datetime) -> dict[str, Any]:
    """A patch for the Node of a machine that starts again: KWOK may take it over."""
    return {
        "metadata": {"annotations": {KWOK_ANNOTATION: FAKE}},
        "status": {"conditions": [{**_REGISTERING, "lastTransitionTime": wall_text(now)}]},
    }


def is_owned(node: Json, cluster: ClusterKey) -> bool:
    """Whether the Node is one that this cluster's machines registered."""
    meta = child(node, "metadata")
    return _says(child(meta, "labels"), child(meta, "annotations"), cluster)


def owns(cluster: ClusterKey, node: Node) -> bool:
    """As `is_owned`, of a Node as a view shows it."""
    return _says(node.labels, node.annotations, cluster)


def _says(labels: Json, annotations: Json, cluster: ClusterKey) -> bool:
    is_kwok = labels.get(PROVIDER_LABEL) == PROVIDER
    return is_kwok and annotations.get(CLUSTER_ANNOTATION) == str(cluster)


def is_ready(node: Json) -> bool:
    """Whether the Node says that it is ready."""
    return _condition_holds(node, "Ready")


def is_ready_pod(pod: Json) -> bool:
    """Whether the pod is ready and stays."""
    return _condition_holds(pod, "Ready") and not child(pod, "metadata").get("deletionTimestamp")


def _condition_holds(wire: Json, kind: str) -> bool:
    return any(
        c.get("type") == kind and c.get("status") == "True"
        for c in children(wire, "status", "conditions")
    )
