"""What Microsoft.ContainerService says about a region: versions, node images, sizes, and lists
that clients ask for along the way. Source: facts aks-api §2.4.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from poolwright.arm.api_versions import CONTAINER_SERVICE, is_preview, since
from poolwright.arm.compute import skus_of
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND
from poolwright.arm.region import normal_region
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Handler, Route
from poolwright.model import catalog

_OS_SKUS = ("Ubuntu", "Ubuntu2404", "AzureLinux", "Windows2022", "Windows2025")
_MESH_REVISIONS = ("asm-1-27", "asm-1-28", "asm-1-29")  # the newest three of the Istio add-on


def wire_kubernetes_versions() -> dict[str, Any]:
    """Minors with their patches and what each patch can be upgraded to."""
    minors = catalog.kubernetes_minors()
    above = {lower.minor: upper.patches for lower, upper in pairwise(minors)}
    values: list[dict[str, Any]] = []
    for minor in minors:
        value: dict[str, Any] = {
            "version": minor.minor,
            "capabilities": {"supportPlan": list(minor.capabilities)},
            "patchVersions": {
                str(patch): {
                    "upgrades": [
                        str(target)
                        for target in (*minor.patches, *above.get(minor.minor, ()))
                        if target > patch
                    ]
                }
                for patch in minor.patches
            },
        }
        if minor.is_default:
            value["isDefault"] = True
        if minor.is_preview:
            value["isPreview"] = True
        values.append(value)
    return {"values": values}


async def list_kubernetes_versions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``kubernetesVersions``; the top member is ``values``, not ``value``."""
    return ArmResponse(200, wire_kubernetes_versions())


