"""Accepting writes to clusters: conflicts, and the one guarded transaction of each.

Source: records.md R1, R2, R4, R5, R6, R7, R9, R12.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from poolwright.arm.agent_pools_accept import (
    CLUSTER_BUSY,
    POOL_BUSY,
    cancel_operation,
    started,
    vmss_number,
)
from poolwright.arm.agent_pools_read import Cluster
from poolwright.arm.context import ArmContext
from poolwright.arm.operations import create_operation
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.properties.agent_pool import Pool
from poolwright.arm.request import ArmRequest
from poolwright.model.agent_pool import AGENT_POOL, AgentPoolStatus, ProvisioningState
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.model.record import Stored
from poolwright.plan.admission_cluster import AdmittedCluster
from poolwright.ports.store import Create, Update, Write


def check_pools_free(pools: Iterable[Pool]) -> None:
    """Refuse a cluster write while an operation runs on one of its pools.

    Raises:
        Conflict: with the name and state of the pool.
    """
    for pool in pools:
        if pool.deleted_at is not None or pool.status.operation_id is not None:
            raise POOL_BUSY(pool=pool.spec.name, state=pool.status.provisioning_state)


async def accept_cluster(
    context: ArmContext,
    request: ArmRequest,
    old: Cluster | None,
    pools: list[Pool],
    admitted: AdmittedCluster,
) -> tuple[Cluster, list[Pool], Create]:
    """Write the cluster, its pools and the operation; all of them as committed.

    Raises:
        Precondition: something moved on meanwhile.
    """
    operation = create_operation(
        context,
        resource_id=cluster_id_of(admitted.spec),
        type_=admitted.state.value,
        region=admitted.spec.location,
    )
    if old is None:
        first = _create(context, admitted, operation, request)
        writes: list[Write] = [first]
        writes += _new_pools(context, admitted, first)
    else:
        writes = [_update(context, old, admitted.spec, admitted.state, operation)]
        writes += _changed_pools(context, pools, admitted)
    commit = await context.store.transact(request.cluster_key.arm_scope, (*writes, operation))
    cluster = commit.records[0]
    assert cluster is not None
    written = {record.name: record for record in commit.records[1:-1] if record is not None}
    after = [written.pop(pool.name, pool) for pool in pools] + list(written.values())
    return cluster, sorted(after, key=lambda pool: pool.name), operation


def _create(
    context: ArmContext, admitted: AdmittedCluster, operation: Create, request: ArmRequest
) -> Create:
    now = context.clock.now()
    return Create(
        kind=MANAGED_CLUSTER,
        name=request.cluster_key.name,
        uid=context.identity.uid(),
        spec=admitted.spec,
        status=ManagedClusterStatus(
            provisioning_state=admitted.state,
            operation_id=operation.name,
            operation_started_at=now.world,
        ),
        created_at=now.wall,
    )


def _new_pools(context: ArmContext, admitted: AdmittedCluster, cluster: Create) -> list[Write]:
    now = context.clock.now()
    number = vmss_number(cluster.uid)
    return [
        Create(
            kind=AGENT_POOL,
            name=name,
            uid=context.identity.uid(),
            spec=pool.spec,
            status=AgentPoolStatus(
                provisioning_state=ProvisioningState.CREATING,
                operation_started_at=now.world,
                vmss_number=number,
            ),
            created_at=now.wall,
        )
        for name, pool in admitted.pools.items()
    ]


def _update(
    context: ArmContext,
    old: Cluster,
    spec: ManagedClusterSpec,
    state: ProvisioningState,
    operation: Create,
) -> Update:
    return Update(
        MANAGED_CLUSTER,
        old.name,
        spec=spec,
        status=cluster_started(context, old, state, operation.name),
        expect_uid=old.uid,
        expect_revision=old.revision,
    )


def _changed_pools(
    context: ArmContext, pools: list[Pool], admitted: AdmittedCluster
) -> list[Write]:
    by_name = {pool.name: pool for pool in pools}
    return [
        Update(
            AGENT_POOL,
            name,
            spec=one.spec,
            status=started(context, by_name[name], one.spec, one.state, None),
            expect_uid=by_name[name].uid,
            expect_revision=by_name[name].revision,
        )
        for name, one in admitted.pools.items()
    ]


def cluster_started(
    context: ArmContext, old: Cluster, state: ProvisioningState, operation: str
) -> ManagedClusterStatus:
    """The status of a cluster on which a new operation begins."""
    return replace(
        old.status,
        provisioning_state=state,
        operation_id=operation,
        abort_operation_id=None,
        operation_started_at=context.clock.now().world,
        operation_deadline=None,
        is_halted=False,
        error=None,
        message="",
    )


async def accept_cluster_update(
    context: ArmContext,
    request: ArmRequest,
    old: Cluster,
    spec: ManagedClusterSpec,
    state: ProvisioningState,
) -> tuple[Stored[ManagedClusterSpec, ManagedClusterStatus], Create]:
    """Write a cluster's new spec, its state and the operation.

    Raises:
        Precondition: the cluster moved on meanwhile.
    """
    operation = create_operation(
        context, resource_id=cluster_id_of(spec), type_=state.value, region=spec.location
    )
    write = _update(context, old, spec, state, operation)
    commit = await context.store.transact(request.cluster_key.arm_scope, (write, operation))
    cluster = commit.records[0]
    assert cluster is not None
    return cluster, operation


async def accept_cluster_delete(
    context: ArmContext, request: ArmRequest, cluster: Cluster
) -> Create:
    """Mark a cluster as going; running operations of it and its pools end Canceled.

    Raises:
        Conflict: it goes already. Precondition: it moved on meanwhile.
    """
    if cluster.deleted_at is not None:
        raise CLUSTER_BUSY(state=cluster.status.provisioning_state)
    spec, state = cluster.spec, ProvisioningState.DELETING
    operation = create_operation(
        context, resource_id=cluster_id_of(spec), type_=state.value, region=spec.location
    )
    writes: list[Write] = [
        Update(
            MANAGED_CLUSTER,
            cluster.name,
            status=cluster_started(context, cluster, state, operation.name),
            deleted_at=context.clock.now().wall,
            expect_uid=cluster.uid,
            expect_revision=cluster.revision,
        ),
        operation,
    ]
    for name in (cluster.status.operation_id, cluster.status.abort_operation_id):
        writes += await cancel_operation(context, request, name)
    await context.store.transact(request.cluster_key.arm_scope, writes)
    return operation


async def accept_cluster_abort(
    context: ArmContext, request: ArmRequest, cluster: Cluster, pools: Iterable[Pool]
) -> Create:
    """Halt a cluster's operation, and with it the pools that work for it (records.md R9); the
    operation that does the abort.

    Raises:
        Precondition: the cluster moved on meanwhile.
    """
    state = ProvisioningState.CANCELING
    operation = create_operation(
        context,
        resource_id=cluster_id_of(cluster.spec),
        type_=state.value,
        region=cluster.spec.location,
    )
    write = Update(
        MANAGED_CLUSTER,
        cluster.name,
        status=replace(
            cluster.status,
            provisioning_state=state,
            abort_operation_id=operation.name,
            is_halted=True,
        ),
        expect_uid=cluster.uid,
        expect_revision=cluster.revision,
    )
    halted = (
        Update(
            AGENT_POOL,
            pool.name,
            status=replace(pool.status, provisioning_state=state, is_halted=True),
            expect_uid=pool.uid,
            expect_revision=pool.revision,
        )
        for pool in pools
        if pool.deleted_at is None and not pool.status.provisioning_state.is_terminal
    )
    await context.store.transact(request.cluster_key.arm_scope, (write, *halted, operation))
    return operation
