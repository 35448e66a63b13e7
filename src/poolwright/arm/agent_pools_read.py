"""Finding clusters and pools, and writing pools to the wire."""

from __future__ import annotations

from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import CLUSTER_NOT_FOUND, POOL_NOT_FOUND, RESOURCE_NOT_FOUND
from poolwright.arm.etags import etag_of
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.properties import agent_pool as table
from poolwright.arm.properties.agent_pool import Pool, PoolView
from poolwright.arm.request import ArmRequest
from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Refused
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.model.record import Stored

Cluster = Stored[ManagedClusterSpec, ManagedClusterStatus]

ANSWERS_MAX = 20_000
"""Kept answers; beyond it they are forgotten at once and made again."""

POOL_TYPE = "Microsoft.ContainerService/managedClusters/agentPools"


async def get_cluster(context: ArmContext, request: ArmRequest) -> Cluster:
    """The cluster that a request is of or below.

    Raises:
        NotFound: there is none.
    """
    key = request.cluster_key
    cluster = await context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
    if cluster is None:
        raise cluster_not_found(request)
    return cluster


def cluster_not_found(request: ArmRequest) -> Refused:
    """The front door's 404 for a read of the cluster itself, the provider's for what is below."""
    if request.path.rstrip("/").lower().endswith(f"/{request.names['cluster'].lower()}"):
        return RESOURCE_NOT_FOUND(
            type="Microsoft.ContainerService/managedClusters",
            name=request.names["cluster"],
            resource_group=request.resource_group,
        )
    return CLUSTER_NOT_FOUND(
        cluster=request.names["cluster"],
        subscription=request.subscription,
        resource_group=request.resource_group,
    )


async def find_pool(context: ArmContext, request: ArmRequest) -> Pool | None:
    """The pool that a path names, if it is there."""
    name = request.names["pool"].lower()
    return await context.store.get(request.cluster_key.arm_scope, AGENT_POOL, name)


async def get_pool(context: ArmContext, request: ArmRequest) -> Pool:
    """The pool that a path names.

    Raises:
        NotFound: there is none.
    """
    pool = await find_pool(context, request)
    if pool is None:
        raise pool_not_found(request)
    return pool


def pool_not_found(request: ArmRequest) -> Refused:
    """The provider's flat 404."""
    return POOL_NOT_FOUND(
        pool=request.names["pool"],
        subscription=request.subscription,
        resource_group=request.resource_group,
        cluster=request.names["cluster"],
    )


async def pools_of(context: ArmContext, cluster: ClusterKey) -> list[Pool]:
    """The pools of a cluster, by name."""
    pools, _ = await context.store.list(cluster.arm_scope, AGENT_POOL)
    return list(pools)


def pool_id(cluster: Cluster, name: str) -> str:
    """The ARM id of a pool."""
    return f"{cluster_id_of(cluster.spec)}/agentPools/{name}"


def pool_properties(pool: Pool, version: str) -> dict[str, Any]:
    """``properties`` of a pool in an api-version."""
    return table.TABLE.write(PoolView(pool, etag_of(pool)), version)


def pool_body(context: ArmContext, pool: Pool, cluster: Cluster, version: str) -> dict[str, Any]:
    """The wire form of a pool; kept until the pool's revision moves."""
    key = (pool.uid, version)
    known = context.answers.get(key)
    if known is not None and known[0] == pool.revision:
        return known[1]
    body = {
        "id": pool_id(cluster, pool.spec.name),
        "name": pool.spec.name,
        "type": POOL_TYPE,
        "properties": pool_properties(pool, version),
    }
    if len(context.answers) >= ANSWERS_MAX:
        context.answers.clear()
    context.answers[key] = (pool.revision, body)
    return body