async def list_orchestrators(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``orchestrators``, the form that az used until 2023."""
    orchestrators: list[dict[str, Any]] = []
    for minor in wire_kubernetes_versions()["values"]:
        for patch, entry in minor["patchVersions"].items():
            orchestrator: dict[str, Any] = {
                "orchestratorType": "Kubernetes",
                "orchestratorVersion": patch,
                "upgrades": [
                    {"orchestratorType": "Kubernetes", "orchestratorVersion": target}
                    for target in entry["upgrades"]
                ],
            }
            if patch == str(catalog.default_kubernetes_version()):
                orchestrator["default"] = True
            orchestrators.append(orchestrator)
    return ArmResponse(
        200,
        {
            "id": request.path,
            "name": "default",
            "type": "Microsoft.ContainerService/locations/orchestrators",
            "properties": {"orchestrators": orchestrators},
        },
    )


async def list_node_image_versions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``nodeImageVersions``: every release of every image, newest first."""
    images: list[dict[str, str]] = []
    for release in reversed(catalog.node_images()):
        for os_sku in _OS_SKUS:
            full = catalog.node_image_version(os_sku, release=release.version)
            os_name, sku, version = full.split("-", 2)
            version = version.rpartition("-")[2]
            sku = full.removeprefix(f"{os_name}-").removesuffix(f"-{version}")
            images.append({"fullName": full, "os": os_name, "sku": sku, "version": version})
    return listing(images)


async def list_vm_skus(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``vmSkus``: the sizes that node pools can have."""
    return listing(await skus_of(context, normal_region(request.names["location"])))


def _mesh_revisions(request: ArmRequest) -> dict[str, Any]:
    minors = [minor.minor for minor in catalog.kubernetes_minors()]
    revisions = [
        {
            "revision": revision,
            "upgrades": list(_MESH_REVISIONS[index + 1 : index + 3]),
            "compatibleWith": [{"name": "kubernetes", "versions": minors}],
        }
        for index, revision in enumerate(_MESH_REVISIONS)
    ]
    return {
        "id": f"/subscriptions/{request.subscription}/providers/Microsoft.ContainerService"
        f"/locations/{request.names['location']}/meshRevisionProfiles/istio",
        "name": "istio",
        "type": "Microsoft.ContainerService/locations/meshRevisionProfiles",
        "properties": {"meshRevisions": revisions},
    }


async def list_mesh_revisions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``meshRevisionProfiles``."""
    del context
    return listing([_mesh_revisions(request)])


async def get_mesh_revisions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``meshRevisionProfiles/istio``, the only mode there is."""
    del context
    if request.names["mode"].lower() != "istio":
        raise ENTITY_NOT_FOUND()
    return ArmResponse(200, _mesh_revisions(request))


async def list_nothing(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET a list of what is not offered here."""
    return listing([])


_OPERATIONS = (
    # (resource, verb, what it does)
    ("managedClusters", "read", "Gets a managed cluster"),
    ("managedClusters", "write", "Creates a new managed cluster or updates an existing one"),
    ("managedClusters", "delete", "Deletes a managed cluster"),
    ("managedClusters/start", "action", "Starts a managed cluster"),
    ("managedClusters/stop", "action", "Stops a managed cluster"),
    ("managedClusters/abort", "action", "Aborts the latest operation of a managed cluster"),
    (
        "managedClusters/listClusterAdminCredential",
        "action",
        "Lists the admin credential of a managed cluster",
    ),
    (
        "managedClusters/listClusterUserCredential",
        "action",
        "Lists the user credential of a managed cluster",
    ),
    ("managedClusters/upgradeProfiles", "read", "Gets the upgrade profile of a cluster"),
    ("managedClusters/agentPools", "read", "Gets an agent pool"),
    ("managedClusters/agentPools", "write", "Creates a new agent pool or updates an existing one"),
    ("managedClusters/agentPools", "delete", "Deletes an agent pool"),
    ("managedClusters/agentPools/abort", "action", "Aborts the latest operation of a pool"),
    (
        "managedClusters/agentPools/upgradeNodeImageVersion",
        "action",
        "Upgrades the node image of an agent pool",
    ),
    ("managedClusters/agentPools/upgradeProfiles", "read", "Gets the upgrade profile of a pool"),
    ("managedClusters/agentPools/machines", "read", "Gets a machine of an agent pool"),
    ("managedClusters/maintenanceConfigurations", "read", "Gets a maintenance configuration"),
    ("managedClusters/maintenanceConfigurations", "write", "Writes a maintenance configuration"),
    ("managedClusters/maintenanceConfigurations", "delete", "Deletes a maintenance configuration"),
    ("snapshots", "read", "Gets a snapshot"),
    ("snapshots", "write", "Creates a new snapshot"),
    ("snapshots", "delete", "Deletes a snapshot"),
    ("locations/operations", "read", "Gets the status of an asynchronous operation"),
    ("locations/operationresults", "read", "Gets the result of an asynchronous operation"),
    ("locations/kubernetesVersions", "read", "Lists the Kubernetes versions of a region"),
    ("operations", "read", "Lists the operations of the resource provider"),
)


async def list_provider_operations(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/providers/Microsoft.ContainerService/operations``."""
    return listing(
        [
            {
                "name": f"Microsoft.ContainerService/{resource}/{verb}",
                "origin": "user,system",
                "display": {
                    "provider": "Microsoft Container Service",
                    "resource": resource,
                    "operation": text,
                    "description": text,
                },
            }
            for resource, verb, text in _OPERATIONS
        ]
    )


_LOCATION = (
    "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}"
)
_PREVIEW = tuple(version for version in CONTAINER_SERVICE if is_preview(version))

_LISTS: tuple[tuple[str, Handler, tuple[str, ...]], ...] = (
    # (last segments, handler, the api-versions that have it)
    ("kubernetesVersions", list_kubernetes_versions, CONTAINER_SERVICE),
    ("orchestrators", list_orchestrators, CONTAINER_SERVICE),
    ("nodeImageVersions", list_node_image_versions, _PREVIEW),
    ("vmSkus", list_vm_skus, since("2026-01-02-preview")),
    ("meshRevisionProfiles", list_mesh_revisions, CONTAINER_SERVICE),
    ("meshRevisionProfiles/{mode}", get_mesh_revisions, CONTAINER_SERVICE),
    ("trustedAccessRoles", list_nothing, CONTAINER_SERVICE),
    ("guardrailsVersions", list_nothing, _PREVIEW),
    ("safeguardsVersions", list_nothing, _PREVIEW),
)

ROUTES: tuple[Route, ...] = (
    *(
        Route("GET", f"{_LOCATION}/{segments}", handler, versions)
        for segments, handler, versions in _LISTS
    ),
    Route(
        "GET",
        "/providers/Microsoft.ContainerService/operations",
        list_provider_operations,
        CONTAINER_SERVICE,
    ),
)
