"""Nodes and the leases that they renew."""

from __future__ import annotations

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

NODE = ObjectKind(
    names.NODES,
    "node",
    ("no",),
    subresources=("status", "proxy"),
    fields={
        "spec.unschedulable": lambda body: str(
            bool(child(body, "spec").get("unschedulable"))
        ).lower()
    },
)
LEASE = ObjectKind(names.LEASES, "lease")
