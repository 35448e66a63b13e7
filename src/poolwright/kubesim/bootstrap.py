"""The objects that every cluster is born with: roles, their bindings, priority classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from poolwright.kubesim.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from poolwright.kubesim.kinds.scheduling import SYSTEM_PRIORITIES
from poolwright.model import kubernetes as names
from poolwright.model.kubernetes import Resource

_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_GROUP = "rbac.authorization.k8s.io"


def bootstrap_objects() -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each with its resource, in the order in which they are made."""
    for name, value in SYSTEM_PRIORITIES.items():
        yield names.PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value}
    for name, rules in CLUSTER_ROLES.items():
        yield (
            names.CLUSTER_ROLES,
            {
                "metadata": {"name": name, "labels": dict(_LABELS)},
                "rules": [dict(rule) for rule in rules],
            },
        )
    for name, groups in CLUSTER_ROLE_BINDINGS.items():
        yield (
            names.CLUSTER_ROLE_BINDINGS,
            {
                "metadata": {"name": name, "labels": dict(_LABELS)},
                "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": g} for g in groups],
            },
        )
