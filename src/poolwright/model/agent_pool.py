"""The agent pool: what the user asked for (spec) and what the control plane remembers (status)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from poolwright.model.errors import ErrorDetail
from poolwright.model.gpu import GpuProfile, InstallProfile
from poolwright.model.instant import Instant
from poolwright.model.record import Kind
from poolwright.model.taint import Taint


class ProvisioningState(StrEnum):
    """ARM's word on a pool or cluster. Only the last three are terminal."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SCALING = "Scaling"
    UPGRADING = "Upgrading"
    UPGRADING_NODE_IMAGE = "UpgradingNodeImageVersion"
    STARTING = "Starting"
    STOPPING = "Stopping"
    DELETING = "Deleting"
    CANCELING = "Canceling"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_terminal(self) -> bool:
        """Whether no operation runs in this state."""
        return self in {
            ProvisioningState.SUCCEEDED,
            ProvisioningState.FAILED,
            ProvisioningState.CANCELED,
        }


class PoolMode(StrEnum):
    """``mode``."""

    SYSTEM = "System"
    USER = "User"
    GATEWAY = "Gateway"


class UndrainableNodeBehavior(StrEnum):
    """``upgradeSettings.undrainableNodeBehavior``."""

    SCHEDULE = "Schedule"
    CORDON = "Cordon"


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """As declared; None is undeclared (effective: 10 %, 0, 30 min, 0 min, Schedule).

    ``max_surge`` and ``max_unavailable`` are ``"3"`` or ``"33%"``.
    """

    max_surge: str | None = None
    max_unavailable: str | None = None
    drain_timeout_in_minutes: int | None = None
    node_soak_duration_in_minutes: int | None = None
    undrainable_node_behavior: UndrainableNodeBehavior | None = None
    max_blocked_nodes: str | None = None


@dataclass(frozen=True, slots=True)
class SizeCount:
    """So many machines of a size."""

    size: str
    count: int


