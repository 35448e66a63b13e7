"""Every route of the ARM front, module by module."""

from __future__ import annotations

from poolwright.arm import (
    agent_pools,
    compute,
    deployments,
    features,
    location_lists,
    maintenance,
    managed_clusters,
    metadata,
    operations,
    providers,
    resource_groups,
    resources,
    scarcity,
    snapshots,
    subscriptions,
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
    *agent_pools.ROUTES,
    *deployments.ROUTES,
    *maintenance.ROUTES,
    *snapshots.ROUTES,
)
