"""Rules of agent pools of type VirtualMachines: sizes and counts are in their scale profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from poolwright.model.agent_pool import AgentPoolSpec
from poolwright.model.catalog import vm_size
from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import children
from poolwright.model.limits import VM_SCALE_PROFILES_MAX
from poolwright.plan.admission_message import invalid

SCALE = "agentPoolProfile.virtualMachinesProfile.scale"


@dataclass(frozen=True, slots=True)
class SizeCount:
    """So many machines of a size."""

    size: str
    count: int


def virtual_machines(given: dict[str, Any], accepted: Mapping[str, Any]) -> Sequence[SizeCount]:
    """The sizes of a VirtualMachines pool; ``given`` gets the first size and the whole count.

    Raises:
        InvalidRequest: a size beside the profile, or no valid profile.
    """
    if given.get("pool_type") != "VirtualMachines":
        return ()
    if given.get("vm_size"):
        raise invalid(
            "agentPoolProfile.vmSize",
            "vmSize must be empty for agent pools of type VirtualMachines; use "
            "virtualMachinesProfile.scale",
        )
    sizes = [_size_count(entry) for entry in children(accepted, *SCALE.split(".")[1:], "manual")]
    if not sizes:
        raise InvalidRequest(
            "Required parameter properties.virtualMachinesProfile.scale is missing (null).",
            code="InvalidParameter",
            target="properties.virtualMachinesProfile.scale",
        )
    given["vm_size"] = sizes[0].size
    given["count"] = sum(entry.count for entry in sizes)
    return sizes


def _size_count(entry: Mapping[str, Any]) -> SizeCount:
    size, count = cast("object", entry.get("size")), cast("object", entry.get("count", 0))
    if not isinstance(size, str) or not isinstance(count, int) or isinstance(count, bool):
        raise invalid(SCALE, "every entry needs a size and a count")
    return SizeCount(size, count)


def check_virtual_machines(sizes: Sequence[SizeCount], spec: AgentPoolSpec) -> None:
    """Check what a VirtualMachines pool may have.

    Raises:
        InvalidRequest: too many sizes, a GPU size, or Windows.
    """
    if len(sizes) > VM_SCALE_PROFILES_MAX:
        raise invalid(SCALE, f"at most {VM_SCALE_PROFILES_MAX} sizes are allowed")
    for entry in sizes:
        size = vm_size(entry.size)
        if size is None:
            raise invalid(SCALE, f"the VM size '{entry.size}' is not known")
        if size.gpu is not None:
            raise invalid(
                SCALE, "GPU sizes are not supported for agent pools of type VirtualMachines"
            )
    if sizes and spec.os_type == "Windows":
        raise invalid("agentPoolProfile.type", "VirtualMachines agent pools do not support Windows")
