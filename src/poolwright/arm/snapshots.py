"""Node pool snapshots: a pool's versions, image and size, kept under a name of their own.

Source: facts aks-api §2.5.
"""

from __future__ import annotations

import re
from typing import Any

from poolwright.arm.api_versions import since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import RESOURCE_NOT_FOUND
from poolwright.arm.operations import wire_time
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.tracked import read_location, read_tags
from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.errors import InvalidRequest
from poolwright.model.json_value import child
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Create, Delete, Update

SNAPSHOT: Kind[DocumentSpec, DocumentStatus] = Kind("Snapshot", DocumentSpec, DocumentStatus)
"""Named ``resource group/snapshot``. Body: ``location``, ``tags``, ``properties``, and
``resource_group`` in the casing it was created with."""

Snapshot = Stored[DocumentSpec, DocumentStatus]

_GROUP = "/subscriptions/{subscription}/resourceGroups/{resource_group}"
_PROVIDER = "/providers/Microsoft.ContainerService/snapshots"
_VERSIONS = since("2021-08-02-preview", "2021-08-01")
_POOL_ID = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.containerservice/"
    r"managedclusters/([^/]+)/agentpools/([^/]+)",
    re.IGNORECASE,
)


def _record_name(request: ArmRequest) -> str:
    return f"{request.resource_group}/{request.names['snapshot']}".lower()


def _wire(subscription: str, record: Snapshot) -> dict[str, Any]:
    body = record.spec.body
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{body['resource_group']}"
        f"{_PROVIDER}/{record.spec.name}",
        "name": record.spec.name,
        "type": "Microsoft.ContainerService/Snapshots",
        "location": body["location"],
        **({"tags": body["tags"]} if body.get("tags") else {}),
        "properties": body["properties"],
        "systemData": {
            "createdByType": "Application",
            "createdAt": wire_time(record.created_at),
            "lastModifiedByType": "Application",
            "lastModifiedAt": wire_time(record.created_at),
        },
    }


async def _source(context: ArmContext, source_id: object) -> AgentPoolSpec:
    match = _POOL_ID.fullmatch(source_id) if isinstance(source_id, str) else None
    record = None
    if match is not None:
        scope = ClusterKey.of(match[1], match[2], match[3]).arm_scope
        record = await context.store.get(scope, AGENT_POOL, match[4].lower())
    if record is None:
        raise InvalidRequest(
            f"The value of parameter creationData.sourceResourceId is invalid. Error details: "
            f"agent pool '{source_id}' is not found.",
            target="creationData.sourceResourceId",
        )
    return record.spec


def _properties(pool: AgentPoolSpec, source_id: str) -> dict[str, Any]:
    return {
        "creationData": {"sourceResourceId": source_id},
        "snapshotType": "NodePool",
        "kubernetesVersion": pool.kubernetes_version,
        "nodeImageVersion": pool.node_image_version,
        "osType": pool.os_type,
        "osSku": pool.os_sku,  # AKS: this one type spells it so
        "vmSize": pool.vm_size,
        "enableFIPS": bool(pool.accepted.get("enableFIPS", False)),
    }


async def put_snapshot(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: take a snapshot, or change the tags of one; answers at once."""
    body = request.json_object()
    location = read_location(context, body, "Microsoft.ContainerService/snapshots")
    tags = read_tags(body)
    scope, name = subscription_scope(request.subscription), _record_name(request)
    old = await context.store.get(scope, SNAPSHOT, name)
    if old is None:
        source_id = child(body, "properties", "creationData").get("sourceResourceId")
        properties = _properties(await _source(context, source_id), str(source_id))
    else:
        properties = old.spec.body["properties"]
    spec = DocumentSpec(
        request.names["snapshot"],
        {
            "location": location,
            "tags": tags,
            "properties": properties,
            "resource_group": request.resource_group,
        },
    )
    if old is None:
        uid, now = context.identity.uid(), context.clock.now().wall
        write = Create(SNAPSHOT, name, uid, spec, DocumentStatus(), now)
    else:
        write = Update(SNAPSHOT, name, spec, expect_revision=old.revision)
    commit = await context.store.transact(scope, [write])
    record = commit.records[0]
    assert record is not None
    return ArmResponse(201 if old is None else 200, _wire(request.subscription, record))


async def _find(context: ArmContext, request: ArmRequest) -> Snapshot:
    scope = subscription_scope(request.subscription)
    record = await context.store.get(scope, SNAPSHOT, _record_name(request))
    if record is None:
        raise RESOURCE_NOT_FOUND(
            type="Microsoft.ContainerService/snapshots",
            name=request.names["snapshot"],
            resource_group=request.resource_group,
        )
    return record


async def get_snapshot(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one."""
    return ArmResponse(200, _wire(request.subscription, await _find(context, request)))


async def patch_snapshot(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PATCH: replaces the tags."""
    record = await _find(context, request)
    body = {**record.spec.body, "tags": read_tags(request.json_object())}
    spec = DocumentSpec(record.spec.name, body)
    write = Update(SNAPSHOT, record.name, spec, expect_revision=record.revision)
    commit = await context.store.transact(subscription_scope(request.subscription), [write])
    new = commit.records[0]
    assert new is not None
    return ArmResponse(200, _wire(request.subscription, new))


async def delete_snapshot(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: 200, or 204 if it was not there."""
    scope = subscription_scope(request.subscription)
    record = await context.store.get(scope, SNAPSHOT, _record_name(request))
    if record is None:
        return ArmResponse(204)
    await context.store.transact(scope, [Delete(SNAPSHOT, record.name, expect_uid=record.uid)])
    return ArmResponse(200)


async def list_snapshots(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET all of a resource group or subscription."""
    group = request.names.get("resource_group", "").lower()
    records, _ = await context.store.list(
        subscription_scope(request.subscription), SNAPSHOT, prefix=f"{group}/" if group else ""
    )
    return listing([_wire(request.subscription, record) for record in records])


_ONE = f"{_GROUP}{_PROVIDER}/{{snapshot}}"
ROUTES: tuple[Route, ...] = (
    Route("GET", f"/subscriptions/{{subscription}}{_PROVIDER}", list_snapshots, _VERSIONS),
    Route("GET", f"{_GROUP}{_PROVIDER}", list_snapshots, _VERSIONS),
    Route("GET", _ONE, get_snapshot, _VERSIONS),
    Route("PUT", _ONE, put_snapshot, _VERSIONS),
    Route("PATCH", _ONE, patch_snapshot, _VERSIONS),
    Route("DELETE", _ONE, delete_snapshot, _VERSIONS),
)
