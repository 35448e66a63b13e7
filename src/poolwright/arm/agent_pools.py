"""``managedClusters/agentPools``: read, create or update, delete.

Source: facts aks-api §2.1, §2.6, §2.7, §5.3, §5.4; records.md R1, R2, R4, R12, R13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from poolwright.arm.agent_pools_accept import (
    accept_delete,
    accept_pool,
    check_pool_free,
    warning_headers,
)
from poolwright.arm.agent_pools_read import (
    find_pool,
    get_cluster,
    get_pool,
    pool_body,
    pools_of,
)
from poolwright.arm.api_versions import CONTAINER_SERVICE, since
from poolwright.arm.context import ArmContext
from poolwright.arm.etags import check_etag, etag_of
from poolwright.arm.features import registered_features
from poolwright.arm.operations import operation_headers
from poolwright.arm.properties import agent_pool as table
from poolwright.arm.properties.table import STRICT_SINCE, unknown_field, wrong_type
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.snapshots import SNAPSHOT
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import InvalidRequest, Precondition, Unsupported
from poolwright.model.record import Stored
from poolwright.model.scarcity import Restriction
from poolwright.plan.admission import (
    PoolRequest,
    Snapshot,
    Surroundings,
    admit_agent_pool,
)
from poolwright.plan.admission_merge import at_path
from poolwright.plan.admission_message import invalid
from poolwright.plan.admission_mode import check_delete
from poolwright.plan.admission_size import check_cluster_size, check_pool_name

ATTEMPTS = 5
"""How often a write is tried again when the records moved on meanwhile (records.md R12)."""

_BODY_NAMES = frozenset(
    {"id", "name", "type", "properties", "location", "tags", "systemdata", "apiversion", "etag"}
)


async def list_agent_pools(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET the pools of a cluster."""
    cluster = await get_cluster(context, request)
    pools = await pools_of(context, request.cluster_key)
    return listing([pool_body(context, pool, cluster, request.api_version) for pool in pools])


async def get_agent_pool(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one pool: the hot path. Answers are kept by revision."""
    pool = await get_pool(context, request)
    known = context.answers.get((pool.uid, request.api_version))
    if known is not None and known[0] == pool.revision:
        return ArmResponse(200, known[1])
    cluster = await get_cluster(context, request)
    return ArmResponse(200, pool_body(context, pool, cluster, request.api_version))


def read_pool(wire: Mapping[str, Any], name: str, version: str) -> PoolRequest:
    """What ``properties`` of a request declare about a pool.

    Raises:
        InvalidRequest: wrong types, unknown names, values that are not allowed.
    """
    reading = table.TABLE.read(wire, version, names=table.names(version))
    return PoolRequest(
        name=name,
        given=reading.given,
        accepted=reading.accepted,
        fixed=table.FIXED,
        defaults=table.DEFAULTS,
        has_nvidia=table.has_nvidia(version),
    )


def _properties(request: ArmRequest) -> dict[str, Any]:
    body = request.json_object()
    if request.api_version >= STRICT_SINCE:
        for name in body:
            if name.lower() not in _BODY_NAMES:
                raise unknown_field(name)
    properties = next((v for k, v in body.items() if k.lower() == "properties"), None)
    if properties is None:
        return {}
    if not isinstance(properties, dict):
        raise wrong_type(properties, "AgentPool", "properties", "AgentPoolProperties")
    return cast("dict[str, Any]", properties)


async def restrictions_of(context: ArmContext, region: str) -> tuple[Restriction, ...]:
    """The sizes that a region does not offer; none where the provider cannot tell."""
    try:
        return (await context.machine_provider.scarcity(region)).restrictions
    except Unsupported:
        return ()


async def put_agent_pool(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: create (201) or update (200)."""
    name = request.names["pool"]
    wanted = read_pool(_properties(request), name.lower(), request.api_version)
    for attempt in range(ATTEMPTS):
        try:
            return await _put_once(context, request, wanted)
        except Precondition as error:
            if error.code != Precondition.default_code or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _put_once(context: ArmContext, request: ArmRequest, wanted: PoolRequest) -> ArmResponse:
    cluster = await get_cluster(context, request)
    pools = await pools_of(context, request.cluster_key)
    old = next((pool for pool in pools if pool.name == wanted.name), None)
    if old is None:
        check_pool_name(request.names["pool"], wanted.given.get("os_type", "Linux"))
    check_etag(request, etag_of(old) if old else None)
    check_pool_free(cluster, old)
    around = await surroundings(context, request, cluster, pools, old)
    around = replace(around, snapshot=await _snapshot(context, wanted, old))
    admitted = admit_agent_pool(wanted, old.spec if old else None, around)
    check_cluster_size(
        {**around.others, wanted.name: admitted.spec},
        cluster.spec.profile,
        grows=old is None or admitted.spec.count > old.spec.count,
    )
    pool, operation = await accept_pool(
        context, request, cluster, old, admitted.spec, admitted.state
    )
    headers = operation_headers(context, request, operation, request.cluster_key)
    return ArmResponse(
        201 if old is None else 200,
        pool_body(context, pool, cluster, request.api_version),
        headers + warning_headers(admitted.warnings),
    )


async def surroundings(
    context: ArmContext,
    request: ArmRequest,
    cluster: Stored[Any, Any],
    pools: Sequence[table.Pool],
    own: table.Pool | None,
) -> Surroundings:
    """What a pool of this cluster is admitted into."""
    first = min(pools, key=lambda pool: (pool.created_at, pool.name), default=None)
    return Surroundings(
        cluster=cluster.spec,
        others={pool.name: pool.spec for pool in pools if own is None or pool.uid != own.uid},
        first_pool=first.spec if first else None,
        features=await features_of(context, request),
        restrictions=await restrictions_of(context, cluster.spec.location),
        recent_versions=own.status.recent_versions if own else (),
    )


_SNAPSHOT_ID = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.containerservice/"
    r"snapshots/([^/]+)",
    re.IGNORECASE,
)


