"""What people are told about a whole agent pool, as Kubernetes Events.

Source: decisions §1: a deprecation is a Warning header, a line in our CLI and an event on the pool;
so is, beforehand, that an upgrade over the Kubernetes gate makes a pool managed.
"""

from __future__ import annotations

from collections.abc import Iterator

from poolwright.model.agent_pool import AgentPoolSpec, ProvisioningState
from poolwright.model.gpu import InstallProfile
from poolwright.model.version import KubernetesVersion
from poolwright.plan.actions import NodeEvent
from poolwright.plan.gpu_profile import (
    CROSSING,
    TAG_DEPRECATED,
    has_managed_gpu_tag,
    is_managed_by_default,
)
from poolwright.plan.plan import PoolPlan
from poolwright.plan.world import PoolWorld


def pool_events(world: PoolWorld, plan: PoolPlan) -> Iterator[NodeEvent]:
    """The events of one pass: when a pool was made, whether it was by a deprecated tag; when an
    upgrade begins, whether its new nodes get software that the pool's nodes have not.
    """
    spec, before = world.pool.spec, world.pool.status
    is_made = plan.end is not None and before.provisioning_state is ProvisioningState.CREATING
    if is_made and _is_managed_by_tag(spec):
        yield NodeEvent("DeprecatedTag", TAG_DEPRECATED, "Warning")
    is_upgrade = before.provisioning_state is ProvisioningState.UPGRADING
    begins = before.operation_deadline is None and plan.status.operation_deadline is not None
    if is_upgrade and begins and _becomes_managed(world):
        yield NodeEvent("ManagedGPUEnabled", CROSSING.format(pool=spec.name))


def _becomes_managed(world: PoolWorld) -> bool:
    """The profile is fixed at creation but for the upgrade over the gate, so nodes that have only
    the driver in a pool that has everything are older than that.
    """
    is_managed = world.pool.spec.install_profile is InstallProfile.EVERYTHING
    return is_managed and any(
        machine.bootstrap.install_profile is InstallProfile.DRIVER_ONLY
        for machine in world.machines
    )


def _is_managed_by_tag(spec: AgentPoolSpec) -> bool:
    declared = spec.gpu.management_mode if spec.gpu is not None else None
    return (
        spec.install_profile is InstallProfile.EVERYTHING
        and declared is None
        and has_managed_gpu_tag(spec.tags)
        and not is_managed_by_default(KubernetesVersion.parse(spec.kubernetes_version))
    )
