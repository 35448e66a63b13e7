"""The objects that every cluster is born with: roles, their bindings, priority classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from poolwright.kubesim.kinds.scheduling import SYSTEM_PRIORITIES
from poolwright.kubesim.roles import CLUSTER_ROLE_BINDINGS, cluster_roles, metadata
from poolwright.model import kubernetes as names
from poolwright.model.kubernetes import Resource

_GROUP = "rbac.authorization.k8s.io"


def bootstrap_objects() -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each with its resource, in the order in which they are made."""
    for name, value in SYSTEM_PRIORITIES.items():
        yield names.PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value}
    for role in cluster_roles():
        yield names.CLUSTER_ROLES, role
    for name, groups in CLUSTER_ROLE_BINDINGS.items():
        yield (
            names.CLUSTER_ROLE_BINDINGS,
            {
                "metadata": metadata(name),
                "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": g} for g in groups],
            },
        )
