"""The catalogues: VM sizes, Kubernetes versions and node images; read once from data files.

Each file in ``data/`` names its source; ``tools/make_catalog.py`` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from poolwright.model.gpu import MigProfile
from poolwright.model.version import KubernetesVersion


@dataclass(frozen=True, slots=True)
class MigLayout:
    """What one MIG profile makes of a size: NVIDIA's profile name (``1g.10gb``) and counts."""

    profile: str
    per_gpu: int
    per_node: int


@dataclass(frozen=True, slots=True)
class GpuModel:
    """The GPUs of a size. ``count`` is what a device plugin reports without MIG."""

    vendor: str
    model: str
    count: int
    memory_mib: int
    resource: str
    driver_flavour: str | None
    driver_version: str | None
    windows_driver_type: str | None
    is_managed_supported: bool
    is_aks_listed: bool
    aks_os: tuple[str, ...]
    mig: Mapping[MigProfile, MigLayout]


@dataclass(frozen=True, slots=True)
class VmSize:
    """A VM size. ``retired`` is the month of its retirement in Azure (creatable here, with a
    warning), or empty.
    """

    name: str
    family: str
    vcpus: int
    memory_mib: int
    architecture: str
    gpu: GpuModel | None = None
    retired: str = ""

    @property
    def is_nvidia(self) -> bool:
        """Whether the size has NVIDIA GPUs."""
        return self.gpu is not None and self.gpu.vendor == "nvidia"


@dataclass(frozen=True, slots=True)
class MinorVersion:
    """A Kubernetes minor with the patches on offer, oldest first."""

    minor: str
    patches: tuple[KubernetesVersion, ...]
    capabilities: tuple[str, ...] = ("KubernetesOfficial",)
    is_default: bool = False
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class NodeImage:
    """Component versions of one node image release, such as ``202607.09.0``."""

    version: str
    components: Mapping[str, str] = field(default_factory=dict[str, str])


def _load(name: str) -> dict[str, Any]:
    return json.loads(resources.files("poolwright.model").joinpath(f"data/{name}").read_bytes())


def _size(row: Mapping[str, Any]) -> VmSize:
    gpu = row.get("gpu")
    return VmSize(
        name=row["name"],
        family=row["family"],
        vcpus=row["vcpus"],
        memory_mib=row["memory_mib"],
        architecture=row["architecture"],
        retired=row.get("retired", ""),
        gpu=gpu
        and GpuModel(
            **{k: v for k, v in gpu.items() if k not in {"mig", "aks_os"}},
            aks_os=tuple(gpu["aks_os"]),
            mig={MigProfile(name): MigLayout(**layout) for name, layout in gpu["mig"].items()},
        ),
    )


@cache
def vm_sizes() -> Mapping[str, VmSize]:
    """Every known size by its name in lower case."""
    return {row["name"].lower(): _size(row) for row in _load("vm_sizes.json")["sizes"]}


def vm_size(name: str) -> VmSize | None:
    """A size by name in any casing; a ``_Promo`` suffix does not count."""
    return vm_sizes().get(name.lower().removesuffix("_promo"))


@cache
def families() -> frozenset[str]:
    """The names that a vCPU quota may have, in lower case; ``cores`` is the regional total."""
    return frozenset({"cores"} | {size.family.lower() for size in vm_sizes().values()})


@cache
def kubernetes_minors(profile: str = "") -> tuple[MinorVersion, ...]:
    """The minors on offer, oldest first; ``profile`` is empty or ``preview-2019``."""
    data = _load("kubernetes_versions.json")
    rows = data["profiles"][profile] if profile else data["versions"]
    return tuple(
        MinorVersion(
            minor=row["minor"],
            patches=tuple(sorted(KubernetesVersion.parse(p) for p in row["patches"])),
            capabilities=tuple(row.get("capabilities", ("KubernetesOfficial",))),
            is_default=row.get("isDefault", False),
            is_preview=row.get("isPreview", False),
        )
        for row in rows
    )


def default_kubernetes_version(profile: str = "") -> KubernetesVersion:
    """The newest patch of the default minor (of the newest minor, if none is marked)."""
    minors = kubernetes_minors(profile)
    return next((m for m in minors if m.is_default), minors[-1]).patches[-1]


def resolve_kubernetes_version(text: str, profile: str = "") -> KubernetesVersion | None:
    """``1.35`` → its newest patch on offer, ``1.35.4`` → itself if on offer, else None."""
    for minor in kubernetes_minors(profile):
        if text == minor.minor:
            return minor.patches[-1]
        for patch in minor.patches:
            if text == str(patch):
                return patch
    return None


@cache
def regions() -> Mapping[str, str]:
    """The regions that there are, and the names that people read."""
    return dict(_load("regions.json")["regions"])


@cache
def node_images() -> tuple[NodeImage, ...]:
    """Node image releases, oldest first."""
    return tuple(
        NodeImage(row["version"], {k: v for k, v in row.items() if isinstance(v, str)})
        for row in _load("node_images.json")["images"]
    )


_IMAGE_FAMILY: Mapping[tuple[str, str], str] = {
    # Source: data/node_images.json and AKS VHD notes; (osSKU, architecture) → image family.
    ("Ubuntu", "amd64"): "AKSUbuntu-2204gen2containerd",
    ("Ubuntu", "arm64"): "AKSUbuntu-2204gen2arm64containerd",
    ("Ubuntu2204", "amd64"): "AKSUbuntu-2204gen2containerd",
    ("Ubuntu2204", "arm64"): "AKSUbuntu-2204gen2arm64containerd",
    ("Ubuntu2404", "amd64"): "AKSUbuntu-2404gen2containerd",
    ("Ubuntu2404", "arm64"): "AKSUbuntu-2404gen2arm64containerd",
    ("AzureLinux", "amd64"): "AKSAzureLinux-V3gen2",
    ("AzureLinux", "arm64"): "AKSAzureLinux-V3gen2arm64",
    ("AzureLinux3", "amd64"): "AKSAzureLinux-V3gen2",
    ("CBLMariner", "amd64"): "AKSCBLMariner-V2gen2",
    ("Windows2019", "amd64"): "AKSWindows-2019-containerd",
    ("Windows2022", "amd64"): "AKSWindows-2022-containerd-gen2",
    ("Windows2025", "amd64"): "AKSWindows-2025-containerd-gen2",
}


def node_image_version(os_sku: str, architecture: str = "amd64", release: str = "") -> str:
    """The full node image version, such as ``AKSUbuntu-2204gen2containerd-202607.09.0``.

    ``release`` is the newest one if empty. Unknown OS SKUs get a family of their own name.
    """
    family = _IMAGE_FAMILY.get((os_sku, architecture), f"AKS{os_sku}-gen2containerd")
    return f"{family}-{release or node_images()[-1].version}"


@cache
def autoscaler_profile_defaults() -> Mapping[str, Any]:
    """The cluster autoscaler profile of AKS: option name → default in its unit."""
    return {row["name"]: row for row in _load("autoscaler_profile.json")["profile"]}
