"""Which GPU software the nodes of a pool get.

The tables are those of the managed GPU design (driver × management mode, and the preview gate),
in its layout. Sources: "seed 003" is the API design of managed GPU, "seed 000" the guide for
users, "published" the AKS documentation of 2026-08.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from poolwright.model.catalog import VmSize
from poolwright.model.errors import FeatureNotRegistered, InvalidRequest
from poolwright.model.gpu import (
    GpuDriver,
    GpuProfile,
    InstallProfile,
    ManagementMode,
    MigProfile,
    MigStrategy,
)
from poolwright.model.limits import MANAGED_GPU_MINOR
from poolwright.model.version import KubernetesVersion

FEATURES = frozenset(
    name.lower() for name in ("ManagedGPUExperiencePreview", "ManagedGPUExperience", "ManagedGPU")
)
"""One feature, three accepted names (seeds 000 and 003), in lower case."""

TAG = "EnableManagedGPUExperience"
"""The pool tag of the first preview; deprecated in favour of ``managementMode``."""

FIELD = "agentPoolProfile.gpuProfile"

Cell = InstallProfile | str
"""What a cell says: a profile, or the way out of a contradiction, for the message of a 400."""

EVERYTHING = InstallProfile.EVERYTHING
DRIVER_ONLY = InstallProfile.DRIVER_ONLY
NOTHING = InstallProfile.NOTHING

MANAGED = ManagementMode.MANAGED
UNMANAGED = ManagementMode.UNMANAGED
INSTALL = GpuDriver.INSTALL
NONE = GpuDriver.NONE

_BLOCK_NONE_MANAGED = (
    "driver None leaves nothing to manage: remove gpuProfile.driver or set it to Install, or set "
    "gpuProfile.nvidia.managementMode to Unmanaged to bring your own driver"
)
_BLOCK_NONE_UNDECLARED = (
    "from Kubernetes 1.36 on an undeclared managementMode means Managed: set "
    "gpuProfile.nvidia.managementMode to Unmanaged to bring your own driver, or remove "
    "gpuProfile.driver"
)
_BLOCK_UNDECLARED_UNMANAGED = (
    "Unmanaged needs a declared driver: set gpuProfile.driver to Install for the driver only, or "
    "to None for no GPU software"
)

# fmt: off
TABLE: Mapping[tuple[GpuDriver | None, ManagementMode | None, bool], Cell] = {
    # (driver, management mode, at or above the gate)
    # Seed 003, "Mixing the driver install and managedGPU install options": the nine cells.
    (INSTALL, MANAGED, True):   EVERYTHING,
    (INSTALL, UNMANAGED, True): DRIVER_ONLY,
    (INSTALL, None, True):      EVERYTHING,
    (NONE, MANAGED, True):      _BLOCK_NONE_MANAGED,
    (NONE, UNMANAGED, True):    NOTHING,
    (NONE, None, True):         _BLOCK_NONE_UNDECLARED,
    (None, MANAGED, True):      EVERYTHING,
    (None, UNMANAGED, True):    _BLOCK_UNDECLARED_UNMANAGED,
    (None, None, True):         EVERYTHING,
    # Below the gate the default stays what it is today (seed 003, GA; seed 000, BYO driver).
    (INSTALL, MANAGED, False):   EVERYTHING,
    (INSTALL, UNMANAGED, False): DRIVER_ONLY,
    (INSTALL, None, False):      DRIVER_ONLY,
    (NONE, MANAGED, False):      _BLOCK_NONE_MANAGED,
    (NONE, UNMANAGED, False):    NOTHING,
    (NONE, None, False):         NOTHING,
    (None, MANAGED, False):      EVERYTHING,
    (None, UNMANAGED, False):    _BLOCK_UNDECLARED_UNMANAGED,
    (None, None, False):         DRIVER_ONLY,
}

REFUSED = "refused"
DEPRECATED = "deprecated"

GATE: Mapping[tuple[bool, ManagementMode | None, bool], tuple[ManagementMode | None, str]] = {
    # (feature registered, API field, tag is true) → (mode, remark); below the Kubernetes gate.
    # Seed 003, "Preview Behavior".
    (False, None, False):      (None, ""),
    (True, None, False):       (None, ""),          # the flag alone has no effect
    (True, MANAGED, False):    (MANAGED, ""),
    (True, MANAGED, True):     (MANAGED, ""),
    (True, None, True):        (MANAGED, DEPRECATED),
    (False, MANAGED, False):   (MANAGED, REFUSED),
    (False, MANAGED, True):    (MANAGED, REFUSED),
    (False, None, True):       (None, ""),          # the tag is ignored
    (True, UNMANAGED, True):   (UNMANAGED, ""),     # the field beats the tag
    (True, UNMANAGED, False):  (UNMANAGED, ""),
    (False, UNMANAGED, True):  (UNMANAGED, ""),
    (False, UNMANAGED, False): (UNMANAGED, ""),
}
# fmt: on

FEATURE_MISSING = (
    "Preview feature Microsoft.ContainerService/ManagedGPUExperiencePreview not registered. "
    "gpuProfile.nvidia.managementMode 'Managed' needs it below Kubernetes 1.36; register it with "
    "'az feature register --namespace Microsoft.ContainerService --name "
    "ManagedGPUExperiencePreview'."
)
TAG_DEPRECATED = (
    "The tag EnableManagedGPUExperience is deprecated; set "
    "properties.gpuProfile.nvidia.managementMode to Managed instead."
)
CROSSING = (
    "Agent pool '{pool}' crosses Kubernetes 1.36 with this upgrade and never declared "
    "gpuProfile.nvidia.managementMode: its new nodes get the managed GPU experience (device "
    "plugin, DCGM exporter, health checks) beside the driver."
)


def has_feature(features: frozenset[str]) -> bool:
    """Whether the managed GPU preview is registered under any of its names (lower case)."""
    return not FEATURES.isdisjoint(features)


def is_managed_by_default(version: KubernetesVersion) -> bool:
    """Whether a pool of this version is at or above the gate."""
    return (version.major, version.minor) >= MANAGED_GPU_MINOR


@dataclass(frozen=True, slots=True)
class GpuQuestion:
    """Everything that decides about a new pool's GPU software.

    ``features`` are in lower case. ``can_say_nvidia``: the api-version has the ``nvidia`` block.
    """

    declared: GpuProfile | None
    size: VmSize | None
    os_type: str
    os_sku: str
    version: KubernetesVersion
    features: frozenset[str]
    has_tag: bool = False
    cluster_default: ManagementMode | None = None
    can_say_nvidia: bool = True


@dataclass(frozen=True, slots=True)
class GpuAnswer:
    """What the nodes get, what reads show, and what the user should hear."""

    install_profile: InstallProfile
    shown: GpuProfile | None
    warnings: tuple[str, ...] = ()


def has_managed_gpu_tag(tags: Mapping[str, str]) -> bool:
    """Whether the tag of the first preview is set to true; tag names ignore case in ARM."""
    return any(k.lower() == TAG.lower() and v.lower() == "true" for k, v in tags.items())


def invalid(detail: str, target: str = FIELD) -> InvalidRequest:
    """A rule about GPU settings is broken."""
    return InvalidRequest(
        f"The value of parameter {target} is invalid. Error details: {detail}. Please see "
        "https://aka.ms/aks-naming-rules for more details.",
        code="InvalidParameter",
        target=target,
    )


def install_profile(
    driver: GpuDriver | None, mode: ManagementMode | None, *, above_gate: bool
) -> InstallProfile:
    """One cell of `TABLE`.

    Raises:
        InvalidRequest: the combination is blocked; the message names both fields.
    """
    cell = TABLE[driver, mode, above_gate]
    if isinstance(cell, InstallProfile):
        return cell
    raise invalid(
        f"gpuProfile.driver '{driver or 'undeclared'}' and gpuProfile.nvidia.managementMode "
        f"'{mode or 'undeclared'}' contradict each other; {cell}"
    )


def decide_gpu(question: GpuQuestion) -> GpuAnswer:
    """The GPU software of a new pool.

    Raises:
        InvalidRequest: the declaration contradicts itself or the size.
        FeatureNotRegistered: Managed below the gate without the preview feature.
    """
    size, declared = question.size, question.declared
    is_nvidia = size is not None and size.is_nvidia
    if not is_nvidia or question.os_type == "Windows":
        return _outside_table(question)
    _check_os_sku(question)
    profile = declared or GpuProfile()
    if profile.driver_type:
        raise invalid("driverType can only be set for Windows agent pools", f"{FIELD}.driverType")
    above = is_managed_by_default(question.version)
    mode, warnings = _mode(question, profile, above=above)
    if size and size.gpu and not size.gpu.is_aks_listed and profile.driver is not NONE:
        raise invalid(
            f"the VM size '{size.name}' has no supported GPU driver; set gpuProfile.driver to None",
            f"{FIELD}.driver",
        )
    install = install_profile(profile.driver, mode, above_gate=above)
    check_mig(profile, size, install)
    return GpuAnswer(install, declared, warnings)


def _mode(
    question: GpuQuestion, profile: GpuProfile, *, above: bool
) -> tuple[ManagementMode | None, tuple[str, ...]]:
    registered = has_feature(question.features) or above
    mode, remark = GATE[registered, profile.management_mode, question.has_tag]
    if remark == REFUSED:
        raise FeatureNotRegistered(
            FEATURE_MISSING, target="properties.gpuProfile.nvidia.managementMode"
        )
    if remark == DEPRECATED and profile.driver is NONE:
        raise invalid(
            "gpuProfile.driver 'None' and the tag EnableManagedGPUExperience=true contradict each "
            "other; remove the tag to bring your own driver, or remove gpuProfile.driver",
        )
    if mode is None:
        mode = question.cluster_default
        # Ours: no released client of such an api-version could make a BYO pool otherwise.
        if profile.driver is NONE and not question.can_say_nvidia and (above or mode is MANAGED):
            mode = UNMANAGED
    return mode, (TAG_DEPRECATED,) if remark == DEPRECATED else ()


def _outside_table(question: GpuQuestion) -> GpuAnswer:
    """CPU, Windows and AMD pools: none of the NVIDIA settings may be declared."""
    declared, size = question.declared, question.size
    windows = question.os_type == "Windows"
    if declared is not None:
        nvidia = "Windows agent pools" if windows else "VM sizes without an NVIDIA GPU"
        if (
            declared.management_mode
            or declared.mig_strategy
            or declared.driver_mode
            or declared.mig_profiles
        ):
            raise invalid(f"the NVIDIA settings are not supported for {nvidia}", f"{FIELD}.nvidia")
        if declared.mig_profile:
            raise invalid(
                f"multi-instance GPU is not supported for {nvidia}",
                "agentPoolProfile.gpuInstanceProfile",
            )
        if declared.driver_type and not windows:
            raise invalid(
                "driverType can only be set for Windows agent pools", f"{FIELD}.driverType"
            )
    gpu = size.gpu if size else None
    if gpu is None:
        return GpuAnswer(InstallProfile.NO_GPU, declared)
    if windows:
        return GpuAnswer(InstallProfile.NO_GPU, _windows_profile(declared, gpu.windows_driver_type))
    if declared is None or declared.driver is not NONE:
        raise invalid(
            f"the driver of the AMD GPU of '{question.size.name if question.size else ''}' is not "
            "installed by AKS; set gpuProfile.driver to None",
            f"{FIELD}.driver",
        )
    return GpuAnswer(InstallProfile.NO_GPU, declared)


def _windows_profile(declared: GpuProfile | None, driver_type: str | None) -> GpuProfile:
    """AKS fills in driver and driver type of Windows GPU pools; reads show both."""
    declared = declared or GpuProfile()
    return GpuProfile(
        driver=declared.driver or GpuDriver.INSTALL,
        driver_type=declared.driver_type or driver_type or "CUDA",
    )


def _check_os_sku(question: GpuQuestion) -> None:
    if question.os_sku in {"Flatcar", "AzureLinuxOSGuard"}:
        raise invalid(
            f"osSKU '{question.os_sku}' is not supported with NVIDIA GPUs",
            "agentPoolProfile.osSKU",
        )


# Compute and memory slices that an instance takes of the seven and eight of a card.
# Source: NVIDIA MIG user guide, A100 and H100 profiles.
_SLICES: Mapping[MigProfile, tuple[int, int]] = {
    MigProfile.MIG1G: (1, 1),
    MigProfile.MIG2G: (2, 2),
    MigProfile.MIG3G: (3, 4),
    MigProfile.MIG4G: (4, 4),
    MigProfile.MIG7G: (7, 8),
}


def check_mig(profile: GpuProfile, size: VmSize | None, install: InstallProfile) -> None:
    """Check the MIG settings of an NVIDIA Linux pool.

    Raises:
        InvalidRequest: they contradict each other, the mode, or the size.
    """
    strategy = profile.mig_strategy
    splits = strategy in {MigStrategy.SINGLE, MigStrategy.MIXED}
    target = f"{FIELD}.nvidia.migStrategy"
    if profile.mig_profile and profile.mig_profiles:
        raise invalid(
            "gpuInstanceProfile and gpuProfile.nvidia.migProfiles cannot be used together",
            f"{FIELD}.nvidia.migProfiles",
        )
    wanted = profile.mig_profiles or ((profile.mig_profile,) if profile.mig_profile else ())
    layouts: Mapping[MigProfile, object] = size.gpu.mig if size and size.gpu else {}
    if any(one not in layouts for one in wanted):
        raise invalid(
            f"the VM size '{size.name if size else ''}' does not support the multi-instance GPU "
            f"profile '{next(one for one in wanted if one not in layouts)}'",
            "agentPoolProfile.gpuInstanceProfile",
        )
    if splits and not wanted:
        raise invalid(f"migStrategy '{strategy}' needs gpuInstanceProfile", target)
    if splits and install is not InstallProfile.EVERYTHING:
        raise invalid(
            f"migStrategy '{strategy}' needs gpuProfile.nvidia.managementMode 'Managed'", target
        )
    if profile.mig_profiles and strategy is not MigStrategy.MIXED and len(wanted) != 1:
        raise invalid(
            "exactly one multi-instance GPU profile is allowed unless migStrategy is 'Mixed'",
            f"{FIELD}.nvidia.migProfiles",
        )
    compute = sum(_SLICES[one][0] for one in wanted)
    memory = sum(_SLICES[one][1] for one in wanted)
    if compute > 7 or memory > 8:
        raise invalid(
            f"the multi-instance GPU profiles {', '.join(wanted)} do not fit on one GPU",
            f"{FIELD}.nvidia.migProfiles",
        )


def profile_after_upgrade(
    install: InstallProfile,
    declared: GpuProfile | None,
    *,
    before: KubernetesVersion,
    after: KubernetesVersion,
    cluster_default: ManagementMode | None,
) -> InstallProfile:
    """The install profile of a pool that changes its Kubernetes version.

    A pool that never declared a mode and has the driver becomes managed with its new nodes when
    it crosses the gate; BYO and MIG pools never flip (seed 003 GA, seed 000 limitations).
    """
    crosses = is_managed_by_default(after) and not is_managed_by_default(before)
    if not crosses or install is not InstallProfile.DRIVER_ONLY:
        return install
    declared = declared or GpuProfile()
    mode = declared.management_mode or cluster_default
    if mode is UNMANAGED or declared.mig_profile or declared.mig_profiles:
        return install
    return InstallProfile.EVERYTHING


def check_cluster_default(
    mode: ManagementMode | None, version: KubernetesVersion, features: frozenset[str]
) -> None:
    """Check the cluster-level default for pools.

    Raises:
        FeatureNotRegistered: Managed below the gate without the preview feature.
    """
    if mode is MANAGED and not is_managed_by_default(version) and not has_feature(features):
        raise FeatureNotRegistered(
            FEATURE_MISSING, target="properties.gpuProfile.nvidia.managementMode"
        )
