"""Resource groups. Deleting one is long-running: a controller ends it once it is empty
(`poolwright.arm.resource_group_deletion`).

The node resource groups of clusters (``MC_…``) are shown as well: they exist as long as their
cluster does and cannot be written. Source: facts aks-api §5.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import (
    INVALID_CONTENT,
    INVALID_RESOURCE_GROUP_LOCATION,
    OPERATION_PREEMPTED,
    RESOURCE_GROUP_BEING_DELETED,
    RESOURCE_GROUP_NOT_FOUND,
    Forbidden,
    KnownError,
)
from poolwright.arm.odata import passes, read_filter
from poolwright.arm.operations import (
    create_operation,
    find_operation,
    polling_headers,
    wire_operation_error,
)
from poolwright.arm.paging import paged
from poolwright.arm.parents import ResourceGroup, cluster_id_of, find_resource_group
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, Headers
from poolwright.arm.routing import Route
from poolwright.arm.tracked import read_location, read_tags
from poolwright.model.agent_pool import OperationState
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import InvalidRequest, Precondition
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    DocumentSpec,
    DocumentStatus,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.model.record import Stored
from poolwright.ports.store import Create, Update

TYPE = "Microsoft.Resources/resourceGroups"
NAME_LENGTH_MAX = 90
_INVALID_CHARACTER = re.compile(r"[^-\w.()]")
_ATTEMPTS = 4
DELETING = "Deleting"
"""The state of a group that is being deleted."""
_FILTER_FIELDS = frozenset({"tagname", "tagvalue"})

_INVALID_NAME = KnownError(
    "InvalidResourceGroup",
    InvalidRequest,
    "The provided resource group name '{name}' has these invalid characters: '{characters}'. The "
    "name can only be a letter, digit, '-', '.', '(', ')' or '_'.",
)
_NAME_ENDS_WITH_PERIOD = KnownError(
    "InvalidResourceGroup",
    InvalidRequest,
    "The provided resource group name '{name}' ends with a period, which is not allowed.",
)
_NAME_TOO_LONG = KnownError(
    "ResourceGroupNameTooLong",
    InvalidRequest,
    "The provided resource group name has {length} characters; at most {limit} are allowed.",
)
_NODE_GROUP = KnownError(
    "DenyAssignmentAuthorizationFailed",
    Forbidden,
    "The resource group '{name}' belongs to the managed cluster '{cluster}' and is changed and "
    "deleted with it.",
)

Cluster = Stored[ManagedClusterSpec, ManagedClusterStatus]


def wire_resource_group(subscription: str, group: ResourceGroup) -> dict[str, Any]:
    """A resource group's document."""
    body = group.spec.body
    wire: dict[str, Any] = {
        "id": f"/subscriptions/{subscription}/resourceGroups/{group.spec.name}",
        "name": group.spec.name,
        "type": TYPE,
        "location": body["location"],
        "tags": dict(body.get("tags") or {}),
        "properties": {"provisioningState": group.status.state},
    }
    if body.get("managedBy"):
        wire["managedBy"] = body["managedBy"]
    return wire


def _wire_node_group(subscription: str, cluster: Cluster) -> dict[str, Any]:
    spec = cluster.spec
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{spec.node_resource_group}",
        "name": spec.node_resource_group,
        "type": TYPE,
        "location": spec.location,
        "managedBy": cluster_id_of(spec),
        "tags": {
            "aks-managed-cluster-name": spec.name,
            "aks-managed-cluster-rg": spec.resource_group,
        },
        "properties": {"provisioningState": "Succeeded"},
    }


async def clusters_of(
    context: ArmContext, subscription: str, resource_group: str = ""
) -> Sequence[Cluster]:
    """The clusters of a subscription, or of one of its groups, by scope."""
    prefix = f"{subscription_scope(subscription)}/"
    if resource_group:
        prefix += f"{resource_group.lower()}/"
    return await context.store.find(prefix, MANAGED_CLUSTER)


