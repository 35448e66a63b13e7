"""Generic lists of resources: of a subscription and of a group, for ``az resource list``."""

from __future__ import annotations

from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.odata import passes, read_filter
from poolwright.arm.paging import paged
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.request import ArmRequest
from poolwright.arm.resource_groups import clusters_of
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Route
from poolwright.arm.snapshots import SNAPSHOT
from poolwright.model.cluster_key import subscription_scope

_FIELDS = frozenset(
    {"resourcegroup", "resourcetype", "name", "location", "tagname", "tagvalue", "plan/publisher"}
)


async def _resources(
    context: ArmContext, subscription: str, resource_group: str
) -> list[dict[str, Any]]:
    """The tracked resources of a subscription, or of one group if it is not empty."""
    found: list[dict[str, Any]] = []
    for cluster in await clusters_of(context, subscription, resource_group):
        spec = cluster.spec
        found.append(
            {
                "id": cluster_id_of(spec).replace("/resourcegroups/", "/resourceGroups/"),
                "name": spec.name,
                "type": "Microsoft.ContainerService/managedClusters",
                "location": spec.location,
                "tags": dict(spec.tags),
                "sku": {"name": "Base", "tier": spec.tier},
                "provisioningState": cluster.status.provisioning_state.value,
                "createdTime": cluster.created_at.isoformat(),
                "changedTime": cluster.created_at.isoformat(),
            }
        )
    prefix = f"{resource_group.lower()}/" if resource_group else ""
    snapshots, _ = await context.store.list(
        subscription_scope(subscription), SNAPSHOT, prefix=prefix
    )
    for snapshot in snapshots:
        body = snapshot.spec.body
        group = body["resource_group"]
        found.append(
            {
                "id": f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
                f"/Microsoft.ContainerService/snapshots/{snapshot.spec.name}",
                "name": snapshot.spec.name,
                "type": "Microsoft.ContainerService/snapshots",
                "location": body["location"],
                "tags": dict(body.get("tags") or {}),
            }
        )
    return found


async def list_resources(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``…/resources`` with ``$filter``, ``$expand`` and ``$top``."""
    terms = read_filter(request.query.get("$filter", ""), _FIELDS)
    group = request.names.get("resource_group", "")
    asked = {part.strip().lower() for part in request.query.get("$expand", "").split(",") if part}
    tag_terms = tuple(term for term in terms if term.field.startswith("tag"))
    own_terms = tuple(term for term in terms if not term.field.startswith("tag"))
    shown: list[dict[str, Any]] = []
    for resource in await _resources(context, request.subscription, group):
        values = {
            "resourcegroup": resource["id"].split("/")[4],
            "resourcetype": resource["type"],
            "name": resource["name"],
            "location": resource["location"],
        }
        if not passes(own_terms, values):
            continue
        if tag_terms and not any(
            passes(tag_terms, {"tagname": name, "tagvalue": value})
            for name, value in resource["tags"].items()
        ):
            continue
        for extra in ("createdTime", "changedTime", "provisioningState"):
            if extra.lower() not in asked:
                resource.pop(extra, None)
        shown.append(resource)
    return paged(request, shown)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/subscriptions/{subscription}/resources", list_resources),
    Route(
        "GET",
        "/subscriptions/{subscription}/resourceGroups/{resource_group}/resources",
        list_resources,
    ),
)
