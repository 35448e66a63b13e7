"""Azure regions as ARM writes them: names, and the names that people read."""

from __future__ import annotations

from poolwright.arm.context import ArmContext
from poolwright.model import catalog


def normal_region(text: str) -> str:
    """``East US`` → ``eastus``: how ARM compares and stores locations."""
    return "".join(text.split()).lower()


def regions(context: ArmContext) -> tuple[str, ...]:
    """The regions of this server: Azure's, and those that its settings add."""
    added = map(normal_region, context.settings.locations)
    return tuple(dict.fromkeys((*catalog.regions(), *added)))


def display_name(region: str) -> str:
    """What people read; the name itself for regions that settings added."""
    return catalog.regions().get(region, region)
