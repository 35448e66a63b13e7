"""What Microsoft.Compute says about a region: its sizes with their restrictions, and vCPU usage.

Sizes come from the catalogue, restrictions and usage from the machine provider.
Source of shapes: the ResourceSku and Usage models of Microsoft.Compute (2019-04-01 and later).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.odata import passes, read_filter
from poolwright.arm.region import normal_region, regions
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model import catalog
from poolwright.model.catalog import VmSize
from poolwright.model.errors import Unsupported
from poolwright.model.scarcity import Restriction

ZONES = ("1", "2", "3")
_FILTER_FIELDS = frozenset({"location"})
_ARCHITECTURES = {"amd64": "x64", "arm64": "Arm64"}


def _gib(mib: int) -> str:
    """Memory as Compute writes it: ``7`` or ``3.5``."""
    return f"{mib / 1024:g}"


def _capabilities(size: VmSize) -> list[dict[str, str]]:
    values = {
        "MaxResourceVolumeMB": str(size.memory_mib * 2),
        "OSVhdSizeMB": "1047552",
        "vCPUs": str(size.vcpus),
        "vCPUsAvailable": str(size.vcpus),
        "HyperVGenerations": "V1,V2",
        "CpuArchitectureType": _ARCHITECTURES.get(size.architecture, size.architecture),
        "MemoryGB": _gib(size.memory_mib),
        "PremiumIO": "True",
        "EphemeralOSDiskSupported": "True",
        "EncryptionAtHostSupported": "True",
        "AcceleratedNetworkingEnabled": "True",
        "LowPriorityCapable": "True",
    }
    if size.gpu is not None:
        values["GPUs"] = str(size.gpu.count)
    return [{"name": name, "value": value} for name, value in values.items()]


def _restrictions(rows: Iterable[Restriction], region: str) -> list[dict[str, Any]]:
    wire: list[dict[str, Any]] = []
    for row in rows:
        info: dict[str, Any] = {"locations": [region]}
        if row.zones:
            info["zones"] = list(row.zones)
        wire.append(
            {
                "type": "Zone" if row.zones else "Location",
                "values": [region],
                "restrictionInfo": info,
                "reasonCode": row.reason,
            }
        )
    return wire


def _wire_sku(size: VmSize, region: str, rows: Sequence[Restriction]) -> dict[str, Any]:
    name = size.name.removeprefix("Standard_")
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": name,
        "family": size.family,
        "locations": [region],
        "locationInfo": [{"location": region, "zones": list(ZONES), "zoneDetails": []}],
        "capabilities": _capabilities(size),
        "restrictions": _restrictions(rows, region),
    }


async def restrictions_of(context: ArmContext, region: str) -> Mapping[str, Sequence[Restriction]]:
    """The restrictions of a region, by size in lower case; none if the provider cannot tell."""
    try:
        scarcity = await context.machine_provider.scarcity(region)
    except Unsupported:
        return {}
    found: dict[str, list[Restriction]] = {}
    for row in scarcity.restrictions:
        if not row.region or normal_region(row.region) == region:
            found.setdefault(row.vm_size.lower(), []).append(row)
    return found


async def skus_of(context: ArmContext, region: str) -> list[dict[str, Any]]:
    """Every size of the catalogue as a SKU of one region."""
    restrictions = await restrictions_of(context, region)
    return [
        _wire_sku(size, region, restrictions.get(name, ()))
        for name, size in sorted(catalog.vm_sizes().items())
    ]


async def list_skus(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``Microsoft.Compute/skus``, with ``$filter=location eq '…'``."""
    terms = read_filter(request.query.get("$filter", ""), _FILTER_FIELDS)
    skus: list[dict[str, Any]] = []
    for region in regions(context):
        if passes(terms, {"location": region}) or any(
            term.is_equal and normal_region(term.value) == region for term in terms
        ):
            skus += await skus_of(context, region)
    return listing(skus)


async def list_usages(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``Microsoft.Compute/locations/{location}/usages``."""
    usages = await context.machine_provider.usage(normal_region(request.names["location"]))
    return listing(
        [
            {
                "currentValue": usage.used,
                "limit": usage.limit,
                "name": {"value": usage.family, "localizedValue": _family_name(usage.family)},
                "unit": "Count",
            }
            for usage in usages
        ]
    )


def _family_name(family: str) -> str:
    """``standardNCADSA100v4Family`` → ``Standard NCADSA100v4 Family vCPUs``."""
    if family.lower() == "cores":
        return "Total Regional vCPUs"
    if family.lower() == "lowprioritycores":
        return "Total Regional Spot vCPUs"
    bare = family
    if bare.lower().startswith("standard"):
        bare = bare[len("standard") :]
    if bare.lower().endswith("family"):
        bare = bare[: -len("family")]
    return f"Standard {bare.strip(' _')} Family vCPUs"


async def list_sizes(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``Microsoft.Compute/locations/{location}/vmSizes``, the older list."""
    return listing(
        [
            {
                "name": size.name,
                "numberOfCores": size.vcpus,
                "memoryInMB": size.memory_mib,
                "osDiskSizeInMB": 1047552,
                "resourceDiskSizeInMB": size.memory_mib * 2,
                "maxDataDiskCount": min(64, size.vcpus * 2),
            }
            for _, size in sorted(catalog.vm_sizes().items())
        ]
    )


_COMPUTE = "/subscriptions/{subscription}/providers/Microsoft.Compute"

ROUTES: tuple[Route, ...] = (
    Route("GET", f"{_COMPUTE}/skus", list_skus),
    Route("GET", f"{_COMPUTE}/locations/{{location}}/usages", list_usages),
    Route("GET", f"{_COMPUTE}/locations/{{location}}/vmSizes", list_sizes),
)
