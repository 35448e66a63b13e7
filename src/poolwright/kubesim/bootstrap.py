"""What every cluster is born with: roles, their bindings, priority and storage classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from poolwright.kubesim.kinds.scheduling import SYSTEM_PRIORITIES
from poolwright.kubesim.roles import CLUSTER_ROLE_BINDINGS, cluster_roles, metadata
from poolwright.model import kubernetes as names
from poolwright.model.kubernetes import Resource

_GROUP = "rbac.authorization.k8s.io"

_DISK, _FILE = "disk.csi.azure.com", "file.csi.azure.com"
_STORAGE = {
    "azurefile": (_FILE, "Standard_LRS"),
    "azurefile-csi": (_FILE, "Standard_LRS"),
    "azurefile-csi-premium": (_FILE, "Premium_LRS"),
    "azurefile-premium": (_FILE, "Premium_LRS"),
    "default": (_DISK, "StandardSSD_LRS"),
    "managed": (_DISK, "StandardSSD_LRS"),
    "managed-csi": (_DISK, "StandardSSD_LRS"),
    "managed-csi-premium": (_DISK, "Premium_LRS"),
    "managed-premium": (_DISK, "Premium_LRS"),
}


def bootstrap_objects() -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each with its resource, in the order in which they are made."""
    yield from storage_classes()
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


def storage_classes() -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Those of every AKS cluster; `default` is that of claims that name none.

    Source: learn.microsoft.com/azure/aks/concepts-storage, and a cluster's own list.
    """
    for name, (provisioner, sku) in _STORAGE.items():
        is_disk = provisioner.startswith("disk")
        metadata: dict[str, Any] = {
            "name": name,
            "labels": {
                "addonmanager.kubernetes.io/mode": "EnsureExists",
                "kubernetes.io/cluster-service": "true",
            },
        }
        if name == "default":
            key = "storageclass.kubernetes.io/is-default-class"
            metadata["annotations"] = {key: "true"}
        body: dict[str, Any] = {
            "metadata": metadata,
            "provisioner": provisioner,
            "parameters": {"skuname" if is_disk else "skuName": sku},
            "reclaimPolicy": "Delete",
            "allowVolumeExpansion": True,
            "volumeBindingMode": "WaitForFirstConsumer" if is_disk else "Immediate",
        }
        if not is_disk:
            body["mountOptions"] = ["mfsymlinks", "actimeo=30", "nosharesock"]
        yield names.STORAGE_CLASSES, body
