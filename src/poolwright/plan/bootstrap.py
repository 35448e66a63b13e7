"""What a machine of a pool is given at its first start: labels, taints, software.

Sources: AKS "use labels" and "use taints" pages and AgentBaker's node labels; the labels of one
row stand in the order in which AKS describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from poolwright.model.agent_pool import AgentPoolSpec
from poolwright.model.catalog import VmSize, vm_size
from poolwright.model.gpu import InstallProfile
from poolwright.model.machine import Bootstrap
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.taint import Taint, TaintEffect

STARTUP_TAINT = Taint(
    "startup-taint.cluster-autoscaler.kubernetes.io/gpu-not-ready", "", TaintEffect.NO_SCHEDULE
)
"""Keeps workloads off a node whose GPU stack is not proven yet; the prefix tells every cluster
autoscaler that it goes away by itself."""

SPOT_TAINT = Taint("kubernetes.azure.com/scalesetpriority", "spot", TaintEffect.NO_SCHEDULE)
IMAGE_LABEL = "kubernetes.azure.com/node-image-version"
MANAGED_GPU_LABEL = "kubernetes.azure.com/dcgm-exporter"
ZONE_LABEL = "topology.kubernetes.io/zone"

_EFFECTIVE_OS_SKU: tuple[tuple[str, str], ...] = (
    # Image family → the versioned OS SKU that `os-sku-effective` always shows.
    ("AKSUbuntu-2204", "Ubuntu2204"),
    ("AKSUbuntu-2404", "Ubuntu2404"),
    ("AKSAzureLinux-V3", "AzureLinux3"),
    ("AKSCBLMariner-V2", "CBLMariner2"),
)


def _effective_os_sku(spec: AgentPoolSpec) -> str:
    for family, name in _EFFECTIVE_OS_SKU:
        if spec.node_image_version.startswith(family):
            return name
    return spec.os_sku


def _size_labels(size: VmSize | None) -> dict[str, str]:
    if size is None:
        return {}
    labels = {
        "kubernetes.azure.com/sku-cpu": str(size.vcpus),
        "kubernetes.azure.com/sku-memory": str(size.memory_mib // 1024),
    }
    if size.gpu is not None:
        labels["accelerator"] = size.gpu.vendor
        labels["kubernetes.azure.com/accelerator"] = size.gpu.vendor
    return labels


def node_labels(cluster: ManagedClusterSpec, spec: AgentPoolSpec) -> dict[str, str]:
    """The labels of every node of a pool: AKS's own, then the user's, sorted by key.

    Zone and host name are the machine's own and not among them.
    """
    size = vm_size(spec.vm_size)
    is_spot = spec.scale_set_priority == "Spot"
    architecture = size.architecture if size is not None else "amd64"
    labels = {
        "kubernetes.azure.com/cluster": cluster.node_resource_group[:63].rstrip("-_."),
        "kubernetes.azure.com/managedby": "aks",
        "kubernetes.azure.com/mode": str(spec.mode).lower(),
        IMAGE_LABEL: spec.node_image_version,
        "kubernetes.azure.com/nodepool-type": spec.pool_type,
        "kubernetes.azure.com/os-sku": spec.os_sku,
        "kubernetes.azure.com/os-sku-effective": _effective_os_sku(spec),
        "kubernetes.azure.com/os-sku-requested": spec.os_sku,
        "kubernetes.azure.com/priority": "spot" if is_spot else "regular",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.azure.com/storagetier": "Premium_LRS",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/os": spec.os_type.lower(),
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/instance-type": spec.vm_size,
        "beta.kubernetes.io/os": spec.os_type.lower(),
        "node.kubernetes.io/instance-type": spec.vm_size,
        "storageprofile": "managed",
        "storagetier": "Premium_LRS",
        "topology.kubernetes.io/region": cluster.location,
        **_size_labels(size),
    }
    if is_spot:
        labels[SPOT_TAINT.key] = SPOT_TAINT.value
    if spec.install_profile is InstallProfile.EVERYTHING:
        labels[MANAGED_GPU_LABEL] = "enabled"
    labels.update(spec.node_labels)
    first = {"agentpool": spec.name, "kubernetes.azure.com/agentpool": spec.name}
    return {**first, **{key: labels[key] for key in sorted(labels)}}


def pool_taints(spec: AgentPoolSpec) -> tuple[Taint, ...]:
    """The taints that the pool owns on its living nodes."""
    spot = (SPOT_TAINT,) if spec.scale_set_priority == "Spot" else ()
    return tuple(dict.fromkeys((*spec.node_taints, *spot)))


def startup_taints(spec: AgentPoolSpec) -> tuple[Taint, ...]:
    """The taint that control lifts when a node is proven: only where there is more to prove than
    what Kubernetes' own not-ready taint covers.
    """
    return (STARTUP_TAINT,) if spec.install_profile is InstallProfile.EVERYTHING else ()


def zone_of(spec: AgentPoolSpec, index: int) -> str:
    """The zone of the machine with this index: zones take turns. Empty without zones."""
    zones = spec.availability_zones
    return zones[index % len(zones)] if zones else ""


def of_size(spec: AgentPoolSpec, size: str) -> AgentPoolSpec:
    """The pool as its machines of this size are made."""
    return spec if size == spec.vm_size else replace(spec, vm_size=size)


def bootstrap(cluster: ManagedClusterSpec, spec: AgentPoolSpec) -> Bootstrap:
    """What a new machine of the pool starts with; the zone's label is added by `in_zone`."""
    gpu = spec.gpu
    return Bootstrap(
        kubernetes_version=spec.kubernetes_version,
        node_image_version=spec.node_image_version,
        labels=node_labels(cluster, spec),
        taints=tuple(
            dict.fromkeys(
                (*pool_taints(spec), *spec.node_initialization_taints, *startup_taints(spec))
            )
        ),
        max_pods=spec.max_pods,
        os_disk_size_gb=spec.os_disk_size_gb,
        os_sku=spec.os_sku,
        install_profile=spec.install_profile,
        mig_strategy=gpu.mig_strategy if gpu else None,
        mig_profile=gpu.mig_profile if gpu else None,
    )


def in_zone(wanted: Bootstrap, region: str, zone: str) -> Bootstrap:
    """The bootstrap with the label of the machine's zone; ``0`` where there are none."""
    labels: Mapping[str, str] = {
        **wanted.labels,
        ZONE_LABEL: f"{region}-{zone}" if zone else "0",
    }
    return replace(wanted, labels=labels)


def is_outdated(have: Bootstrap, want: Bootstrap) -> bool:
    """Whether a machine must be reimaged to become what its pool wants.

    Labels and taints are changed on the living node instead.
    """
    return (
        have.kubernetes_version,
        have.node_image_version,
        have.os_sku,
        have.install_profile,
        have.mig_strategy,
        have.mig_profile,
    ) != (
        want.kubernetes_version,
        want.node_image_version,
        want.os_sku,
        want.install_profile,
        want.mig_strategy,
        want.mig_profile,
    )
