"""The managed cluster: the ARM parent of agent pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from poolwright.model.agent_pool import ProvisioningState
from poolwright.model.errors import ErrorDetail
from poolwright.model.gpu import ManagementMode
from poolwright.model.instant import Instant
from poolwright.model.record import Kind


@dataclass(frozen=True, slots=True)
class ManagedClusterSpec:
    """What a cluster shall be. Names keep the casing they were created with.

    ``kubernetes_version`` is as sent (``1.35``), ``current_kubernetes_version`` the exact goal.
    ``autoscaler_profile`` holds the effective strings by wire name. ``profile`` is the world's
    rule set: empty for today's, ``preview-2019``. ``is_adopted`` says that somebody
    else made the control plane and alone changes it; ``adopted_uid`` is then the uid of the
    cluster's namespace ``kube-system``, as far as known. ``accepted`` holds all further properties
    by wire name, as canonical JSON; ``identity``, ``sku`` and such top-level members too, by name.
    """

    subscription: str
    resource_group: str
    name: str
    location: str
    kubernetes_version: str
    current_kubernetes_version: str
    dns_prefix: str
    node_resource_group: str
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    is_stopped: bool = False
    network_plugin: str = "azure"
    network_plugin_mode: str | None = "overlay"
    gpu_management_mode: ManagementMode | None = None
    autoscaler_profile: Mapping[str, str] = field(default_factory=dict[str, str])
    tier: str = "Free"
    profile: str = ""
    is_adopted: bool = False
    adopted_uid: str = ""
    accepted: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a control plane that somebody else runs did not answer, or refused us."""

    since: Instant
    since_wall: datetime
    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class ManagedClusterStatus:
    """As `AgentPoolStatus`: what must survive a crash, and what reads show."""

    provisioning_state: ProvisioningState = ProvisioningState.CREATING
    operation_id: str | None = None
    abort_operation_id: str | None = None
    operation_started_at: Instant | None = None
    operation_deadline: Instant | None = None
    observed_generation: int = 0
    is_halted: bool = False
    running_kubernetes_version: str = ""
    control_plane_ready_at: Instant | None = None
    """When the control plane that is being made, upgraded, started or stopped will be done."""
    error: ErrorDetail | None = None
    message: str = ""
    outage: Outage | None = None
    """Of an adopted cluster that cannot be reached."""
    outage_ended_at: Instant | None = None
    """When the latest one was over: what was late because of it has its time again from then."""


MANAGED_CLUSTER: Kind[ManagedClusterSpec, ManagedClusterStatus] = Kind(
    "ManagedCluster", ManagedClusterSpec, ManagedClusterStatus
)


@dataclass(frozen=True, slots=True)
class DocumentSpec:
    """A resource that is only kept and shown: resource groups, snapshots, maintenance
    configurations, feature and provider registrations, deployments' bodies.
    """

    name: str
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """A state with the moment it was entered, for documents that have one."""

    state: str = ""
    since: Instant | None = None
    since_wall: datetime | None = None
    error: ErrorDetail | None = None
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
