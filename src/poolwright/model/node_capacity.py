"""What a node of a size offers to pods: capacity, allocatable and GPU resources.

One place for it, because the machine's side reports it and plans foresee it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from poolwright.model.catalog import VmSize
from poolwright.model.gpu import InstallProfile, MigProfile, MigStrategy

_MIB = 1024 * 1024
_GIB = 1024 * _MIB

EVICTION_MEMORY_BYTES = 100 * _MIB
"""Hard eviction ``memory.available<100Mi``. Source: facts gpu-stack §1.4, Kubernetes >= 1.29."""

# A disk of 128 GiB shows 129886128 KiB of ephemeral storage once formatted (an AKS node's own
# words); other disks lose the same share to the boot partitions and the file system.
_FILE_SYSTEM_KIB_PER_GIB = 129_886_128 / 128

# The kubelet keeps the eviction share of the disk, 10 %, as a 32-bit float.
_DISK_EVICTION_SHARE = 0.10000000149011612


def reserved_cpu_millicores(vcpus: int) -> int:
    """CPU kept back for the system: 6 % of the first core, 4 % of the second, 2 % of the next
    two, 1 % of the rest; AKS keeps 60 m on one core, 100 m on two, 140 m on four.

    Source: facts gpu-stack §1.4 (AgentBaker, kube-reserved).
    """
    shares = (60, 40, 20, 20)
    return sum(shares[:vcpus]) + 10 * max(0, vcpus - len(shares))


def reserved_memory_bytes(memory_mib: int, max_pods: int) -> int:
    """Memory kept back for the system: 20 MiB a pod and 50 MiB, at most a quarter of the whole.

    Source: facts gpu-stack §1.4, Kubernetes >= 1.29.
    """
    return min((20 * max_pods + 50) * _MIB, memory_mib * _MIB // 4)


def node_capacity(size: VmSize, *, max_pods: int, os_disk_gb: int) -> dict[str, int]:
    """What a node of this size reports as capacity, without GPU resources; in our units."""
    return {
        "cpu": size.vcpus * 1000,
        "memory": size.memory_mib * _MIB,
        "ephemeral-storage": int(os_disk_gb * _FILE_SYSTEM_KIB_PER_GIB) * 1024,
        "hugepages-1Gi": 0,
        "hugepages-2Mi": 0,
        "pods": max_pods,
    }


def node_allocatable(size: VmSize, *, max_pods: int, os_disk_gb: int) -> dict[str, int]:
    """What is left for pods: capacity less the reserve and the eviction thresholds."""
    offer = node_capacity(size, max_pods=max_pods, os_disk_gb=os_disk_gb)
    disk = offer["ephemeral-storage"]
    offer["cpu"] -= reserved_cpu_millicores(size.vcpus)
    offer["memory"] -= reserved_memory_bytes(size.memory_mib, max_pods) + EVICTION_MEMORY_BYTES
    offer["ephemeral-storage"] = disk - int(disk * _DISK_EVICTION_SHARE)
    return offer


_NONE: Mapping[str, int] = MappingProxyType({})


def gpu_resources(
    size: VmSize,
    *,
    mig_profile: MigProfile | None = None,
    mig_strategy: MigStrategy | None = None,
) -> Mapping[str, int]:
    """What a healthy device plugin advertises on a node of this size.

    With a MIG profile, Mixed names the instances by profile; any other strategy counts them as
    whole GPUs (AKS runs the plugin as *single* then).

    Source: facts gpu-stack §2.3, §2.4, §0.5.
    """
    if size.gpu is None:
        return _NONE
    if mig_profile is None:
        return {size.gpu.resource: size.gpu.count}
    layout = size.gpu.mig.get(mig_profile)
    if layout is None:
        return _NONE
    if mig_strategy is MigStrategy.MIXED:
        return {f"nvidia.com/mig-{layout.profile.replace('+', '.')}": layout.per_node}
    return {size.gpu.resource: layout.per_node}


def has_driver(profile: InstallProfile) -> bool:
    """Whether the node's bootstrap installs the NVIDIA driver."""
    return profile in {InstallProfile.DRIVER_ONLY, InstallProfile.EVERYTHING}
