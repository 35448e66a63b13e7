"""Every route of the ARM front, module by module."""

from __future__ import annotations

from poolwright.arm import operations
from poolwright.arm.routing import Route

ROUTES: tuple[Route, ...] = (*operations.ROUTES,)
