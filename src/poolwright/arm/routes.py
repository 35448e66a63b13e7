"""Every route of the ARM front, module by module."""

from __future__ import annotations

from poolwright.arm import (
    agent_pools,
    agent_pools_actions,
    compute,
    credentials,
    deployments,
    deployments_what_if,
    features,
    location_lists,
    machines,
    maintenance,
    managed_clusters,
    managed_clusters_actions,
    managed_clusters_children,
    metadata,
    operations,
    providers,
    resource_groups,
    resources,
    scarcity,
    snapshots,
    subscriptions,
    upgrade_profiles,
)
from poolwright.arm.routing import Route

ROUTES: tuple[Route, ...] = (
    *metadata.ROUTES,
    *subscriptions.ROUTES,
    *providers.ROUTES,
    *features.ROUTES,
    *resource_groups.ROUTES,
    *resources.ROUTES,
    *compute.ROUTES,
    *location_lists.ROUTES,
    *scarcity.ROUTES,
    *operations.ROUTES,
    *managed_clusters.ROUTES,
    *managed_clusters_actions.ROUTES,
    *managed_clusters_children.ROUTES,
    *credentials.ROUTES,
    *agent_pools.ROUTES,
    *agent_pools_actions.ROUTES,
    *machines.ROUTES,
    *upgrade_profiles.ROUTES,
    *deployments.ROUTES,
    *deployments_what_if.ROUTES,
    *maintenance.ROUTES,
    *snapshots.ROUTES,
)
