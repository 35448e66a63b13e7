"""``managedClusters``: read, create or update, tag, delete.

Source: facts aks-api §2.3, §2.6, §3.2, §5.3; records.md R1, R2, R5, R6, R7, R12, R14.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.arm.agent_pools import ATTEMPTS, CLUSTER, features_of, read_pool, restrictions_of
from poolwright.arm.agent_pools_accept import check_cluster_free, warning_headers
from poolwright.arm.agent_pools_read import Cluster, get_cluster, pools_of
from poolwright.arm.api_versions import CONTAINER_SERVICE
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import (
    INVALID_RESOURCE_LOCATION,
    RESOURCE_GROUP_BEING_DELETED,
    KnownError,
)
from poolwright.arm.etags import check_etag, etag_of
from poolwright.arm.managed_clusters_accept import (
    accept_cluster,
    accept_cluster_delete,
    check_pools_free,
)
from poolwright.arm.operations import operation_headers
from poolwright.arm.parents import find_resource_group, get_resource_group
from poolwright.arm.properties import managed_cluster as table
from poolwright.arm.properties.agent_pool import Pool
from poolwright.arm.properties.managed_cluster import ClusterView, cluster_body
from poolwright.arm.properties.table import STRICT_SINCE, json_type, unknown_field, wrong_type
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.tracked import read_location, read_tags
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.errors import InvalidRequest, Precondition
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.plan.admission import PoolRequest
from poolwright.plan.admission_cluster import ClusterRequest, admit_cluster
from poolwright.plan.admission_message import invalid

RESOURCE_TYPE = "Microsoft.ContainerService/managedClusters"
_TIERS = {"free": "Free", "standard": "Standard", "premium": "Premium", "paid": "Standard"}
MAKES_NONE = KnownError(
    "OperationNotAllowed",
    InvalidRequest,
    "This service manages the clusters that it was given when it started, and makes none.",
)
_BODY_NAMES = frozenset(
    {
        "id", "name", "type", "location", "tags", "properties", "identity", "sku", "kind",
        "extendedlocation", "systemdata", "etag", "apiversion", "plan", "zones", "scale",
    }
)  # fmt: skip


def wire_cluster(
    context: ArmContext, cluster: Cluster, pools: list[Pool], version: str
) -> dict[str, Any]:
    """A cluster on the wire; kept until the cluster or one of its pools moves."""
    revision = max((cluster.revision, *(pool.revision for pool in pools)))
    key = (cluster.uid, version)
    known = context.answers.get(key)
    if (
        known is not None
        and known[0] == revision
        and len(pools) == len(known[1]["properties"].get("agentPoolProfiles") or ())
    ):
        return known[1]
    view = ClusterView(cluster, pools, version, context.settings.tenant)
    body = cluster_body(view)
    context.answers[key] = (revision, body)
    return body


async def get_managed_cluster(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one cluster."""
    cluster = await get_cluster(context, request)
    pools = await pools_of(context, request.cluster_key)
    return ArmResponse(200, wire_cluster(context, cluster, pools, request.api_version))