async def _snapshot(
    context: ArmContext, wanted: PoolRequest, old: table.Pool | None
) -> Snapshot | None:
    """The snapshot that ``creationData`` newly names.

    Raises:
        InvalidRequest: there is no such snapshot.
    """
    path = "creationData.sourceResourceId"
    source: Any = at_path(wanted.accepted, path)
    if not source or (old is not None and at_path(old.spec.accepted, path) == source):
        return None
    match = _SNAPSHOT_ID.fullmatch(source) if isinstance(source, str) else None
    found = None
    if match is not None:
        name = f"{match[2]}/{match[3]}".lower()
        found = await context.store.get(subscription_scope(match[1]), SNAPSHOT, name)
    if found is None:
        raise invalid(
            "agentPoolProfile.creationData.sourceResourceId", f"snapshot '{source}' is not found"
        )
    own: Mapping[str, Any] = found.spec.body["properties"]
    return Snapshot(
        kubernetes_version=own["kubernetesVersion"],
        node_image_version=own["nodeImageVersion"],
        vm_size=own["vmSize"],
        os_type=own["osType"],
        os_sku=own["osSku"],
    )


async def features_of(context: ArmContext, request: ArmRequest) -> frozenset[str]:
    """The preview features that a request may use, in lower case."""
    names = await registered_features(context, request.subscription, request)
    return frozenset(name.lower() for name in names)


async def patch_agent_pool(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PATCH (previews): only the count, or the manual scale of a VirtualMachines pool."""
    properties = _properties(request)
    for member in properties:
        if member not in {"count", "virtualMachinesProfile"}:
            raise unknown_field(member)
    reading = read_pool(properties, request.names["pool"].lower(), request.api_version)
    pool = await get_pool(context, request)
    spec = pool.spec
    kept = {
        "node_labels": spec.node_labels,
        "tags": spec.tags,
        "node_taints": [str(taint) for taint in spec.node_taints],
    }
    wanted = replace(reading, given={**kept, **reading.given})
    return await _put_once(context, request, wanted)


async def delete_agent_pool(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: 202, or 204 where there is none."""
    ignores = request.query.get("ignore-pod-disruption-budget", "false").lower()
    if ignores not in {"true", "false"}:
        raise InvalidRequest(
            "The value of query parameter ignore-pod-disruption-budget must be true or false.",
            code="InvalidParameter",
            target="ignore-pod-disruption-budget",
        )
    for attempt in range(ATTEMPTS):
        pool = await find_pool(context, request)
        if pool is None:
            return ArmResponse(204)
        cluster = await get_cluster(context, request)
        check_etag(request, etag_of(pool))
        pools = await pools_of(context, request.cluster_key)
        staying = {one.name: one.spec for one in pools if not one.deleted_at}
        every = {**staying, pool.name: pool.spec}  # it may be going already
        check_delete(pool.name, every, is_adopted=cluster.spec.is_adopted)
        try:
            operation = await accept_delete(context, request, cluster, pool)
        except Precondition as error:
            if error.code != Precondition.default_code or attempt == ATTEMPTS - 1:
                raise
            continue
        headers = operation_headers(
            context, request, operation, request.cluster_key, with_location=True
        )
        return ArmResponse(202, None, headers)
    raise AssertionError("unreachable")


CLUSTER = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}"
    "/providers/Microsoft.ContainerService/managedClusters/{cluster}"
)
POOL = f"{CLUSTER}/agentPools/{{pool}}"

ROUTES: tuple[Route, ...] = (
    Route("GET", f"{CLUSTER}/agentPools", list_agent_pools, CONTAINER_SERVICE),
    Route("GET", POOL, get_agent_pool, CONTAINER_SERVICE, parents_first=False),
    Route("PUT", POOL, put_agent_pool, CONTAINER_SERVICE),
    Route("PATCH", POOL, patch_agent_pool, since("2026-06-02-preview")),
    Route("DELETE", POOL, delete_agent_pool, CONTAINER_SERVICE),
)
