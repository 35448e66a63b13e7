"""Every route of the ARM front, module by module."""

from __future__ import annotations

from poolwright.arm import (
    compute,
    deployments,
    features,
    location_lists,
    maintenance,
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
    *deployments.ROUTES,
    *maintenance.ROUTES,
    *snapshots.ROUTES,
)