async def list_managed_clusters(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET the clusters of a resource group, or of the subscription."""
    prefix = f"{subscription_scope(request.subscription)}/"
    group = request.names.get("resource_group")
    if group is not None:
        prefix += f"{group.lower()}/"
    bodies: list[dict[str, Any]] = []
    for cluster in await context.store.find(prefix, MANAGED_CLUSTER):
        spec = cluster.spec
        key = ClusterKey.of(spec.subscription, spec.resource_group, spec.name)
        pools = await pools_of(context, key)
        bodies.append(wire_cluster(context, cluster, pools, request.api_version))
    return listing(bodies)


async def put_managed_cluster(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: create (201) or update (200)."""
    body = _body(request)
    for attempt in range(ATTEMPTS):
        try:
            return await _put_once(context, request, body)
        except Precondition as error:
            if error.code != Precondition.default_code or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _body(request: ArmRequest) -> dict[str, Any]:
    body = {name: value for name, value in request.json_object().items() if value is not None}
    if request.api_version >= STRICT_SINCE:
        for name in body:
            if name.lower() not in _BODY_NAMES:
                raise unknown_field(name)
    for name in ("properties", "identity", "sku"):
        if not isinstance(body.get(name, {}), dict):
            raise wrong_type(body[name], "ManagedCluster", name, "object")
    return body


async def _put_once(
    context: ArmContext, request: ArmRequest, body: Mapping[str, Any]
) -> ArmResponse:
    key = request.cluster_key
    old = await context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
    if old is None and not context.settings.makes_clusters:
        raise MAKES_NONE()
    wanted = await _read_cluster(context, request, body, old)
    check_etag(request, etag_of(old) if old else None)
    pools = await pools_of(context, key)
    if old is not None:
        if old.spec.location != wanted.location:
            raise INVALID_RESOURCE_LOCATION(
                name=old.spec.name,
                location=old.spec.location,
                resource_group=old.spec.resource_group,
                other=wanted.location,
            )
        check_cluster_free(old)
        check_pools_free(pools)
    admitted = admit_cluster(
        wanted,
        old.spec if old else None,
        {pool.name: pool.spec for pool in pools},
        await features_of(context, request),
        await restrictions_of(context, wanted.location),
    )
    cluster, after, operation = await accept_cluster(context, request, old, pools, admitted)
    if old is None:
        await _check_group_stayed(context, request)
    return ArmResponse(
        201 if old is None else 200,
        wire_cluster(context, cluster, after, request.api_version),
        operation_headers(context, request, operation, key) + warning_headers(admitted.warnings),
    )


async def _check_group_stayed(context: ArmContext, request: ArmRequest) -> None:
    """Whether the group is still there once its new cluster is written: no transaction spans both.

    The cluster that came too late goes with the group (`resource_group_deletion`).

    Raises:
        Conflict: the group is being deleted, or was.
    """
    group = await find_resource_group(context, request.subscription, request.resource_group)
    if group is None or group.status.state == "Deleting":
        raise RESOURCE_GROUP_BEING_DELETED(resource_group=request.resource_group)


async def _read_cluster(
    context: ArmContext, request: ArmRequest, body: Mapping[str, Any], old: Cluster | None
) -> ClusterRequest:
    """What a request declares about a cluster."""
    version = request.api_version
    if old is None or body.get("location"):
        location = read_location(context, body, RESOURCE_TYPE)
    else:
        location = old.spec.location
    group = await get_resource_group(context, request.subscription, request.resource_group)
    tree = table.names(version)
    reading = table.TABLE.read(
        body.get("properties") or {},
        version,
        names=tree["properties"] if tree else None,
        keep_unknown=True,
    )
    given, accepted = reading.given, reading.accepted
    pools = given.pop("pools", None)
    given["tags"] = read_tags(body)
    _read_sku(body, given)
    _read_identity(body)
    for name in table.TOP_LEVEL:
        if body.get(name) is not None:
            accepted[name] = body[name]
    return ClusterRequest(
        subscription=old.spec.subscription if old else request.subscription,
        resource_group=old.spec.resource_group if old else group.spec.name,
        name=old.spec.name if old else request.names["cluster"],
        location=location,
        given=given,
        accepted=accepted,
        pools=None if pools is None else tuple(_read_pool(pool, version) for pool in pools),
        fixed=table.FIXED,
    )


def _read_pool(wire: Mapping[str, Any], version: str) -> PoolRequest:
    """One entry of ``agentPoolProfiles``: a pool's properties, with its name beside them."""
    name = wire.get("name")
    if not isinstance(name, str) or not name:
        raise invalid("agentPoolProfile.name")
    properties = {k: v for k, v in wire.items() if k.lower() != "name"}
    return read_pool(properties, name, version)


def _read_sku(body: Mapping[str, Any], given: dict[str, Any]) -> None:
    sku = cast("Mapping[str, Any]", body.get("sku") or {})
    tier = sku.get("tier")
    if tier is None:
        return
    if not isinstance(tier, str) or tier.lower() not in _TIERS:
        raise InvalidRequest(
            f"The value of parameter sku.tier is invalid. Error details: value {tier} is not "
            "allowed. Only Free, Standard and Premium are allowed.",
            code="InvalidParameter",
            target="sku.tier",
        )
    given["tier"] = _TIERS[tier.lower()]


def _read_identity(body: Mapping[str, Any]) -> None:
    identity = cast("Mapping[str, Any]", body.get("identity") or {})
    kind = identity.get("type")
    if kind not in (None, "SystemAssigned", "UserAssigned", "None"):  # any JSON: not a set
        raise InvalidRequest(
            f"The value of parameter identity.type is invalid. Error details: value {kind} is not "
            "allowed. Only SystemAssigned, UserAssigned and None are allowed.",
            code="InvalidParameter",
            target="identity.type",
        )
    assigned = identity.get("userAssignedIdentities")
    if assigned is not None and not isinstance(assigned, dict):
        raise wrong_type(
            assigned, "ManagedClusterIdentity", "userAssignedIdentities", json_type({})
        )


async def patch_managed_cluster(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PATCH: only ``tags``, which are replaced."""
    body = request.json_object()
    for name in body:
        if name != "tags":
            raise unknown_field(name)
    tags = read_tags(body)
    cluster = await get_cluster(context, request)
    check_etag(request, etag_of(cluster))
    wire = wire_cluster(
        context, cluster, await pools_of(context, request.cluster_key), request.api_version
    )
    full = {"location": wire["location"], "tags": tags, "sku": wire["sku"]}
    response = await _put_once(context, request, full)
    return ArmResponse(200, response.content, response.headers)


async def delete_managed_cluster(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: 202, or 204 where there is none."""
    key = request.cluster_key
    for attempt in range(ATTEMPTS):
        cluster = await context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        if cluster is None:
            await get_resource_group(context, request.subscription, request.resource_group)
            return ArmResponse(204)
        check_etag(request, etag_of(cluster))
        try:
            operation = await accept_cluster_delete(context, request, cluster)
        except Precondition as error:
            if error.code != Precondition.default_code or attempt == ATTEMPTS - 1:
                raise
            continue
        return ArmResponse(
            202,
            None,
            operation_headers(context, request, operation, key, with_location=True),
        )
    raise AssertionError("unreachable")


_GROUP = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}"
    "/providers/Microsoft.ContainerService/managedClusters"
)
_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters"

ROUTES: tuple[Route, ...] = (
    Route("GET", _SUBSCRIPTION, list_managed_clusters, CONTAINER_SERVICE),
    Route("GET", _GROUP, list_managed_clusters, CONTAINER_SERVICE),
    Route("GET", CLUSTER, get_managed_cluster, CONTAINER_SERVICE, parents_first=False),
    Route("PUT", CLUSTER, put_managed_cluster, CONTAINER_SERVICE),
    Route("PATCH", CLUSTER, patch_managed_cluster, CONTAINER_SERVICE),
    Route("DELETE", CLUSTER, delete_managed_cluster, CONTAINER_SERVICE, parents_first=False),
)
