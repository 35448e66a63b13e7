"""Limits of the product, each with its source. They are constants, not settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may become under one rule set."""

    pools_per_cluster: int
    nodes_per_pool: int
    nodes_per_cluster: int


TODAY = Limits(pools_per_cluster=100, nodes_per_pool=1000, nodes_per_cluster=5000)
"""Source: AKS quotas-skus-regions (2026-08)."""

PREVIEW_2019 = Limits(pools_per_cluster=8, nodes_per_pool=400, nodes_per_cluster=400)
"""Source: AKS use-multiple-node-pools (2019-05-17): eight pools, 400 nodes across them."""


def limits(profile: str) -> Limits:
    """The limits of a rule set: empty for today's, or ``preview-2019``."""
    return PREVIEW_2019 if profile == "preview-2019" else TODAY


POOL_NAME_PATTERN = r"[a-z][a-z0-9]{0,11}"
"""Source: swagger of managedClusters/agentPools."""
POOL_NAME_WINDOWS_MAX = 6
POOL_NAMES_RESERVED = frozenset({"aksmanagedap"})
"""Source: AKS release notes."""
CLUSTER_NAME_PATTERN = r"[a-zA-Z0-9]|[a-zA-Z0-9][-_a-zA-Z0-9]{0,61}[a-zA-Z0-9]"
DNS_PREFIX_PATTERN = r"[a-zA-Z0-9]|[a-zA-Z0-9][-a-zA-Z0-9]{0,52}[a-zA-Z0-9]"

MAX_PODS_MIN = 10
MAX_PODS_MAX = 250
SYSTEM_MAX_PODS_MIN = 30
"""Source: AKS use-system-pools: system pools must hold at least 30 pods."""

OS_DISK_GB_MAX = 2048
OS_DISK_GB_MIN = 30

SYSTEM_VCPUS_MIN = 2
SYSTEM_MEMORY_MIB_MIN = 4096
"""AKS documents 4 vCPUs; Ours: 2, so that Standard_DS2_v2 works as it does in AKS' tutorials."""
POOL_VCPUS_MIN = 2
POOL_MEMORY_MIB_MIN = 2048
"""Source: AKS quotas-skus-regions, restricted VM sizes."""

MINOR_SKEW_MAX = 2
"""Pool minors behind the control plane. Source: AKS use-multiple-node-pools."""

ROLLBACK_WINDOW = timedelta(days=7)
"""How long a replaced version can be rolled back to. Source: AKS node pool rollback."""

TAGS_MAX = 50
TAG_NAME_MAX = 512
TAG_VALUE_MAX = 256
"""Source: ARM tag limits."""

VM_SCALE_PROFILES_MAX = 5
"""Sizes in a VirtualMachines pool. Source: AKS virtual-machines-node-pools."""

MANAGED_GPU_MINOR = (1, 36)
"""From this Kubernetes minor on, managed GPU is the default. Source: seed 003, GA."""
