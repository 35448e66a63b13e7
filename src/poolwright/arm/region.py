"""Azure regions as ARM writes them: names, and the names that people read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from poolwright.model import catalog

_WELL_FORMED = re.compile(r"[a-z][a-z0-9]{1,49}")

# Source: `az account list-locations` (published names), in the catalogue's order.
_DISPLAY_NAMES: Mapping[str, str] = {
    "eastus": "East US",
    "eastus2": "East US 2",
    "eastus2euap": "East US 2 EUAP",
    "westus2": "West US 2",
    "westus3": "West US 3",
    "westcentralus": "West Central US",
    "centralus": "Central US",
    "southcentralus": "South Central US",
    "uksouth": "UK South",
    "westeurope": "West Europe",
    "northeurope": "North Europe",
    "swedencentral": "Sweden Central",
    "francecentral": "France Central",
    "japaneast": "Japan East",
    "southeastasia": "Southeast Asia",
    "australiaeast": "Australia East",
}


def normal_region(text: str) -> str:
    """``East US`` → ``eastus``: how ARM compares and stores locations."""
    return "".join(text.split()).lower()


def is_region(normal: str) -> bool:
    """Whether a normalised name can be a region; any well-formed one can."""
    return _WELL_FORMED.fullmatch(normal) is not None


def display_name(region: str) -> str:
    """What people read; the name itself for regions that are not listed."""
    return _DISPLAY_NAMES.get(region, region)


def display_names() -> list[str]:
    """All listed regions as provider documents list them."""
    return [display_name(region) for region in catalog.regions()]
