"""Rules of System, User and Gateway pools, of Spot and of Windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolwright.model.agent_pool import AgentPoolSpec, PoolMode
from poolwright.model.catalog import vm_size
from poolwright.model.errors import InvalidRequest
from poolwright.model.limits import (
    SYSTEM_MAX_PODS_MIN,
    SYSTEM_MEMORY_MIB_MIN,
    SYSTEM_VCPUS_MIN,
)
from poolwright.plan.admission_message import bad_request, invalid

NO_SYSTEM_POOL = "Must define at least one system pool."
LAST_POOL = "There has to be at least one agent pool."


def is_last_system_pool(name: str, others: Mapping[str, AgentPoolSpec]) -> bool:
    """Whether no other pool than this one is a System pool."""
    return all(pool.mode is not PoolMode.SYSTEM for key, pool in others.items() if key != name)


def check_mode(
    spec: AgentPoolSpec, old: AgentPoolSpec | None, others: Mapping[str, AgentPoolSpec]
) -> None:
    """Check what the mode of a pool demands.

    Raises:
        InvalidRequest: with AKS' code and text.
    """
    leaves = old is not None and old.mode is PoolMode.SYSTEM and spec.mode is not PoolMode.SYSTEM
    if leaves and is_last_system_pool(spec.name, others):
        raise bad_request(NO_SYSTEM_POOL, target="agentPoolProfile.mode")
    if spec.mode is PoolMode.SYSTEM:
        _check_system(spec)
    if spec.scale_set_priority == "Spot":
        _check_spot(spec)
    if spec.mode is PoolMode.GATEWAY and spec.os_type == "Windows":
        raise invalid("agentPoolProfile.mode", "Gateway agent pools must be Linux")


def _check_system(spec: AgentPoolSpec) -> None:
    if spec.os_type == "Windows":
        raise invalid("agentPoolProfile.osType", "System agent pools must be Linux")
    if spec.scale_set_priority == "Spot":
        raise invalid(
            "agentPoolProfile.scaleSetPriority", "System agent pools cannot have priority Spot"
        )
    if spec.is_stopped:
        raise InvalidRequest(
            "System agent pools cannot be stopped.",
            code="OperationNotAllowed",
            target="properties.powerState.code",
        )
    if spec.max_pods < SYSTEM_MAX_PODS_MIN:
        raise invalid(
            "agentPoolProfile.maxPods",
            f"System agent pools need room for at least {SYSTEM_MAX_PODS_MIN} pods",
        )
    size = vm_size(spec.vm_size)
    if size is None:
        return
    is_small = size.memory_mib < SYSTEM_MEMORY_MIB_MIN
    if size.vcpus < SYSTEM_VCPUS_MIN or is_small:
        raise bad_request(
            "System node pool must use VM sku with more than 2 cores and 4GB memory. Nodepool "
            f"name: {spec.name}",
            target="agentPoolProfile.vmSize",
        )


def _check_spot(spec: AgentPoolSpec) -> None:
    if spec.pool_type != "VirtualMachineScaleSets":
        raise invalid(
            "agentPoolProfile.scaleSetPriority",
            "priority Spot needs an agent pool of type VirtualMachineScaleSets",
        )
    if spec.scale_down_mode == "Deallocate":
        raise invalid(
            "agentPoolProfile.scaleDownMode", "Deallocate is not supported for Spot agent pools"
        )
    price = spec.spot_max_price
    if price is not None and price != -1 and (price <= 0 or round(price, 5) != price):
        raise invalid(
            "agentPoolProfile.spotMaxPrice",
            "spotMaxPrice must be -1 or greater than zero with up to five decimal places",
        )


def check_delete(
    name: str, pools: Mapping[str, AgentPoolSpec], *, is_adopted: bool = False
) -> None:
    """Whether a pool may be deleted: one System pool must remain, unless the cluster was adopted
    and has nodes of its own for that.

    Raises:
        InvalidRequest: code ``OperationNotAllowed``, status 400 as AKS answers.
    """
    if is_adopted:
        return
    mode = pools[name].mode
    if len(pools) == 1 or (mode is PoolMode.SYSTEM and is_last_system_pool(name, pools)):
        raise InvalidRequest(LAST_POOL, code="OperationNotAllowed", target=None)


def check_first_pools(pools: Iterable[AgentPoolSpec]) -> None:
    """A new cluster has at least one System pool.

    Raises:
        InvalidRequest: none is.
    """
    if all(pool.mode is not PoolMode.SYSTEM for pool in pools):
        raise bad_request(NO_SYSTEM_POOL, target="agentPoolProfiles")
