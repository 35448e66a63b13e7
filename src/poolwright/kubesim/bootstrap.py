"""What every cluster is born with: roles, their bindings, priority and storage classes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from poolwright.kubesim.escalation import uncovered
from poolwright.kubesim.kinds.scheduling import SYSTEM_PRIORITIES
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.roles import AUTO_UPDATE, CLUSTER_ROLE_BINDINGS, cluster_roles, metadata
from poolwright.kubesim.status import StatusError
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children
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
    yield from _access()


def _access() -> Iterator[tuple[Resource, dict[str, Any]]]:
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


async def ensure(registry: Registry, resource: Resource, body: Json, namespace: str = "") -> None:
    """Make an object unless it is there."""
    if registry.entry(resource, body["metadata"]["name"], namespace) is not None:
        return
    try:
        await registry.create(resource, deepcopy(dict(body)), namespace=namespace)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


async def keep_bootstrap(registry: Registry) -> None:
    """Give a cluster that an earlier version made what it lacks: classes, roles and who is bound
    to them; what somebody added stays. Then waits until cancelled.

    Source: k8s.io/component-helpers auth/rbac/reconciliation, as the API server does at its start;
    classes are those that AKS' addon manager ensures.
    """
    if registry.list(names.CLUSTER_ROLES):  # not a new one
        for resource, wanted in bootstrap_objects():
            await _keep(registry, resource, wanted)
    await asyncio.get_running_loop().create_future()


async def _keep(registry: Registry, resource: Resource, wanted: Json) -> None:
    name = wanted["metadata"]["name"]
    entry = registry.entry(resource, name)
    if entry is None:
        await ensure(registry, resource, wanted)
    elif resource.group == _GROUP and _reconciled(entry.object(), wanted) is not None:
        await registry.update(resource, name, lambda old: _reconciled(old, wanted) or old)


def _reconciled(old: Json, wanted: Json) -> dict[str, Any] | None:
    """An object with what it lacks of another; None if that is nothing, or it is not to be kept."""
    marks = child(old, "metadata", "annotations")
    if marks.get(AUTO_UPDATE) == "false":
        return None
    metadata = dict(old["metadata"])
    for part in ("annotations", "labels"):
        metadata[part] = {**wanted["metadata"][part], **child(metadata, part)}
    new: dict[str, Any] = {**old, "metadata": metadata}
    if "roleRef" in wanted:
        new["subjects"] = _with(old, wanted, "subjects")
    elif "aggregationRule" in wanted:
        had, selectors = child(old, "aggregationRule"), "clusterRoleSelectors"
        more = _with(had, wanted["aggregationRule"], selectors)
        new["aggregationRule"] = {**had, selectors: more}
    else:
        new.pop("aggregationRule", None)
        had = children(old, "rules")
        new["rules"] = [*had, *uncovered(had, wanted["rules"])]
    return new if new != old else None


def _with(old: Json, wanted: Json, member: str) -> list[Any]:
    had = children(old, member)
    return [*had, *(item for item in wanted[member] if item not in had)]


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
