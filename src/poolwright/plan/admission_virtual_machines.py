"""Rules of agent pools of type VirtualMachines: sizes and counts are in their scale profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from poolwright.model.agent_pool import AgentPoolSpec, SizeCount
from poolwright.model.catalog import vm_size
from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import child, children
from poolwright.model.limits import VM_SCALE_PROFILES_MAX
from poolwright.plan.admission_message import invalid

SCALE = "agentPoolProfile.virtualMachinesProfile.scale"
_NO_AUTOSCALER = (
    "the cluster autoscaler is not supported for agent pools of type VirtualMachines; scale by "
    "virtualMachinesProfile.scale.manual"
)


def virtual_machines(given: dict[str, Any], accepted: Mapping[str, Any]) -> None:
    """Give a VirtualMachines pool its ``sizes``, the first as its size, and the whole count.

    Raises:
        InvalidRequest: a size beside the profile, no valid profile, or autoscaling, which would
            have no effect.
    """
    if given.get("pool_type") != "VirtualMachines":
        return
    if given.get("vm_size"):
        raise invalid(
            "agentPoolProfile.vmSize",
            "vmSize must be empty for agent pools of type VirtualMachines; use "
            "virtualMachinesProfile.scale",
        )
    if given.get("enable_auto_scaling"):
        raise invalid("agentPoolProfile.enableAutoScaling", _NO_AUTOSCALER)
    if children(accepted, *SCALE.split(".")[1:], "autoscale"):
        raise invalid(f"{SCALE}.autoscale", _NO_AUTOSCALER)
    sizes = [_size_count(entry) for entry in children(accepted, *SCALE.split(".")[1:], "manual")]
    if not sizes:
        raise InvalidRequest(
            "Required parameter properties.virtualMachinesProfile.scale is missing (null).",
            code="InvalidParameter",
            target="properties.virtualMachinesProfile.scale",
        )
    given["sizes"] = tuple(sizes)
    given["vm_size"] = sizes[0].size
    given["count"] = sum(entry.count for entry in sizes)


def _size_count(entry: Mapping[str, Any]) -> SizeCount:
    size, count = cast("object", entry.get("size")), cast("object", entry.get("count", 0))
    is_count = isinstance(count, int) and not isinstance(count, bool)
    if not isinstance(size, str) or not is_count:
        raise invalid(SCALE, "every entry needs a size and a count")
    if cast("int", count) < 0:
        raise invalid(SCALE, f"the count of size '{size}' must not be negative")
    return SizeCount(size, cast("int", count))


def check_virtual_machines(spec: AgentPoolSpec) -> None:
    """Check what a VirtualMachines pool may have.

    Raises:
        InvalidRequest: too many sizes, one twice, one of another architecture or with GPUs, or
            Windows.
    """
    sizes = spec.sizes
    first = vm_size(spec.vm_size)
    if len({entry.size.lower() for entry in sizes}) < len(sizes):
        raise invalid(SCALE, "a size is given twice")
    if len(sizes) > VM_SCALE_PROFILES_MAX:
        raise invalid(SCALE, f"at most {VM_SCALE_PROFILES_MAX} sizes are allowed")
    for entry in sizes:
        size = vm_size(entry.size)
        if size is None:
            raise invalid(SCALE, f"the VM size '{entry.size}' is not known")
        if first is not None and size.architecture != first.architecture:
            raise invalid(SCALE, "all sizes must be of the same architecture")
        if size.gpu is not None:
            raise invalid(
                SCALE, "GPU sizes are not supported for agent pools of type VirtualMachines"
            )
    if sizes and spec.os_type == "Windows":
        raise invalid("agentPoolProfile.type", "VirtualMachines agent pools do not support Windows")


def without_machines(spec: AgentPoolSpec, gone: Sequence[str]) -> AgentPoolSpec:
    """The pool with one machine less of each of these sizes, in its profile and its count too."""
    left = {entry.size.lower(): entry.count for entry in spec.sizes}
    for size in gone:
        left[size.lower()] = max(0, left.get(size.lower(), 0) - 1)
    sizes = tuple(SizeCount(entry.size, left[entry.size.lower()]) for entry in spec.sizes)
    manual = [{"size": entry.size, "count": entry.count} for entry in sizes]
    profile = child(spec.accepted, "virtualMachinesProfile")
    scale = {**child(profile, "scale"), "manual": manual}
    return replace(
        spec,
        sizes=sizes,
        count=sum(entry.count for entry in sizes),
        accepted={**spec.accepted, "virtualMachinesProfile": {**profile, "scale": scale}},
    )
