"""Actions on clusters: stop, start, abort, rotate and reset, and the endpoints they need.

Source: facts aks-api §2.3, §2.7; records.md R8, R9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolwright.arm.agent_pools import ATTEMPTS, CLUSTER
from poolwright.arm.agent_pools_accept import check_cluster_free
from poolwright.arm.agent_pools_actions import NOTHING_TO_ABORT, retried
from poolwright.arm.agent_pools_read import get_cluster, pools_of
from poolwright.arm.api_versions import CONTAINER_SERVICE, since
from poolwright.arm.context import ArmContext
from poolwright.arm.managed_clusters import wire_cluster
from poolwright.arm.managed_clusters_accept import (
    accept_cluster_abort,
    accept_cluster_update,
    check_pools_free,
)
from poolwright.arm.operations import operation_headers
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Handler, Route
from poolwright.model.agent_pool import ProvisioningState
from poolwright.model.errors import Precondition
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.plan.admission_cluster import check_control_plane_is_ours

Change = Callable[[ManagedClusterSpec, ArmRequest], ManagedClusterSpec]


def _rotated(spec: ManagedClusterSpec, _: ArmRequest) -> ManagedClusterSpec:
    """The same: no certificate or key is a part of it."""
    check_control_plane_is_ours(spec)
    return spec


def _with_body(member: str) -> Change:
    """Keep the request's body as a member of the cluster."""

    def change(spec: ManagedClusterSpec, request: ArmRequest) -> ManagedClusterSpec:
        return replace(spec, accepted={**spec.accepted, member: request.json_object()})

    return change


def _action(state: ProvisioningState, change: Change, what: str) -> Handler:
    async def handler(context: ArmContext, request: ArmRequest) -> ArmResponse:
        for attempt in range(ATTEMPTS):
            cluster = await get_cluster(context, request)
            check_cluster_free(cluster)
            check_pools_free(await pools_of(context, request.cluster_key))
            try:
                _, operation = await accept_cluster_update(
                    context, request, cluster, change(cluster.spec, request), state
                )
            except Precondition:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            return ArmResponse(
                202,
                None,
                operation_headers(
                    context, request, operation, request.cluster_key, with_location=True
                ),
            )
        raise AssertionError("unreachable")

    handler.__doc__ = f"POST ``{what}``: 202."
    return handler


async def abort_managed_cluster(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``abort``: 202 with the cluster, still in the state that is aborted."""
    return await retried(_abort_once, context, request)


async def _abort_once(context: ArmContext, request: ArmRequest) -> ArmResponse:
    cluster = await get_cluster(context, request)
    status = cluster.status
    if status.operation_id is None or cluster.deleted_at or status.abort_operation_id:
        raise NOTHING_TO_ABORT(resource=f"managed cluster {cluster.spec.name}")
    pools = await pools_of(context, request.cluster_key)
    body = wire_cluster(context, cluster, pools, request.api_version)
    operation = await accept_cluster_abort(context, request, cluster, pools)
    headers = operation_headers(
        context, request, operation, request.cluster_key, with_location=True
    )
    return ArmResponse(202, body, headers)


_ENDPOINTS = (
    # Source: AKS outbound-rules-control-egress, required FQDN rules.
    ("azure-resource-management", ("management.azure.com", "login.microsoftonline.com"), 443),
    ("images", ("mcr.microsoft.com", "*.data.mcr.microsoft.com"), 443),
    (
        "artifacts",
        ("packages.microsoft.com", "acs-mirror.azureedge.net", "packages.aks.azure.com"),
        443,
    ),
)


async def list_outbound_endpoints(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``outboundNetworkDependenciesEndpoints``."""
    await get_cluster(context, request)
    return listing(
        [
            {
                "category": category,
                "endpoints": [
                    {"domainName": name, "endpointDetails": [{"port": port, "protocol": "Https"}]}
                    for name in names
                ],
            }
            for category, names, port in _ENDPOINTS
        ]
    )


def _powered(spec: ManagedClusterSpec, *, is_stopped: bool) -> ManagedClusterSpec:
    check_control_plane_is_ours(spec)
    return replace(spec, is_stopped=is_stopped)


_ACTIONS: tuple[tuple[str, ProvisioningState, Change, tuple[str, ...]], ...] = (
    (
        "stop",
        ProvisioningState.STOPPING,
        lambda spec, _: _powered(spec, is_stopped=True),
        since("2020-09-01", "2020-09-01"),
    ),
    (
        "start",
        ProvisioningState.STARTING,
        lambda spec, _: _powered(spec, is_stopped=False),
        since("2020-09-01", "2020-09-01"),
    ),
    ("rotateClusterCertificates", ProvisioningState.UPDATING, _rotated, CONTAINER_SERVICE),
    ("rotateServiceAccountSigningKeys", ProvisioningState.UPDATING, _rotated, CONTAINER_SERVICE),
    ("resetAADProfile", ProvisioningState.UPDATING, _with_body("aadProfile"), CONTAINER_SERVICE),
    (
        "resetServicePrincipalProfile",
        ProvisioningState.UPDATING,
        _with_body("servicePrincipalProfile"),
        CONTAINER_SERVICE,
    ),
)

ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", f"{CLUSTER}/{name}", _action(state, change, name), versions)
        for name, state, change, versions in _ACTIONS
    ),
    Route("POST", f"{CLUSTER}/abort", abort_managed_cluster, CONTAINER_SERVICE),
    Route(
        "GET",
        f"{CLUSTER}/outboundNetworkDependenciesEndpoints",
        list_outbound_endpoints,
        CONTAINER_SERVICE,
    ),
)
