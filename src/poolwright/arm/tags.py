"""``Microsoft.Resources/tags``: the tags of a resource as a resource of their own, for ``az tag``.

A PATCH merges, replaces or deletes; the resource itself is read and written by its own routes.
``tagNames`` lists what a subscription's groups and resources carry.

Source: published REST reference "Tags", api-version 2021-04-01 and later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from poolwright.arm.api_versions import CONTAINER_SERVICE
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import INVALID_CONTENT
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.tracked import read_tags
from poolwright.model.json_value import child, children

_SUFFIX = "/providers/Microsoft.Resources/tags/default"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{resource_group}"
_PROVIDER = f"{_GROUP}/providers/Microsoft.ContainerService"
_SCOPES = (
    _GROUP,
    f"{_PROVIDER}/managedClusters/{{cluster}}",
    f"{_PROVIDER}/snapshots/{{snapshot}}",
)
_GROUP_VERSION = "2024-11-01"
_OPERATIONS = ("Replace", "Merge", "Delete")


def _resource(request: ArmRequest) -> str:
    """The path of what carries the tags, with the api-version to use for it."""
    is_group = not {"cluster", "snapshot"} & set(request.names)
    version = _GROUP_VERSION if is_group else CONTAINER_SERVICE[-1]
    return f"{_scope(request)}?api-version={version}"


def _scope(request: ArmRequest) -> str:
    return request.path.rstrip("/")[: -len(_SUFFIX)]


def _wire(request: ArmRequest, tags: Mapping[str, str]) -> ArmResponse:
    return ArmResponse(
        200,
        {
            "id": f"{_scope(request)}{_SUFFIX}",
            "name": "default",
            "type": "Microsoft.Resources/tags",
            "properties": {"tags": dict(tags)},
        },
    )


async def _tags_now(request: ArmRequest) -> dict[str, str]:
    answer = await request.send("GET", _resource(request), None)
    return dict(answer.content.get("tags") or {})


async def _write(request: ArmRequest, tags: Mapping[str, str]) -> ArmResponse:
    await request.send("PATCH", _resource(request), {"tags": dict(tags)})
    return _wire(request, tags)


async def get_tags(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET the tags of one resource."""
    return _wire(request, await _tags_now(request))


async def put_tags(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: replace them all."""
    return await _write(request, read_tags(child(request.json_object(), "properties")))


async def patch_tags(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PATCH: ``operation`` Merge, Replace or Delete (of those that are equal, name and value)."""
    body = request.json_object()
    sent = read_tags(child(body, "properties"))
    named = str(body.get("operation", ""))
    operation = next((one for one in _OPERATIONS if one.lower() == named.lower()), None)
    if operation is None:
        raise INVALID_CONTENT(detail=f"operation: '{named}' is not {', '.join(_OPERATIONS)}")
    if operation == "Replace":
        return await _write(request, sent)
    tags = await _tags_now(request)
    if operation == "Merge":
        return await _write(request, {**tags, **sent})
    return await _write(request, {k: v for k, v in tags.items() if sent.get(k) != v})


async def delete_tags(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: none are left."""
    await _write(request, {})
    return ArmResponse(200)


async def list_tag_names(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``tagNames``: every name that is used in the subscription, with its values."""
    root = f"/subscriptions/{request.subscription}"
    used: dict[str, Counter[str]] = {}
    for collection in ("resourcegroups", "resources"):
        target = f"{root}/{collection}?api-version={_GROUP_VERSION}"
        answer = await request.send("GET", target, None)
        for item in children(answer.content, "value"):
            for name, value in child(item, "tags").items():
                used.setdefault(name, Counter())[value] += 1
    return listing([_wire_name(root, name, values) for name, values in sorted(used.items())])


def _wire_name(root: str, name: str, values: Mapping[str, int]) -> dict[str, Any]:
    path = f"{root}/tagNames/{name}"
    return {
        "id": path,
        "tagName": name,
        "count": {"type": "Total", "value": sum(values.values())},
        "values": [
            {
                "id": f"{path}/tagValues/{value}",
                "tagValue": value,
                "count": {"type": "Total", "value": count},
            }
            for value, count in sorted(values.items())
        ],
    }


ROUTES: tuple[Route, ...] = (
    Route("GET", "/subscriptions/{subscription}/tagNames", list_tag_names),
    *(
        Route(method, f"{scope}{_SUFFIX}", handler)
        for scope in _SCOPES
        for method, handler in (
            ("GET", get_tags),
            ("PUT", put_tags),
            ("PATCH", patch_tags),
            ("DELETE", delete_tags),
        )
    ),
)
