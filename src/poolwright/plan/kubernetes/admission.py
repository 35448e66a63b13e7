"""What the cluster adds to objects when they are created.

Source: k8s.io/kubernetes v1.35 plugin/pkg/admission (defaulttolerationseconds, priority,
serviceaccount, nodetaint).
"""

from __future__ import annotations

from typing import Any

from poolwright.model.json_value import Json
from poolwright.model.taint import Taint, TaintEffect, Toleration

DEFAULT_TOLERATION_SECONDS = 300
PRIORITY_CLASSES = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
}
_BOUNDED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class UnknownPriorityClass(ValueError):
    """The pod names a priority class that does not exist."""


def admit_pod(body: dict[str, Any]) -> None:
    """Add default tolerations, priority and service account to a new pod, in place.

    Raises:
        UnknownPriorityClass: with the message that the API server answers (403 Forbidden).
    """
    spec: dict[str, Any] = body["spec"]
    raw: list[Any] = list(spec.get("tolerations") or ())
    tolerations = [Toleration.from_object(t) for t in raw]
    for key in _BOUNDED:
        taint = Taint(key, "", TaintEffect.NO_EXECUTE)
        if not any(t.tolerates(taint) for t in tolerations):
            raw.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": DEFAULT_TOLERATION_SECONDS,
                }
            )
    spec["tolerations"] = raw
    name = spec.get("priorityClassName") or ""
    if name and name not in PRIORITY_CLASSES:
        raise UnknownPriorityClass(f"no PriorityClass with name {name} was found")
    spec["priority"] = PRIORITY_CLASSES.get(name, 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec["serviceAccountName"] = spec.get("serviceAccountName") or "default"
    spec["serviceAccount"] = spec["serviceAccountName"]


def admit_node(body: dict[str, Any]) -> None:
    """Keep pods off a new node until it has said that it is ready, in place."""
    spec: dict[str, Any] = body.setdefault("spec", {})
    taints: list[Json] = list(spec.get("taints") or ())
    key = "node.kubernetes.io/not-ready"
    if not any(t.get("key") == key and t.get("effect") == "NoSchedule" for t in taints):
        spec["taints"] = [*taints, {"key": key, "effect": "NoSchedule"}]
