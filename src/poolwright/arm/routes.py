"""Every route of the ARM front, module by module."""

from __future__ import annotations

from poolwright.arm import (
    features,
    metadata,
    operations,
    providers,
    resource_groups,
    resources,
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
    *operations.ROUTES,
)
