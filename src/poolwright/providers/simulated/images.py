"""Container images: full names, sizes, and how long a node needs to get them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

_MIB = 1024 * 1024

# Sizes in MiB as registries show them, compressed; assumed. Longest prefix wins.
_SIZES: Mapping[str, int] = {
    "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo": 1450,
    "nvcr.io/nvidia/k8s/cuda-sample": 110,
    "nvcr.io/nvidia/pytorch": 9200,
    "docker.io/nvidia/cuda": 1700,
    "docker.io/library/nginx": 43,
    "docker.io/library/busybox": 2,
    "docker.io/library/alpine": 3,
    "docker.io/library/ubuntu": 29,
    "docker.io/library/python": 360,
    "registry.k8s.io/pause": 1,
}

# What a node image carries already. Source: facts gpu-stack §0.5, §7.4.
_ON_NODE_IMAGE = (
    "mcr.microsoft.com/oss/",
    "mcr.microsoft.com/aks/",
    "mcr.microsoft.com/containernetworking/",
    "mcr.microsoft.com/azuremonitor/",
    "nvcr.io/nvidia/k8s-device-plugin",
    "nvcr.io/nvidia/k8s/dcgm-exporter",
    "registry.k8s.io/pause",
)

# Images by these names cannot be pulled, so that one can see what that looks like.
_MISSING = (
    *("*does-not-exist*", "*doesnotexist*", "*nonexistent*", "*non-existent*", "*not-found*"),
    *("invalid.*/*", "*.invalid/*", "*:404"),
    *("*doesnt-exist*", "localhost/*"),  # no registry listens on a node
)

_RESOLVE_SECONDS = 0.4  # assumed: to ask the registry
_BYTES_PER_SECOND = 90 * _MIB  # assumed: download and unpacking together


@dataclass(frozen=True, slots=True)
class Image:
    """An image as a node sees it."""

    reference: str
    size_bytes: int
    is_missing: bool
    is_on_node_image: bool

    @property
    def image_id(self) -> str:
        """Its name by digest, as container statuses show it."""
        repository = self.reference.rsplit(":", 1)[0]
        return f"{repository}@sha256:{hashlib.sha256(self.reference.encode()).hexdigest()}"

    @property
    def pull_seconds(self) -> float:
        """How long a pull takes in world seconds."""
        return _RESOLVE_SECONDS + self.size_bytes / _BYTES_PER_SECOND


def full_reference(name: str) -> str:
    """An image name as the container runtime completes it: registry, ``library/`` and tag.

    Source: the distribution reference grammar, as containerd normalises it.
    """
    head, _, tail = name.partition("/")
    if not tail:
        name = f"docker.io/library/{name}"
    elif "." not in head and ":" not in head and head != "localhost":
        name = f"docker.io/{name}"
    return name if ":" in name.rsplit("/", 1)[-1] or "@" in name else f"{name}:latest"


def image(name: str) -> Image:
    """What is known about an image."""
    reference = full_reference(name)
    known = [prefix for prefix in _SIZES if reference.startswith(prefix)]
    digest = hashlib.sha256(reference.encode()).digest()
    mib = _SIZES[max(known, key=len)] if known else 20 + digest[0]
    return Image(
        reference=reference,
        size_bytes=mib * _MIB + int.from_bytes(digest[1:4], "big") % _MIB,
        is_missing=any(fnmatch.fnmatchcase(reference, pattern) for pattern in _MISSING),
        is_on_node_image=reference.startswith(_ON_NODE_IMAGE),
    )
