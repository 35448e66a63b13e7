"""Accepting writes to pools: conflicts, and the one guarded transaction of each.

Source: records.md R1, R2, R4, R9, R12; texts recorded (facts error_codes.json).
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from poolwright.arm.agent_pools_read import Cluster, pool_id
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import KnownError
from poolwright.arm.operations import create_operation
from poolwright.arm.properties.agent_pool import Pool
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import Headers
from poolwright.model.agent_pool import (
    AGENT_POOL,
    OPERATION,
    AgentPoolSpec,
    AgentPoolStatus,
    OperationState,
    ProvisioningState,
    RecentVersion,
)
from poolwright.model.errors import Conflict, ErrorDetail
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.ports.store import Check, Create, Update, Write

POOL_BUSY = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: Another agentpool operation ({pool} - {state}) is in progress, "
    "please wait for it to finish before starting a new operation. See "
    "https://aka.ms/aks-pending-operation for more details",
)
CLUSTER_BUSY = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: Another operation ({state}) is in progress, please wait for it to "
    "finish before starting a new operation. See https://aka.ms/aks-pending-operation for more "
    "details",
)
CLUSTER_STOPPED = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: the managed cluster is stopped. Start it before changing its agent "
    "pools.",
)
POOL_STOPPED = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: the agent pool {pool} is stopped. Start it first.",
)
CANCELED = ErrorDetail("Canceled", "Operation is being canceled by user")
"""Source: recorded."""


def check_cluster_free(cluster: Cluster) -> None:
    """Refuse a write while an operation runs on the cluster.

    Raises:
        Conflict: with the state of the cluster.
    """
    status = cluster.status
    if cluster.deleted_at is not None or status.operation_id is not None:
        raise CLUSTER_BUSY(state=status.provisioning_state)


def check_pool_free(cluster: Cluster, pool: Pool | None) -> None:
    """Refuse a write while an operation runs on the pool or its cluster.

    Raises:
        Conflict: with the name and state of what is busy.
    """
    check_cluster_free(cluster)
    if pool is not None and (pool.deleted_at is not None or pool.status.operation_id is not None):
        raise POOL_BUSY(pool=pool.spec.name, state=pool.status.provisioning_state)
    if cluster.spec.is_stopped:
        raise CLUSTER_STOPPED()


def warning_headers(warnings: tuple[str, ...]) -> Headers:
    """HTTP ``Warning`` headers (RFC 7234 §5.5: code 299, no agent)."""
    return tuple(
        ("Warning", '299 - "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
        for text in warnings
    )


def vmss_number(cluster_uid: str) -> str:
    """The eight digits in the names of a cluster's machines: one number per cluster."""
    digest = blake2b(cluster_uid.encode(), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % 90_000_000 + 10_000_000}"


async def accept_pool(
    context: ArmContext,
    request: ArmRequest,
    cluster: Cluster,
    old: Pool | None,
    spec: AgentPoolSpec,
    state: ProvisioningState,
    *,
    final_body: bool = False,
) -> tuple[Pool, Create]:
    """Write the pool's new spec, its state and the operation; the pool as committed.

    Raises:
        Precondition: pool or cluster moved on meanwhile.
    """
    operation = create_operation(
        context,
        resource_id=pool_id(cluster, spec.name),
        type_=state.value,
        region=cluster.spec.location,
        pool=spec.name,
        final_body=final_body,
    )
    now = context.clock.now()
    check = Check(MANAGED_CLUSTER, cluster.name, expect_revision=cluster.revision)
    write: Write
    if old is None:
        write = Create(
            kind=AGENT_POOL,
            name=spec.name,
            uid=context.identity.uid(),
            spec=spec,
            status=AgentPoolStatus(
                provisioning_state=state,
                operation_id=operation.name,
                operation_started_at=now.world,
                vmss_number=vmss_number(cluster.uid),
            ),
            created_at=now.wall,
        )
    else:
        write = Update(
            AGENT_POOL,
            old.name,
            spec=spec,
            status=started(context, old, spec, state, operation.name),
            expect_uid=old.uid,
            expect_revision=old.revision,
        )
    commit = await context.store.transact(request.cluster_key.arm_scope, (check, write, operation))
    pool = commit.records[1]
    assert pool is not None
    return pool, operation