@dataclass(frozen=True, slots=True)
class AgentPoolSpec:
    """What a pool shall be, after defaults.

    ``orchestrator_version`` is as the user sent it (``1.35`` or ``1.35.4``; reads echo it);
    ``kubernetes_version`` is the exact version that nodes shall have. ``node_image_version`` is
    the image that nodes shall have. ``is_stopped`` is the power state asked for; ``count``
    keeps the number to come back to. ``doomed_machines`` are names that `deleteMachines` took
    out: they go without a drain. ``declared_management`` of ``gpu`` is as sent; what the nodes
    get is ``install_profile``. ``accepted`` holds every further property of the wire, as
    canonical JSON by wire name, that has no effect in the world. ``sizes`` are those of a pool of
    type VirtualMachines (``count`` is their sum, ``vm_size`` the first); empty for all others.
    """

    name: str
    vm_size: str
    count: int
    kubernetes_version: str
    node_image_version: str
    orchestrator_version: str = ""
    enable_auto_scaling: bool = False
    min_count: int | None = None
    max_count: int | None = None
    mode: PoolMode = PoolMode.USER
    os_type: str = "Linux"
    os_sku: str = "Ubuntu"
    pool_type: str = "VirtualMachineScaleSets"
    max_pods: int = 110
    os_disk_size_gb: int = 128
    os_disk_type: str = "Managed"
    node_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    node_taints: tuple[Taint, ...] = ()
    node_initialization_taints: tuple[Taint, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    availability_zones: tuple[str, ...] = ()
    scale_down_mode: str = "Delete"
    scale_set_priority: str = "Regular"
    scale_set_eviction_policy: str | None = None
    spot_max_price: float | None = None
    upgrade_settings: UpgradeSettings = field(default_factory=UpgradeSettings)
    is_stopped: bool = False
    gpu: GpuProfile | None = None
    install_profile: InstallProfile = InstallProfile.NO_GPU
    doomed_machines: tuple[str, ...] = ()
    sizes: tuple[SizeCount, ...] = ()
    accepted: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class DrainMemory:
    """What must survive a crash about one machine that leaves: when its drain began, until when
    it soaks. Keyed by machine name; ``uid`` is the incarnation it was planned for.
    """

    uid: str
    started_at: Instant | None = None
    soak_until: Instant | None = None


@dataclass(frozen=True, slots=True)
class RecentVersion:
    """What a pool ran before: offered for a rollback for some days (``at`` is wall time)."""

    orchestrator_version: str
    node_image_version: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AgentPoolStatus:
    """What cannot be observed and must survive a crash, and what reads show.

    ``operation_id`` is the operation that runs (None in terminal states) and ``operation_deadline``
    when it fails. ``observed_generation`` is the spec that ``provisioning_state`` is about.
    ``next_machine_index`` is raised in the same guarded write that plans a creation, so that a
    name is never used twice. ``is_halted``: the latest operation was aborted, nothing is done
    until the next PUT. ``vmss_number`` are the eight digits of machine names.
    """

    provisioning_state: ProvisioningState = ProvisioningState.CREATING
    operation_id: str | None = None
    abort_operation_id: str | None = None
    operation_started_at: Instant | None = None
    operation_deadline: Instant | None = None
    observed_generation: int = 0
    vmss_number: str = ""
    next_machine_index: int = 0
    pending_machines: tuple[int, ...] = ()
    """Indexes of machines that were planned and are not seen yet: asked for again by name."""
    leaving: tuple[str, ...] = ()
    """Machines that the autoscaler chose to go: first in line when the pool shrinks, with drain."""
    surge_limit: int | None = None
    """How many surge machines the region could give to this operation; None: no refusal yet."""
    is_halted: bool = False
    machine_count: int = 0
    ready_count: int = 0
    current_kubernetes_version: str = ""
    drains: Mapping[str, DrainMemory] = field(default_factory=dict[str, DrainMemory])
    missing_since: Mapping[str, Instant] = field(default_factory=dict[str, Instant])
    """Machines that run and whose Node is not there: somebody deleted it."""
    unneeded_since: Mapping[str, Instant] = field(default_factory=dict[str, Instant])
    last_scale_up_at: Instant | None = None
    last_scale_down_at: Instant | None = None
    scale_up_backoff_until: Instant | None = None
    """The autoscaler leaves the pool alone until then: its last growth was refused."""
    recent_versions: tuple[RecentVersion, ...] = ()
    error: ErrorDetail | None = None
    message: str = ""
    """What the operation waits for now, for people."""


AGENT_POOL: Kind[AgentPoolSpec, AgentPoolStatus] = Kind("AgentPool", AgentPoolSpec, AgentPoolStatus)


class OperationState(StrEnum):
    """The state of a long-running operation; the last three are terminal."""

    IN_PROGRESS = "InProgress"
    CANCELING = "Canceling"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_terminal(self) -> bool:
        """Whether the operation has ended."""
        return self in {OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELED}


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """An accepted operation: on which resource, and what it does.

    ``resource_id`` is the ARM id with its stored casing; ``pool`` is empty for operations on a
    cluster or below a subscription. ``type`` is the name of the provisioning state that shows
    while it runs.
    """

    resource_id: str
    type: str
    pool: str = ""
    region: str = ""
    final_body: bool = False
    """Whether ``operationresults`` answers 200 with the resource at the end, instead of 204."""


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """How it goes. ``message`` is the free status text while it runs (``InProgress`` if empty)."""

    state: OperationState
    started_at: datetime
    ended_at: datetime | None = None
    error: ErrorDetail | None = None
    error_details: tuple[ErrorDetail, ...] = ()
    message: str = ""
    percent_complete: int = 0


OPERATION: Kind[OperationSpec, OperationStatus] = Kind("Operation", OperationSpec, OperationStatus)
