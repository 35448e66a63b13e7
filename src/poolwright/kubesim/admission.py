"""What must be true of the cluster before an object may be created in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolwright.kubesim import status
from poolwright.kubesim.kinds.kind import Body, ObjectKind
from poolwright.model import kubernetes as names

if TYPE_CHECKING:
    from poolwright.kubesim.registry import Registry


def admit_create(registry: Registry, kind: ObjectKind, body: Body) -> None:
    """Raise if the namespace is missing or on its way out.

    Source: k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle.
    """
    if not kind.resource.namespaced:
        return
    metadata = body["metadata"]
    namespace = metadata["namespace"]
    found = registry.entry(names.NAMESPACES, namespace)
    if found is None:
        raise status.not_found("", "namespaces", namespace)
    if b'"deletionTimestamp"' in found.data and kind.resource.kind != "Event":
        resource = kind.resource
        plural = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        raise status.StatusError(
            403,
            "Forbidden",
            f'{plural} "{metadata.get("name") or ""}" is forbidden: unable to create new content'
            f" in namespace {namespace} because it is being terminated",
            details={
                "name": metadata.get("name") or "",
                **({"group": resource.group} if resource.group else {}),
                "kind": resource.plural,
                "causes": [
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            },
        )
