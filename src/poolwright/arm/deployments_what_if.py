"""``whatIf`` of a deployment: what would be created, changed, left alone or deleted.

Each resource of the template is read as it is now and compared with what the template makes of it;
resources of the group that the template does not have are ignored, or deleted in mode Complete.

Source: facts aks-api §5.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.deployments import DEPLOYMENT_ROOT, expand, read_deployment
from poolwright.arm.errors import INVALID_CONTENT
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Route
from poolwright.arm.template.expansion import Template, TemplateResource
from poolwright.arm.template.language import TemplateError
from poolwright.arm.template.what_if import merged, property_changes
from poolwright.model.errors import InvalidRequest, NotFound
from poolwright.model.json_value import Json, child

_FORMATS = ("FullResourcePayloads", "ResourceIdOnly")
_RESOURCES_VERSION = "2021-04-01"
_UNKNOWN_YET = (
    "The resource cannot be evaluated before the deployment: it needs a value of a resource that "
    "is not there yet."
)


def _format(properties: Json) -> str:
    sent = str(child(properties, "whatIfSettings").get("resultFormat") or _FORMATS[0])
    found = next((one for one in _FORMATS if one.lower() == sent.lower()), None)
    if found is None:
        raise INVALID_CONTENT(detail=f"the resultFormat '{sent}' is not {' or '.join(_FORMATS)}")
    return found


async def what_if(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``whatIf``: 200 with the changes, or with the template's error."""
    properties = read_deployment(request)
    is_full = _format(properties) == _FORMATS[0]
    try:
        template = await expand(context, request, properties)
        changes = [
            await _of_resource(request, template, resource) for resource in template.resources
        ]
    except TemplateError as error:
        wire = {"code": error.code, "message": error.message}
        return ArmResponse(200, {"status": "Failed", "error": wire})
    is_complete = str(properties.get("mode", "")).lower() == "complete"
    changes += await _of_others(request, template, "Delete" if is_complete else "Ignore")
    if not is_full:
        changes = [
            {k: v for k, v in change.items() if k not in {"before", "after", "delta"}}
            for change in changes
        ]
    return ArmResponse(
        200,
        {"status": "Succeeded", "properties": {"changes": changes, "potentialChanges": []}},
    )


async def _of_resource(
    request: ArmRequest, template: Template, resource: TemplateResource
) -> dict[str, Any]:
    """The change of one resource of the template."""
    try:
        declared = template.body(resource)
    except TemplateError as error:
        if error.code != "ResourceNotFound":
            raise
        return _unsupported(resource.id, _UNKNOWN_YET)
    target = f"{resource.id}?api-version={resource.api_version}"
    try:
        before: Json = (await request.send("GET", target, None)).content
    except NotFound as missing:
        if missing.code in {"InvalidResourceType", "InvalidResourceNamespace"}:
            return _unsupported(resource.id, missing.message)
        after = {
            "apiVersion": resource.api_version,
            "id": resource.id,
            "name": resource.name.rpartition("/")[2],
            "type": resource.type,
            **declared,
        }
        return {"resourceId": resource.id, "changeType": "Create", "after": after}
    except InvalidRequest as refused:
        return _unsupported(resource.id, refused.message)
    delta = property_changes(before, declared)
    return {
        "resourceId": resource.id,
        "changeType": "Modify" if delta else "NoChange",
        "before": {"apiVersion": resource.api_version, **before},
        "after": {"apiVersion": resource.api_version, **merged(before, declared)},
        "delta": delta,
    }


def _unsupported(identifier: str, reason: str) -> dict[str, Any]:
    return {"resourceId": identifier, "changeType": "Unsupported", "unsupportedReason": reason}


async def _of_others(request: ArmRequest, template: Template, kind: str) -> list[dict[str, Any]]:
    """The resources of the group that the template does not have."""
    named = {resource.id.lower() for resource in template.resources}
    group = f"/subscriptions/{request.subscription}/resourceGroups/{request.resource_group}"
    target = f"{group}/resources?api-version={_RESOURCES_VERSION}"
    listed: Mapping[str, Any] = (await request.send("GET", target, None)).content
    return [
        {"resourceId": other["id"], "changeType": kind, "before": other}
        for other in listed["value"]
        if other["id"].lower() not in named
    ]


ROUTES: tuple[Route, ...] = (Route("POST", f"{DEPLOYMENT_ROOT}/{{deployment}}/whatIf", what_if),)