def started(
    context: ArmContext,
    old: Pool,
    spec: AgentPoolSpec,
    state: ProvisioningState,
    operation: str | None,
) -> AgentPoolStatus:
    """The status of a pool on which a new operation begins."""
    now = context.clock.now()
    recent = old.status.recent_versions
    before = old.spec
    if (before.kubernetes_version, before.node_image_version) != (
        spec.kubernetes_version,
        spec.node_image_version,
    ):
        recent = (RecentVersion(before.kubernetes_version, before.node_image_version, now.wall),)
    return replace(
        old.status,
        provisioning_state=state,
        operation_id=operation,
        abort_operation_id=None,
        operation_started_at=now.world,
        operation_deadline=None,
        surge_limit=None,
        is_halted=False,
        recent_versions=recent,
        error=None,
        message="",
    )


async def accept_delete(
    context: ArmContext, request: ArmRequest, cluster: Cluster, pool: Pool
) -> Create:
    """Mark a pool as going; a running operation of it ends Canceled (records.md R4).

    Raises:
        Conflict: the cluster is busy, or the pool goes already.
        Precondition: pool or cluster moved on meanwhile.
    """
    check_cluster_free(cluster)
    if pool.deleted_at is not None:
        raise POOL_BUSY(pool=pool.spec.name, state=pool.status.provisioning_state)
    operation = create_operation(
        context,
        resource_id=pool_id(cluster, pool.spec.name),
        type_=ProvisioningState.DELETING.value,
        region=cluster.spec.location,
        pool=pool.spec.name,
    )
    status = started(context, pool, pool.spec, ProvisioningState.DELETING, operation.name)
    writes: list[Write] = [
        Check(MANAGED_CLUSTER, cluster.name, expect_revision=cluster.revision),
        Update(
            AGENT_POOL,
            pool.name,
            status=status,
            deleted_at=context.clock.now().wall,
            expect_uid=pool.uid,
            expect_revision=pool.revision,
        ),
        operation,
    ]
    for name in (pool.status.operation_id, pool.status.abort_operation_id):
        writes += await cancel_operation(context, request, name)
    await context.store.transact(request.cluster_key.arm_scope, writes)
    return operation


async def cancel_operation(
    context: ArmContext, request: ArmRequest, name: str | None
) -> list[Write]:
    """The write that ends a running operation as Canceled; none if it has ended."""
    if name is None:
        return []
    found = await context.store.get(request.cluster_key.arm_scope, OPERATION, name)
    if found is None or found.status.state.is_terminal:
        return []
    ended = replace(
        found.status,
        state=OperationState.CANCELED,
        ended_at=context.clock.now().wall,
        error=CANCELED,
        message="",
    )
    return [Update(OPERATION, name, status=ended, expect_revision=found.revision)]


async def accept_abort(
    context: ArmContext, request: ArmRequest, cluster: Cluster, pool: Pool
) -> Create:
    """Halt a pool's operation (records.md R9); the operation that does the abort.

    Raises:
        Precondition: the pool moved on meanwhile.
    """
    operation = create_operation(
        context,
        resource_id=pool_id(cluster, pool.spec.name),
        type_=ProvisioningState.CANCELING.value,
        region=cluster.spec.location,
        pool=pool.spec.name,
    )
    status = replace(
        pool.status,
        provisioning_state=ProvisioningState.CANCELING,
        abort_operation_id=operation.name,
        is_halted=True,
    )
    write = Update(
        AGENT_POOL,
        pool.name,
        status=status,
        expect_uid=pool.uid,
        expect_revision=pool.revision,
    )
    await context.store.transact(request.cluster_key.arm_scope, (write, operation))
    return operation
