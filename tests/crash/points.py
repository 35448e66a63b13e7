"""Where the server can be made to die, area by area: what a user's step passes by.

A point stands between two things that cannot be done at once: a commit of one scope, a call over a
port. The names are made by ``launcher.py``.
"""

from __future__ import annotations

ACCEPTED = "commit arm AgentPool+Operation"
CLUSTER_ACCEPTED = "commit arm ManagedCluster+Operation"
LEDGER = "commit cloud BillingEntry+Machine"

AREAS: dict[str, tuple[str, ...]] = {
    "create a cluster": (
        "commit arm AgentPool+ManagedCluster+Operation",
        "control-plane put",
        "commit kube poolwright/controlplanes",
        "provider create_machine",
        LEDGER,
    ),
    "deploy a template": (
        "commit arm Deployment",
        ACCEPTED,
        "provider create_machine",
        "kube create nodes",
        "commit kube /nodes",
        "kube patch daemonsets",
        "commit kube apps/daemonsets",
        LEDGER,
    ),
    "add a pool from a snapshot": (ACCEPTED, "provider create_machine", "kube create leases"),
    "scale up": (ACCEPTED, "provider create_machine", LEDGER, "kube patch nodes"),
    "upgrade": (
        "kube evict",
        "provider reimage_machine",
        "commit arm AgentPool",
        "commit cloud Machine",
        "provider create_machine",
        "kube patch nodes",
        "kube create events",
        ACCEPTED,
    ),
    "abort": (ACCEPTED, "provider create_machine", "commit arm AgentPool"),
    "upgrade the node image": ("provider reimage_machine", ACCEPTED, "commit cloud Machine"),
    "scale down": ("kube evict", "provider delete_machine", "kube patch nodes", ACCEPTED, LEDGER),
    "delete machines": ("provider delete_machine", ACCEPTED, "kube delete nodes"),
    "stop a pool": ("provider stop_machine", ACCEPTED, LEDGER),
    "start a pool": ("provider start_machine", ACCEPTED, LEDGER),
    "stop the cluster": (
        "provider stop_machine",
        CLUSTER_ACCEPTED,
        "control-plane put",
        "commit kube poolwright/controlplanes",
    ),
    "start the cluster": ("control-plane put", "provider start_machine", CLUSTER_ACCEPTED),
    "upgrade the cluster": (
        "control-plane put",
        "commit arm AgentPool+ManagedCluster+Operation",
        "provider reimage_machine",
        "commit arm AgentPool",
    ),
    "delete a pool": ("provider delete_machine", ACCEPTED, "kube delete nodes", LEDGER),
    "delete the cluster": (
        "control-plane delete",
        "drop kube",
        "provider delete_machine",
        "commit arm AgentPool",
        CLUSTER_ACCEPTED,
    ),
}
"""By the user's step, the first point of each being what the step is about."""

POINTS = sorted({point for points in AREAS.values() for point in points})
