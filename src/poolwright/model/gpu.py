"""What can be asked of the GPUs of a pool, and what a node of it then gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GpuDriver(StrEnum):
    """``gpuProfile.driver``."""

    INSTALL = "Install"
    NONE = "None"


class ManagementMode(StrEnum):
    """``gpuProfile.nvidia.managementMode``."""

    MANAGED = "Managed"
    UNMANAGED = "Unmanaged"


class MigStrategy(StrEnum):
    """``gpuProfile.nvidia.migStrategy``."""

    NONE = "None"
    SINGLE = "Single"
    MIXED = "Mixed"


class MigProfile(StrEnum):
    """``gpuInstanceProfile``."""

    MIG1G = "MIG1g"
    MIG2G = "MIG2g"
    MIG3G = "MIG3g"
    MIG4G = "MIG4g"
    MIG7G = "MIG7g"


class InstallProfile(StrEnum):
    """The GPU software a node gets (decisions §1): fixed when the pool is created."""

    NO_GPU = "NoGpu"
    """Not a Linux pool with an NVIDIA size: the table does not apply."""
    NOTHING = "Nothing"
    """An NVIDIA pool whose users bring driver and everything else."""
    DRIVER_ONLY = "DriverOnly"
    EVERYTHING = "Everything"
    """Driver, device plugin, DCGM and its exporter, health rules."""


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """What a user declared, as sent; None is *undeclared*. ``nvidia_declared`` tells an empty
    ``nvidia`` block from an absent one.
    """

    driver: GpuDriver | None = None
    driver_type: str | None = None
    nvidia_declared: bool = False
    management_mode: ManagementMode | None = None
    mig_strategy: MigStrategy | None = None
    driver_mode: str | None = None
    mig_profiles: tuple[MigProfile, ...] = ()
    mig_profile: MigProfile | None = None
    """``gpuInstanceProfile``: on the wire a sibling of ``gpuProfile``, here part of it."""
