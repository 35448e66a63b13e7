"""What can be upgraded to: of a pool, of a cluster, and for a new pool.

Source: facts aks-api §2.6, §7.11.
"""

from __future__ import annotations

from typing import Any

from poolwright.arm.agent_pools import CLUSTER, POOL
from poolwright.arm.agent_pools_read import get_cluster, get_pool, pool_id
from poolwright.arm.api_versions import CONTAINER_SERVICE, is_preview
from poolwright.arm.context import ArmContext
from poolwright.arm.operations import wire_time
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Route
from poolwright.model.catalog import (
    default_kubernetes_version,
    kubernetes_minors,
    vm_size,
)
from poolwright.model.limits import MINOR_SKEW_MAX, ROLLBACK_WINDOW
from poolwright.model.version import KubernetesVersion
from poolwright.plan.admission import node_image
from poolwright.plan.admission_version import upgrades_for

_TYPE = "Microsoft.ContainerService/managedClusters"


def _versions(found: list[tuple[KubernetesVersion, bool]]) -> list[dict[str, Any]]:
    return [
        {"kubernetesVersion": str(version), **({"isPreview": True} if preview else {})}
        for version, preview in found
    ]


def _components(version: str) -> list[dict[str, Any]]:
    """Components by release (previews); which versions they have is not our business."""
    return [
        {
            "kubernetesVersion": version,
            "components": [{"name": "kubernetes", "version": version, "hasBreakingChanges": False}],
        }
    ]


async def get_pool_profile(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``upgradeProfiles/default`` of a pool."""
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    spec = pool.spec
    current = KubernetesVersion.parse(
        pool.status.current_kubernetes_version or spec.kubernetes_version
    )
    control_plane = KubernetesVersion.parse(cluster.spec.current_kubernetes_version)
    profile = cluster.spec.profile
    # In 2019 a pool may be a patch ahead of its control plane.
    until = None if profile == "preview-2019" else control_plane
    upgrades = upgrades_for(current, profile, until=until)
    if profile == "preview-2019":
        upgrades = [one for one in upgrades if one[0].minor <= control_plane.minor]
    size = vm_size(spec.vm_size)
    properties: dict[str, Any] = {
        "kubernetesVersion": str(current),
        "osType": spec.os_type,
    }
    if upgrades:
        properties["upgrades"] = _versions(upgrades)
    properties["latestNodeImageVersion"] = node_image(
        spec.os_sku,
        size.architecture if size else "amd64",
        fips=bool(spec.accepted.get("enableFIPS")),
    )
    now = context.clock.now().wall
    recent = [one for one in pool.status.recent_versions if now - one.at <= ROLLBACK_WINDOW]
    if recent:
        properties["recentlyUsedVersions"] = [
            {
                "orchestratorVersion": one.orchestrator_version,
                "nodeImageVersion": one.node_image_version,
                "timestamp": wire_time(one.at),
            }
            for one in recent
        ]
    if is_preview(request.api_version):
        properties["componentsByReleases"] = _components(str(current))
    return ArmResponse(
        200,
        {
            "id": f"{pool_id(cluster, spec.name)}/upgradeProfiles/default",
            "name": "default",
            "type": f"{_TYPE}/agentPools/upgradeProfiles",
            "properties": properties,
        },
    )


async def get_cluster_profile(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``upgradeProfiles/default`` of a cluster."""
    cluster = await get_cluster(context, request)
    current = KubernetesVersion.parse(
        cluster.status.running_kubernetes_version or cluster.spec.current_kubernetes_version
    )
    control_plane: dict[str, Any] = {"kubernetesVersion": str(current), "osType": "Linux"}
    upgrades = upgrades_for(current, cluster.spec.profile)
    if upgrades:
        control_plane["upgrades"] = _versions(upgrades)
    if is_preview(request.api_version):
        control_plane["componentsByReleases"] = _components(str(current))
    return ArmResponse(
        200,
        {
            "id": f"{cluster_id_of(cluster.spec)}/upgradeProfiles/default",
            "name": "default",
            "type": f"{_TYPE}/upgradeprofiles",
            "properties": {"controlPlaneProfile": control_plane, "agentPoolProfiles": []},
        },
    )


async def get_available_versions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``availableAgentPoolVersions``: what a new pool may run."""
    cluster = await get_cluster(context, request)
    control_plane = KubernetesVersion.parse(cluster.spec.current_kubernetes_version)
    default = min(default_kubernetes_version(cluster.spec.profile), control_plane)
    versions: list[dict[str, Any]] = []
    for minor in kubernetes_minors(cluster.spec.profile):
        for patch in minor.patches:
            behind = control_plane.minor - patch.minor
            if patch > control_plane or behind > MINOR_SKEW_MAX:
                continue
            entry: dict[str, Any] = {"kubernetesVersion": str(patch)}
            if patch == default:
                entry["default"] = True
            if minor.is_preview:
                entry["isPreview"] = True
            versions.append(entry)
    return ArmResponse(
        200,
        {
            "id": f"{cluster_id_of(cluster.spec)}/availableagentpoolversions",
            "name": "default",
            "type": f"{_TYPE}/availableAgentpoolVersions",
            "properties": {"agentPoolVersions": versions},
        },
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        f"{POOL}/upgradeProfiles/default",
        get_pool_profile,
        CONTAINER_SERVICE,
        parents_first=False,
    ),
    Route("GET", f"{CLUSTER}/upgradeProfiles/default", get_cluster_profile, CONTAINER_SERVICE),
    Route(
        "GET", f"{CLUSTER}/availableAgentPoolVersions", get_available_versions, CONTAINER_SERVICE
    ),
)
