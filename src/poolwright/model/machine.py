"""A machine of a machine provider, and what is asked of the provider to get one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import ErrorDetail
from poolwright.model.gpu import InstallProfile, MigProfile, MigStrategy
from poolwright.model.instant import Instant
from poolwright.model.taint import Taint


class MachinePhase(StrEnum):
    """Where a machine is in its life, in the provider's eyes."""

    CREATING = "Creating"
    """Asked for; the VM exists and boots, or waits to be allocated."""
    BOOTSTRAPPING = "Bootstrapping"
    """Booted; driver, kubelet and the rest of the image's first start run."""
    RUNNING = "Running"
    """Bootstrapped; the kubelet runs."""
    STOPPED = "Stopped"
    """Deallocated; keeps name and uid."""
    FAILED = "Failed"
    """Could not be allocated or bootstrapped; stays for inspection."""
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Everything a machine needs to become a node of its pool."""

    kubernetes_version: str
    node_image_version: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    max_pods: int = 110
    os_disk_size_gb: int = 128
    os_sku: str = "Ubuntu"
    install_profile: InstallProfile = InstallProfile.NO_GPU
    mig_strategy: MigStrategy | None = None
    mig_profile: MigProfile | None = None


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """Asks for one machine. The name makes it idempotent: asking twice is asking once.

    ``generation`` tags the machine with the pool's generation that planned it.
    """

    cluster: ClusterKey
    pool: str
    name: str
    region: str
    vm_size: str
    generation: int
    bootstrap: Bootstrap
    zone: str = ""
    spot: bool = False
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as observed. ``uid`` is its incarnation: a reimage or re-creation changes it.

    ``phase_since`` is when the phase began; ``step`` names the bootstrap step that runs or
    failed; ``failure`` says why it is FAILED, in the wire codes of Azure.
    """

    cluster: ClusterKey
    pool: str
    name: str
    uid: str
    region: str
    vm_size: str
    phase: MachinePhase
    phase_since: Instant
    created_at: datetime
    generation: int
    bootstrap: Bootstrap
    instance_id: str = ""
    zone: str = ""
    spot: bool = False
    private_ip: str = ""
    step: str = ""
    failure: ErrorDetail | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
