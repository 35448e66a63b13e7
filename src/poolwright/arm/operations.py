"""Long-running operations: their records, the headers of an accepted request, and their status.

The status URL is opaque to clients. Ours carries the cluster that the operation is of (``c``),
so that a poll is one read; without it, the subscription's scopes are searched.

Source: facts aks-api §2.7, real-clients §5.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, Headers
from poolwright.arm.routing import Route
from poolwright.model.agent_pool import (
    OPERATION,
    OperationSpec,
    OperationState,
    OperationStatus,
)
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.errors import ErrorDetail
from poolwright.model.record import Stored
from poolwright.ports.store import Create

Operation = Stored[OperationSpec, OperationStatus]

_LOCATION = (
    "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}"
)
_CLUSTER = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}"
    "/providers/Microsoft.ContainerService/managedClusters/{cluster}"
)


def create_operation(
    context: ArmContext,
    *,
    resource_id: str,
    type_: str,
    region: str,
    pool: str = "",
    final_body: bool = False,
) -> Create:
    """The write that puts a new operation, InProgress, under a fresh id (``Create.name``).

    It belongs into the transaction that accepts the request (records.md R1). ``final_body``:
    ``operationresults`` answers 200 with the resource at the end, instead of 204.
    """
    now = context.clock.now().wall
    return Create(
        kind=OPERATION,
        name=context.identity.uid(),
        uid=context.identity.uid(),
        spec=OperationSpec(
            resource_id=resource_id,
            type=type_,
            pool=pool,
            region=region,
            final_body=final_body,
        ),
        status=OperationStatus(state=OperationState.IN_PROGRESS, started_at=now),
        created_at=now,
    )


def polling_headers(context: ArmContext) -> Headers:
    """How soon to ask again: ``Retry-After`` in whole seconds, or the fast mode's header alone.

    Both together would be useless: Python clients let ``Retry-After`` win (real-clients §5).
    """
    fast = context.settings.retry_after_ms
    if fast is not None:
        return (("retry-after-ms", str(fast)),)
    return (("Retry-After", str(context.settings.retry_after_seconds)),)


def operation_headers(
    context: ArmContext,
    request: ArmRequest,
    operation: Create,
    cluster: ClusterKey,
    *,
    with_location: bool = False,
) -> Headers:
    """The headers of an accepted request: ``Azure-AsyncOperation``, ``Retry-After`` and, for
    DELETE and POST, ``Location``.
    """
    base = (
        f"{request.base_url}/subscriptions/{request.subscription}"
        f"/providers/Microsoft.ContainerService/locations/{operation.spec.region}"
    )
    query = f"?api-version={request.api_version}&c={_opaque(cluster)}"
    headers: Headers = (
        ("Azure-AsyncOperation", f"{base}/operations/{operation.name}{query}"),
        *polling_headers(context),
    )
    if with_location:
        headers += (("Location", f"{base}/operationresults/{operation.name}{query}"),)
    return headers


def _opaque(cluster: ClusterKey) -> str:
    text = f"{cluster.resource_group}/{cluster.name}".encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _cluster_of(request: ArmRequest) -> ClusterKey | None:
    opaque = request.query.get("c", "")
    try:
        text = base64.urlsafe_b64decode(opaque + "=" * (-len(opaque) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    resource_group, slash, name = text.partition("/")
    if not slash or not text.isprintable():
        return None
    return ClusterKey.of(request.subscription, resource_group, name)


async def find_operation(context: ArmContext, request: ArmRequest) -> Operation:
    """The operation that a status URL names.

    Raises:
        NotFound: no such operation in the subscription.
    """
    name = request.names["operation"].lower()
    cluster = _cluster_of(request)
    if cluster is not None:
        found = await context.store.get(cluster.arm_scope, OPERATION, name)
        if found is not None:
            return found
    own = subscription_scope(request.subscription)
    for scope in (own, *await context.store.scopes(f"{own}/")):
        found = await context.store.get(scope, OPERATION, name)
        if found is not None:
            return found
    raise ENTITY_NOT_FOUND()


def wire_time(wall: datetime) -> str:
    """A moment as AKS writes it, with seven digits: ``2025-03-21T23:59:18.3555596Z``."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def _wire_detail(detail: ErrorDetail) -> dict[str, Any]:
    wire: dict[str, Any] = {"code": detail.code, "message": detail.message}
    if detail.target is not None:
        wire["target"] = detail.target
    return wire