async def _find_node_group(context: ArmContext, subscription: str, name: str) -> Cluster | None:
    lower = name.lower()
    for cluster in await clusters_of(context, subscription):
        if cluster.spec.node_resource_group.lower() == lower:
            return cluster
    return None


async def _refuse_missing(context: ArmContext, request: ArmRequest) -> None:
    """Why a group that has no record cannot be written or deleted."""
    cluster = await _find_node_group(context, request.subscription, request.resource_group)
    if cluster is not None:
        raise _NODE_GROUP(name=request.resource_group, cluster=cluster.spec.name)


async def get_group(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one."""
    subscription, name = request.subscription, request.resource_group
    group = await find_resource_group(context, subscription, name)
    if group is not None:
        return ArmResponse(200, wire_resource_group(subscription, group))
    cluster = await _find_node_group(context, subscription, name)
    if cluster is not None:
        return ArmResponse(200, _wire_node_group(subscription, cluster))
    raise RESOURCE_GROUP_NOT_FOUND(resource_group=name)


async def head_group(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """HEAD: 204 if it exists, else 404, without bodies."""
    subscription, name = request.subscription, request.resource_group
    group = await find_resource_group(context, subscription, name)
    exists = group is not None or await _find_node_group(context, subscription, name) is not None
    return ArmResponse(204 if exists else 404)


async def list_groups(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET all, with ``$filter`` by tag and ``$top``."""
    subscription = request.subscription
    groups, _ = await context.store.list(subscription_scope(subscription), RESOURCE_GROUP)
    wires = [wire_resource_group(subscription, group) for group in groups]
    wires += [
        _wire_node_group(subscription, cluster)
        for cluster in await clusters_of(context, subscription)
    ]
    wires.sort(key=lambda wire: wire["name"].lower())
    terms = read_filter(request.query.get("$filter", ""), _FILTER_FIELDS)
    if terms:
        wires = [
            wire
            for wire in wires
            if any(
                passes(terms, {"tagname": name, "tagvalue": value})
                for name, value in wire["tags"].items()
            )
        ]
    return paged(request, wires)


def check_group_name(name: str) -> None:
    """Refuse what is no name for a resource group.

    Raises:
        InvalidRequest: with what is wrong.
    """
    if len(name) > NAME_LENGTH_MAX:
        raise _NAME_TOO_LONG(length=len(name), limit=NAME_LENGTH_MAX)
    invalid = "".join(dict.fromkeys(_INVALID_CHARACTER.findall(name)))
    if invalid:
        raise _INVALID_NAME(name=name, characters=invalid)
    if name.endswith("."):
        raise _NAME_ENDS_WITH_PERIOD(name=name)


async def put_group(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: 201 for a new one, 200 for one that exists (its location cannot change)."""
    name = request.resource_group
    check_group_name(name)
    body = request.json_object()
    location = read_location(context, body)
    tags = read_tags(body)
    managed_by = body.get("managedBy")
    if managed_by is not None and not isinstance(managed_by, str):
        raise INVALID_CONTENT(detail="managedBy: expected a string")
    scope = subscription_scope(request.subscription)
    for _ in range(_ATTEMPTS):
        group = await find_resource_group(context, request.subscription, name)
        if group is None:
            await _refuse_missing(context, request)
        else:
            _check_writable(group)
            if group.spec.body["location"] != location:
                raise INVALID_RESOURCE_GROUP_LOCATION(
                    other=location, location=group.spec.body["location"]
                )
        spec = DocumentSpec(
            name=name if group is None else group.spec.name,
            body={"location": location, "tags": tags, "managedBy": managed_by or ""},
        )
        stored = await _write(context, scope, group, spec)
        if stored is not None:
            status = 201 if group is None else 200
            return ArmResponse(status, wire_resource_group(request.subscription, stored))
    raise OPERATION_PREEMPTED()


async def _write(
    context: ArmContext, scope: str, group: ResourceGroup | None, spec: DocumentSpec
) -> ResourceGroup | None:
    """Store a group's new spec; None if somebody else was faster."""
    write: Create | Update
    if group is None:
        now = context.clock.now()
        write = Create(
            kind=RESOURCE_GROUP,
            name=spec.name.lower(),
            uid=context.identity.uid(),
            spec=spec,
            status=DocumentStatus(state="Succeeded", since=now.world, since_wall=now.wall),
            created_at=now.wall,
        )
    else:
        write = Update(
            kind=RESOURCE_GROUP, name=group.name, spec=spec, expect_revision=group.revision
        )
    try:
        commit = await context.store.transact(scope, [write])
    except Precondition:
        return None
    return commit.records[0]


def _check_writable(group: ResourceGroup) -> None:
    if group.status.state == DELETING:
        raise RESOURCE_GROUP_BEING_DELETED(resource_group=group.spec.name)


async def patch_group(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PATCH: replaces the tags if there are any in the body."""
    body = request.json_object()
    tags = read_tags(body)
    scope = subscription_scope(request.subscription)
    for _ in range(_ATTEMPTS):
        group = await find_resource_group(context, request.subscription, request.resource_group)
        if group is None:
            await _refuse_missing(context, request)
            raise RESOURCE_GROUP_NOT_FOUND(resource_group=request.resource_group)
        _check_writable(group)
        changed = {"tags": tags} if body.get("tags") is not None else {}
        spec = DocumentSpec(group.spec.name, {**group.spec.body, **changed})
        stored = await _write(context, scope, group, spec)
        if stored is not None:
            return ArmResponse(200, wire_resource_group(request.subscription, stored))
    raise OPERATION_PREEMPTED()


async def delete_group(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: 202 with the ``Location`` to poll; again, while it runs: the same."""
    scope = subscription_scope(request.subscription)
    for _ in range(_ATTEMPTS):
        group = await find_resource_group(context, request.subscription, request.resource_group)
        if group is None:
            await _refuse_missing(context, request)
            raise RESOURCE_GROUP_NOT_FOUND(resource_group=request.resource_group)
        if group.status.state == DELETING:
            operation_id: str = group.status.detail["operation"]
            return ArmResponse(202, None, _poll(context, request, operation_id))
        operation = create_operation(
            context,
            resource_id=f"/subscriptions/{request.subscription}/resourceGroups/{group.spec.name}",
            type_=DELETING,
            region=group.spec.body["location"],
        )
        now = context.clock.now()
        status = DocumentStatus(
            state=DELETING,
            since=now.world,
            since_wall=now.wall,
            detail={"operation": operation.name},
        )
        update = Update(
            kind=RESOURCE_GROUP,
            name=group.name,
            status=status,
            deleted_at=now.wall,
            expect_revision=group.revision,
        )
        try:
            await context.store.transact(scope, [update, operation])
        except Precondition:
            continue
        return ArmResponse(202, None, _poll(context, request, operation.name))
    raise OPERATION_PREEMPTED()


def _poll(context: ArmContext, request: ArmRequest, operation: str) -> Headers:
    location = (
        f"{request.base_url}/subscriptions/{request.subscription}/operationresults/{operation}"
        f"?api-version={request.api_version}"
    )
    return (("Location", location), *polling_headers(context))


async def get_deletion_result(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions/{subscription}/operationresults/{operation}``: 202 until it ended,
    then 200, or 409 with the error of a deletion that failed.
    """
    operation = await find_operation(context, request)
    if not operation.status.state.is_terminal:
        return ArmResponse(202, None, _poll(context, request, operation.name))
    if operation.status.state is OperationState.SUCCEEDED:
        return ArmResponse(200)
    return ArmResponse(409, {"error": wire_operation_error(operation.status)})


_GROUPS = "/subscriptions/{subscription}/resourceGroups"
_GROUP = f"{_GROUPS}/{{resource_group}}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _GROUPS, list_groups),
    Route("GET", _GROUP, get_group),
    Route("HEAD", _GROUP, head_group),
    Route("PUT", _GROUP, put_group),
    Route("PATCH", _GROUP, patch_group),
    Route("DELETE", _GROUP, delete_group),
    Route("GET", "/subscriptions/{subscription}/operationresults/{operation}", get_deletion_result),
)
