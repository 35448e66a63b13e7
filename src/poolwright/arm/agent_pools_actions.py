"""Actions on agent pools: abort, delete machines, upgrade the node image, and those of previews.

Source: facts aks-api §2.1, §2.7; records.md R9, R10.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

from poolwright.arm.agent_pools import ATTEMPTS, POOL
from poolwright.arm.agent_pools_accept import (
    POOL_STOPPED,
    accept_abort,
    accept_pool,
    check_pool_free,
)
from poolwright.arm.agent_pools_read import get_cluster, get_pool, pool_body
from poolwright.arm.api_versions import since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import KnownError
from poolwright.arm.operations import operation_headers
from poolwright.arm.properties.table import wrong_type
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Route
from poolwright.model.agent_pool import PoolMode, ProvisioningState
from poolwright.model.catalog import vm_size
from poolwright.model.errors import Conflict, InvalidRequest, Precondition
from poolwright.model.limits import limits
from poolwright.plan.admission import node_image
from poolwright.plan.admission_size import COUNT_OUT_OF_RANGE
from poolwright.plan.admission_virtual_machines import without_machines

NOTHING_TO_ABORT = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: there is no operation in progress that could be aborted on "
    "{resource}.",
)
NO_BLUE_GREEN = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: there is no blue-green upgrade in progress on agent pool {pool}.",
)
NO_BOOTSTRAP_DATA = KnownError(
    "BadRequest",
    InvalidRequest,
    "Bootstrap data is only available for agent pools of type FlexNodes; agent pool {pool} has "
    "the type {type}.",
)
NO_SUCH_MACHINES = (
    "Cannot find any valid machines to delete. Please check your input machine names. The valid "
    "machines to delete in agent pool '{pool}' are: {machines}."
)
"""Source: karpenter-provider-azure's fakes, which carry the service's text."""

Once = Callable[[ArmContext, ArmRequest], Awaitable[ArmResponse]]


async def retried(once: Once, context: ArmContext, request: ArmRequest) -> ArmResponse:
    """Observe again when the records moved on meanwhile (records.md R12)."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await once(context, request)
        except Precondition as error:
            if error.code != Precondition.default_code:
                raise
    return await once(context, request)


async def abort_agent_pool(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``abort``: 202 with the pool, still in the state that is aborted."""
    return await retried(_abort_once, context, request)


async def _abort_once(context: ArmContext, request: ArmRequest) -> ArmResponse:
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    status = pool.status
    if status.operation_id is None or pool.deleted_at is not None or status.abort_operation_id:
        raise NOTHING_TO_ABORT(resource=f"agent pool {pool.spec.name}")
    body = pool_body(context, pool, cluster, request.api_version)
    operation = await accept_abort(context, request, cluster, pool)
    headers = operation_headers(
        context, request, operation, request.cluster_key, with_location=True
    )
    return ArmResponse(202, body, headers)


async def upgrade_node_image(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``upgradeNodeImageVersion``: 202 with the pool."""
    return await retried(_upgrade_node_image_once, context, request)


async def _upgrade_node_image_once(context: ArmContext, request: ArmRequest) -> ArmResponse:
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    check_pool_free(cluster, pool)
    spec = pool.spec
    if spec.is_stopped:
        raise POOL_STOPPED(pool=spec.name)
    size = vm_size(spec.vm_size)
    latest = node_image(
        spec.os_sku,
        size.architecture if size else "amd64",
        fips=bool(spec.accepted.get("enableFIPS")),
    )
    after, operation = await accept_pool(
        context,
        request,
        cluster,
        pool,
        replace(spec, node_image_version=latest),
        ProvisioningState.UPGRADING_NODE_IMAGE,
        final_body=True,
    )
    headers = operation_headers(
        context, request, operation, request.cluster_key, with_location=True
    )
    return ArmResponse(202, pool_body(context, after, cluster, request.api_version), headers)


async def delete_machines(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``deleteMachines``: the machines go without a drain, and the count shrinks."""
    return await retried(_delete_machines_once, context, request)


def _machine_names(request: ArmRequest) -> list[str]:
    names: Any = request.json_object().get("machineNames")
    if names is None or names == []:
        raise InvalidRequest(
            "Required parameter machineNames is missing (null).",
            code="InvalidParameter",
            target="machineNames",
        )
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in cast("list[Any]", names)
    ):
        raise wrong_type(names, "AgentPoolDeleteMachinesParameter", "machineNames", "[]string")
    return list(dict.fromkeys(cast("list[str]", names)))


async def _delete_machines_once(context: ArmContext, request: ArmRequest) -> ArmResponse:
    wanted = _machine_names(request)
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    check_pool_free(cluster, pool)
    spec = pool.spec
    machines = await context.machine_provider.list_machines(request.cluster_key, spec.name)
    present = {machine.name.lower(): machine.name for machine in machines}
    doomed = tuple(present[name.lower()] for name in wanted if name.lower() in present)
    if not doomed:
        raise InvalidRequest(
            NO_SUCH_MACHINES.format(pool=spec.name, machines=", ".join(sorted(present.values()))),
            code="InvalidParameter",
            target="machineNames",
        )
    smaller = replace(spec, count=max(0, spec.count - len(doomed)))
    if spec.sizes:
        gone = [machine.vm_size for machine in machines if machine.name in doomed]
        smaller = without_machines(spec, gone)
    count = smaller.count
    if spec.mode is PoolMode.SYSTEM and count < 1:
        high = limits(cluster.spec.profile).nodes_per_pool
        raise InvalidRequest(
            COUNT_OUT_OF_RANGE.format(count=count, low=1, high=high),
            code="InvalidParameter",
            target="agentPoolProfile.count",
        )
    _, operation = await accept_pool(
        context,
        request,
        cluster,
        pool,
        replace(smaller, doomed_machines=doomed),
        ProvisioningState.UPDATING,
    )
    headers = operation_headers(
        context, request, operation, request.cluster_key, with_location=True
    )
    return ArmResponse(202, None, headers)


async def complete_upgrade(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``completeUpgrade``: commit a blue-green upgrade early; there is none to commit.

    Raises:
        Conflict: always.
    """
    pool = await get_pool(context, request)
    raise NO_BLUE_GREEN(pool=pool.spec.name)


async def list_bootstrap_data(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``listBootstrapData``: only pools of type FlexNodes have any, and there are none.

    Raises:
        InvalidRequest: always, with the pool's type.
    """
    pool = await get_pool(context, request)
    raise NO_BOOTSTRAP_DATA(pool=pool.spec.name, type=pool.spec.pool_type)


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{POOL}/completeUpgrade", complete_upgrade, since("2025-08-02-preview")),
    Route("POST", f"{POOL}/listBootstrapData", list_bootstrap_data, since("2026-05-02-preview")),
    Route("POST", f"{POOL}/abort", abort_agent_pool, since("2022-09-02-preview", "2023-07-01")),
    Route(
        "POST",
        f"{POOL}/upgradeNodeImageVersion",
        upgrade_node_image,
        since("2020-04-01", "2020-04-01"),
    ),
    Route(
        "POST",
        f"{POOL}/deleteMachines",
        delete_machines,
        since("2023-09-02-preview", "2024-07-01"),
    ),
)
