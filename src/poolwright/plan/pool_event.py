"""What people are told about a whole agent pool, as Kubernetes Events.

Source: decisions §1: a deprecation is a Warning header, a line in our CLI and an event on the pool.
"""

from __future__ import annotations

from poolwright.model.agent_pool import AgentPoolSpec, AgentPoolStatus, ProvisioningState
from poolwright.model.gpu import InstallProfile
from poolwright.model.record import Stored
from poolwright.model.version import KubernetesVersion
from poolwright.plan.actions import NodeEvent
from poolwright.plan.gpu_profile import TAG_DEPRECATED, has_managed_gpu_tag, is_managed_by_default
from poolwright.plan.plan import PoolPlan


def pool_events(
    before: Stored[AgentPoolSpec, AgentPoolStatus], plan: PoolPlan
) -> tuple[NodeEvent, ...]:
    """The events of one pass: when a pool was made, whether it was by a deprecated tag."""
    is_made = before.status.provisioning_state is ProvisioningState.CREATING
    if plan.end is None or not is_made or not _is_managed_by_tag(before.spec):
        return ()
    return (NodeEvent("DeprecatedTag", TAG_DEPRECATED, "Warning"),)


def _is_managed_by_tag(spec: AgentPoolSpec) -> bool:
    declared = spec.gpu.management_mode if spec.gpu is not None else None
    return (
        spec.install_profile is InstallProfile.EVERYTHING
        and declared is None
        and has_managed_gpu_tag(spec.tags)
        and not is_managed_by_default(KubernetesVersion.parse(spec.kubernetes_version))
    )
