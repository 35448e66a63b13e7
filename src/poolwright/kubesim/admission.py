"""What must be true of the cluster before an object may be created in it."""

from __future__ import annotations

from poolwright.kubesim import status
from poolwright.kubesim.kinds.ingress import CLASS_ANNOTATION, is_default_ingress_class
from poolwright.kubesim.kinds.kind import Body, ObjectKind
from poolwright.kubesim.kinds.volume import is_default_class
from poolwright.kubesim.objects import Objects
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

_IMMORTAL = ("default", "kube-public", "kube-system")


def admit_delete(kind: ObjectKind, name: str) -> None:
    """Raise for the namespaces that a cluster cannot be without."""
    if kind.resource.kind == "Namespace" and name in _IMMORTAL:
        raise status.StatusError(
            403,
            "Forbidden",
            f'namespaces "{name}" is forbidden: this namespace may not be deleted',
            details={"name": name, "kind": "namespaces"},
        )


_CLASSES = {
    "PersistentVolumeClaim": ("storageClassName", names.STORAGE_CLASSES, is_default_class),
    "Ingress": ("ingressClassName", names.INGRESS_CLASSES, is_default_ingress_class),
}
"""Where an object names its class, those that there are, and which of them is the default."""


def name_class(registry: Objects, kind: ObjectKind, body: Body) -> None:
    """Name the default class where none is named: the newest, then the first by name.

    Source: k8s.io/kubernetes plugin/pkg/admission/storage/storageclass/setdefault and
    plugin/pkg/admission/network/defaultingressclass.
    """
    member, classes, is_default = _CLASSES[kind.resource.kind]
    is_named = child(body, "spec").get(member) is not None
    if is_named or CLASS_ANNOTATION in child(body, "metadata", "annotations"):
        return
    known = (entry.object() for entry in registry.list(classes))
    found = sorted((c["metadata"] for c in known if is_default(c)), key=lambda m: m["name"])
    found.sort(key=lambda m: m["creationTimestamp"], reverse=True)
    if found:
        body.setdefault("spec", {})[member] = found[0]["name"]


def admit_create(registry: Objects, kind: ObjectKind, body: Body) -> None:
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
    if found.is_leaving and kind.resource.kind != "Event":
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
