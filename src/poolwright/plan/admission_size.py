"""Rules of names, counts, disks, pods, VM sizes and types."""

from __future__ import annotations

import re
from collections.abc import Mapping

from poolwright.model.agent_pool import AgentPoolSpec, PoolMode
from poolwright.model.catalog import VmSize, vm_size
from poolwright.model.errors import InvalidRequest
from poolwright.model.limits import (
    MAX_PODS_MAX,
    MAX_PODS_MIN,
    OS_DISK_GB_MAX,
    OS_DISK_GB_MIN,
    POOL_MEMORY_MIB_MIN,
    POOL_NAME_PATTERN,
    POOL_NAME_WINDOWS_MAX,
    POOL_NAMES_RESERVED,
    POOL_VCPUS_MIN,
    limits,
)
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.scarcity import Restriction
from poolwright.plan.admission_message import bad_request, invalid

VM_SIZE_NOT_SUPPORTED = (
    "Virtual Machine size: '{size}' is not supported for subscription {subscription} in location "
    "'{location}'. Please refer to aka.ms/aks/vm-size-selector to find supported VM sizes in "
    "location '{location}'."
)
SIZE_RESTRICTED = (
    "The VM SKUs chosen for agentpool(s) `AgentPoolProfile:{pool}` are restricted by AKS. This is "
    "typically due to small CPU/Memory. Please see https://aka.ms/aks/restricted-skus for more "
    "details"
)
COUNT_OUT_OF_RANGE = (
    "agentPoolProfile.count was {count}. It must be greater or equal to minCount:{low} and less "
    "than or equal to maxCount:{high}. If allowedMinCount was expected to be 0 but is 1: 1) The "
    "nodepool is a VMAS pool. 2) api Version is less than 2020-03-01. 3) The node is a system pool."
)
SIZE_RETIRED = "The VM size '{size}' was retired in Azure in {month}; it still works here."


def default_vm_size(os_type: str) -> str:
    """The size of a pool that names none. Source: seed 004 and azure-cli."""
    return "Standard_D2s_v3" if os_type == "Windows" else "Standard_DS2_v2"


def check_pool_name(name: str, os_type: str = "Linux") -> None:
    """Check a pool's name.

    Raises:
        InvalidRequest: target ``agentPoolProfile.name``.
    """
    if not re.fullmatch(POOL_NAME_PATTERN, name):
        raise invalid("agentPoolProfile.name")
    if name in POOL_NAMES_RESERVED:
        raise invalid("agentPoolProfile.name", f"'{name}' is a reserved name")
    if os_type == "Windows" and len(name) > POOL_NAME_WINDOWS_MAX:
        raise invalid(
            "agentPoolProfile.name",
            f"names of Windows agent pools have at most {POOL_NAME_WINDOWS_MAX} characters",
        )


def check_size(
    name: str, pool: str, cluster: ManagedClusterSpec, restrictions: tuple[Restriction, ...]
) -> tuple[VmSize, tuple[str, ...]]:
    """The size, which must be known, offered in the region, and large enough for a node.

    Raises:
        InvalidRequest: ``VMSizeNotSupported``, or ``BadRequest`` for restricted sizes.
    """
    size = vm_size(name)
    if size is None or any(_is_closed(one, size, cluster.location) for one in restrictions):
        raise InvalidRequest(
            VM_SIZE_NOT_SUPPORTED.format(
                size=name, subscription=cluster.subscription, location=cluster.location
            ),
            code="VMSizeNotSupported",
            target="agentPoolProfile.vmSize",
        )
    is_small = size.memory_mib < POOL_MEMORY_MIB_MIN
    if size.vcpus < POOL_VCPUS_MIN or is_small:
        raise bad_request(SIZE_RESTRICTED.format(pool=pool), target="agentPoolProfile.vmSize")
    if size.retired:
        return size, (SIZE_RETIRED.format(size=size.name, month=size.retired),)
    return size, ()


def _is_closed(one: Restriction, size: VmSize, location: str) -> bool:
    if one.zones or one.vm_size.lower() != size.name.lower():
        return False
    return not one.region or one.region.lower() == location.lower()


def check_shape(spec: AgentPoolSpec, profile: str) -> None:
    """Check name, type, count, disk, pods and zones of a pool.

    Raises:
        InvalidRequest: with AKS' code and target.
    """
    check_pool_name(spec.name, spec.os_type)
    if spec.pool_type == "AvailabilitySet":
        raise InvalidRequest(
            "The VMAS (AvailabilitySet) agent pool has been deprecated and is no longer available "
            "for creation.",
            code="InvalidAgentPoolType",
            target="agentPoolProfile.type",
        )
    if spec.pool_type == "FlexNodes":
        raise InvalidRequest(
            "Agent pools of type FlexNodes are not supported by this server.",
            code="InvalidAgentPoolType",
            target="agentPoolProfile.type",
        )
    most = limits(profile).nodes_per_pool
    least = 1 if spec.mode is PoolMode.SYSTEM else 0
    if not least <= spec.count <= most:
        raise InvalidRequest(
            COUNT_OUT_OF_RANGE.format(count=spec.count, low=least, high=most),
            code="InvalidParameter",
            target="agentPoolProfile.count",
        )
    if spec.max_count is not None and spec.max_count > most:
        raise invalid("agentPoolProfile.maxCount", f"maxCount was {spec.max_count}; at most {most}")
    if not OS_DISK_GB_MIN <= spec.os_disk_size_gb <= OS_DISK_GB_MAX:
        raise invalid(
            "agentPoolProfile.osDiskSizeGB",
            f"osDiskSizeGB must be 0 or between {OS_DISK_GB_MIN} and {OS_DISK_GB_MAX}",
        )
    if not MAX_PODS_MIN <= spec.max_pods <= MAX_PODS_MAX:
        raise invalid("agentPoolProfile.maxPods")
    if any(zone not in {"1", "2", "3"} for zone in spec.availability_zones):
        raise invalid(
            "agentPoolProfile.availabilityZones",
            f"zones are '1', '2' and '3', not {', '.join(spec.availability_zones)}",
        )
    _check_os(spec)


def _check_os(spec: AgentPoolSpec) -> None:
    is_windows_sku = spec.os_sku.startswith("Windows")
    if is_windows_sku != (spec.os_type == "Windows"):
        raise invalid(
            "agentPoolProfile.osSKU", f"osSKU '{spec.os_sku}' does not go with {spec.os_type}"
        )


def check_cluster_size(
    pools: Mapping[str, AgentPoolSpec], profile: str, *, grows: bool = True
) -> None:
    """Check how many pools and nodes a cluster has.

    Raises:
        InvalidRequest: more than the limits allow.
    """
    allowed = limits(profile)
    if len(pools) > allowed.pools_per_cluster:
        raise bad_request(
            f"The managed cluster would have {len(pools)} agent pools; at most "
            f"{allowed.pools_per_cluster} are allowed.",
            code="AgentPoolCountExceedsLimit",
            target="agentPoolProfiles",
        )
    nodes = sum(pool.count for pool in pools.values())
    if grows and nodes > allowed.nodes_per_cluster:
        raise bad_request(
            f"The managed cluster would have {nodes} nodes; at most {allowed.nodes_per_cluster} "
            "are allowed.",
            code="NodeCountExceedsLimit",
            target="agentPoolProfile.count",
        )