def wire_operation_error(status: OperationStatus) -> dict[str, Any] | None:
    """``error`` of a status body, or None."""
    if status.error is None:
        return None
    wire = _wire_detail(status.error)
    if status.error_details:
        wire["details"] = [_wire_detail(detail) for detail in status.error_details]
    return wire


def wire_operation(operation: Operation, path: str) -> dict[str, Any]:
    """The status body."""
    status = operation.status
    is_running = status.state is OperationState.IN_PROGRESS
    wire: dict[str, Any] = {
        "id": path,
        "name": operation.name,
        "status": status.message if is_running and status.message else status.state.value,
        "startTime": wire_time(status.started_at),
    }
    if status.ended_at is not None:
        wire["endTime"] = wire_time(status.ended_at)
    error = wire_operation_error(status)
    if error is not None:
        wire["error"] = error
    return wire


def _detailed(operation: Operation, path: str) -> dict[str, Any]:
    """The preview's ``OperationStatusResult``, which says more."""
    wire = wire_operation(operation, path)
    ended = operation.status.state is OperationState.SUCCEEDED
    wire["percentComplete"] = 100 if ended else operation.status.percent_complete
    wire["resourceId"] = operation.spec.resource_id
    wire["operationType"] = operation.spec.type
    return wire


async def get_operation(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``locations/{location}/operations/{operation}``."""
    operation = await find_operation(context, request)
    headers = () if operation.status.state.is_terminal else polling_headers(context)
    return ArmResponse(200, wire_operation(operation, request.path), headers)


async def get_operation_result(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``locations/{location}/operationresults/{operation}``: 202 while running, then 204,
    or 200 with the resource where a result is documented.
    """
    operation = await find_operation(context, request)
    if not operation.status.state.is_terminal:
        location = f"{request.base_url}{request.path}?api-version={request.api_version}"
        opaque = request.query.get("c")
        location += f"&c={opaque}" if opaque else ""
        return ArmResponse(202, None, (("Location", location), *polling_headers(context)))
    if operation.spec.final_body:
        return await request.send("GET", operation.spec.resource_id, None)
    return ArmResponse(204)


async def _operations_of(context: ArmContext, request: ArmRequest) -> list[Operation]:
    """A cluster's operations, or those of its pool if the path names one, oldest first."""
    found, _ = await context.store.list(request.cluster_key.arm_scope, OPERATION)
    pool = request.names.get("pool", "").lower()
    own = [operation for operation in found if operation.spec.pool == pool]
    return sorted(own, key=lambda operation: (operation.status.started_at, operation.name))


async def get_resource_operation(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``…/operations/{operation}`` of a pool or cluster; ``latest`` is the newest."""
    name = request.names["operation"].lower()
    for operation in reversed(await _operations_of(context, request)):
        if name in {"latest", operation.name}:
            path = f"{request.path.rpartition('/')[0]}/{operation.name}"
            return ArmResponse(200, _detailed(operation, path))
    raise ENTITY_NOT_FOUND()


async def list_resource_operations(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``…/operations`` of a pool or cluster; ``activeOnly=true`` leaves out ended ones."""
    only_active = request.query.get("activeonly", "").lower() == "true"
    return ArmResponse(
        200,
        {
            "value": [
                _detailed(operation, f"{request.path}/{operation.name}")
                for operation in await _operations_of(context, request)
                if not (only_active and operation.status.state.is_terminal)
            ]
        },
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", f"{_LOCATION}/operations/{{operation}}", get_operation),
    Route("GET", f"{_LOCATION}/operationresults/{{operation}}", get_operation_result),
    Route("GET", f"{_CLUSTER}/operations", list_resource_operations),
    Route("GET", f"{_CLUSTER}/operations/{{operation}}", get_resource_operation),
    Route("GET", f"{_CLUSTER}/agentPools/{{pool}}/operations", list_resource_operations),
    Route(
        "GET", f"{_CLUSTER}/agentPools/{{pool}}/operations/{{operation}}", get_resource_operation
    ),
)
